//! The bound on requests at once, and the answer for a method that a path does not know: the same on every port.

use axum::extract::Request;
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::problem::{Problem, ProblemType};

/// Requests beyond the bound are sent away at once: waiting would only make them late.
pub async fn run_within(bound: &Semaphore, request: Request, next: Next) -> Response {
    match bound.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => {
            ProblemType::Busy.because("too many requests are being served; send it again in a moment").into_response()
        }
    }
}

/// The path is known, the method is not.
pub async fn not_served(method: Method) -> Problem {
    ProblemType::Method.because(format!("{method} is not served here; the Allow header names what is"))
}
