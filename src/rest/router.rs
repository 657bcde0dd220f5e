//! Which path leads where, and what holds for every request.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::Method;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use super::app::App;
use super::ask::{list, result, status, task};
use super::follow::events;
use super::problem::{Problem, ProblemType};
use super::submit::{bulk, cancel, replay};
use super::{dead_letters, document, submit};
use crate::serving::linger;

/// The largest payload is 128 KiB of compact JSON; written with all its escapes it is larger.
const BODY: usize = 1 << 20;
const BULK_BODY: usize = 16 << 20;

pub fn router(app: Arc<App>) -> Router {
    let large = DefaultBodyLimit::max(BULK_BODY);
    let few = middleware::from_fn_with_state(app.clone(), bulk::few_at_once);
    let (router, paths) = OpenApiRouter::with_openapi(document::document())
        .routes(routes!(submit::submit, list::list))
        .routes(routes!(bulk::submit_many).layer(large).layer(few))
        .routes(routes!(status::statuses))
        .routes(routes!(task::task))
        .routes(routes!(status::status))
        .routes(routes!(result::result))
        .routes(routes!(events::events))
        .routes(routes!(cancel::cancel))
        .routes(routes!(replay::replay))
        .routes(routes!(dead_letters::dead_letters))
        .routes(routes!(dead_letters::replay::replay_many))
        .split_for_parts();
    router
        .merge(document::pages(&paths))
        .fallback(async || ProblemType::NoSuchPath.because("tasks are under /api/v1/tasks; see /openapi.json"))
        .method_not_allowed_fallback(not_served)
        .layer(middleware::from_fn_with_state(app.clone(), bounded))
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn(linger::when_refused))
        .with_state(app)
}

/// The path is known, and what is to be done there is not.
pub async fn not_served(method: Method) -> Problem {
    ProblemType::Method.because(format!("{method} is not served here; the Allow header names what is"))
}

async fn bounded(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if !app.is_ready() {
        return ProblemType::NotReady.because("the tasks in the cluster are still being read").into_response();
    }
    run_within(&app.requests, request, next).await
}

/// Requests beyond the bound are sent away at once: waiting would only make them late.
pub async fn run_within(bound: &Semaphore, request: Request, next: Next) -> Response {
    match bound.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => {
            ProblemType::Busy.because("too many requests are being served; send it again in a moment").into_response()
        }
    }
}
