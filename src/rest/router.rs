//! Which path leads where, and the limits that hold for every request.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tokio::sync::{Semaphore, watch};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use super::app::App;
use super::ask::{list, result, status, statuses, task};
use super::follow::events;
use super::measured::measured;
use super::submit::{bulk, cancel, replay};
use super::{dead_letters, document, submit};
use crate::metrics::Metrics;
use crate::serving::limits::{not_served, run_within};
use crate::serving::linger;
use crate::serving::problem::ProblemType;

/// Requests at once; those beyond are sent away with 503.
const REQUESTS: usize = 256;
/// The largest payload is 128 KiB of compact JSON; written with all its escapes it is larger.
const BODY: usize = 1 << 20;
const BULK_BODY: usize = 16 << 20;

/// `ready` tells when the index knows the tasks that were there at the beginning.
pub fn router(app: App, ready: watch::Receiver<bool>, metrics: Arc<Metrics>) -> Router {
    let gate = Arc::new(Gate { ready, requests: Semaphore::new(REQUESTS) });
    let large = DefaultBodyLimit::max(BULK_BODY);
    let few = middleware::from_fn_with_state(app.clone(), bulk::few_at_once);
    let (router, paths) = OpenApiRouter::with_openapi(document::document())
        .routes(routes!(submit::submit, list::list))
        .routes(routes!(bulk::submit_many).layer(large).layer(few))
        .routes(routes!(statuses::statuses))
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
        .layer(middleware::from_fn_with_state(gate, bounded))
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn(linger::when_refused))
        .layer(middleware::from_fn_with_state(metrics, measured))
        .with_state(app)
}

/// Lets requests in: none before the tasks are known, and so many at once.
struct Gate {
    ready: watch::Receiver<bool>,
    requests: Semaphore,
}

async fn bounded(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    if !*gate.ready.borrow() {
        return ProblemType::NotReady.because("the tasks in the cluster are still being read").into_response();
    }
    run_within(&gate.requests, request, next).await
}
