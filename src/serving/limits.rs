//! The bound on requests at once, the deadline of each, and the answer for a method that a path does not know: the same on
//! every port.

use std::time::Duration;

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

/// A handler that has not begun to answer by then is given up. A stream is over when its client or its task is.
pub async fn by(deadline: Duration, request: Request, next: Next) -> Response {
    tokio::time::timeout(deadline, next.run(request)).await.unwrap_or_else(|_| {
        let seconds = deadline.as_secs();
        ProblemType::Deadline
            .because(format!(
                "it was not done within {seconds} s, and may be done later or in part: look, or send it again with the same \
                 Idempotency-Key"
            ))
            .into_response()
    })
}

/// The path is known, the method is not.
pub async fn not_served(method: Method) -> Problem {
    ProblemType::Method.because(format!("{method} is not served here; the Allow header names what is"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::middleware;
    use axum::routing::get;
    use tower::ServiceExt;

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_does_not_answer_is_given_up() {
        let router: Router = Router::new()
            .route("/never", get(std::future::pending::<()>))
            .layer(middleware::from_fn(async |request, next| by(Duration::from_secs(30), request, next).await));
        let request = Request::get("/never").body(Body::empty()).expect("a request");
        let answer = router.oneshot(request).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
