//! Which path leads where, and the limits that hold for every request.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use tokio::sync::{Semaphore, watch};
use tower::{Layer, Service};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use super::app::App;
use super::ask::{list, pools, queues, result, status, statuses, task, types};
use super::follow::events;
use super::measured::measured;
use super::submit::{bulk, cancel, cancel_many, change, replay};
use super::{dead_letters, document, logs, submit};
use crate::metrics::Metrics;
use crate::serving::body::at_most;
use crate::serving::limits::{not_served, run_within};
use crate::serving::problem::ProblemType;
use crate::serving::{limits, linger, manners, problem_pages};

/// Requests at once; those beyond are sent away with 503.
const REQUESTS: usize = 256;
/// The largest payload is 128 KiB of compact JSON; written with all its escapes it is larger.
const BODY: usize = 1 << 20;
const BULK_BODY: usize = 16 << 20;
/// A handler answers by then: it asks the API server and the archive a few times, and each has eight seconds at most.
const DEADLINE: Duration = Duration::from_secs(30);
/// The same for a request about many tasks, which tells before that which of them were not done.
const OF_MANY: Duration = Duration::from_secs(120);

/// `ready` tells when the index knows the tasks that were there at the beginning.
pub fn router(app: App, ready: watch::Receiver<bool>, metrics: Arc<Metrics>) -> Router {
    let gate = Arc::new(Gate { ready, requests: Semaphore::new(REQUESTS) });
    let few = middleware::from_fn_with_state(app.clone(), bulk::few_at_once);
    let (router, paths) = OpenApiRouter::with_openapi(document::document())
        .routes(routes!(submit::submit, list::list))
        .routes(routes!(statuses::statuses))
        .routes(routes!(types::types))
        .routes(routes!(queues::queues))
        .routes(routes!(pools::pools))
        .routes(routes!(task::task, change::change))
        .routes(routes!(status::status))
        .routes(routes!(result::result))
        .routes(routes!(events::events))
        .routes(routes!(logs::log))
        .routes(routes!(cancel::cancel))
        .routes(routes!(replay::replay))
        .routes(routes!(dead_letters::dead_letters))
        .layer(middleware::from_fn(async |request, next| limits::by(DEADLINE, request, next).await))
        .merge(of_many(few))
        .route_layer(middleware::from_fn(manners::json_of_the_same_site))
        .split_for_parts();
    router
        .merge(document::pages(&paths))
        .merge(problem_pages::pages())
        .fallback(async || ProblemType::NoSuchPath.because("tasks are under /api/v1/tasks; see /openapi.json"))
        .method_not_allowed_fallback(not_served)
        .layer(middleware::from_fn_with_state(gate, bounded))
        .layer(at_most(BODY))
        .layer(middleware::from_fn(manners::unencoded))
        .layer(middleware::from_fn(linger::when_refused))
        .layer(middleware::from_fn_with_state(metrics, measured))
        .with_state(app)
}

/// The requests that are about many tasks, which take longer; `few` bounds how many have a large body.
fn of_many<L>(few: L) -> OpenApiRouter<App>
where
    L: Layer<Route> + Clone + Send + Sync + 'static,
    L::Service:
        Service<Request, Error: Into<Infallible>, Response: IntoResponse, Future: Send> + Clone + Send + Sync + 'static,
{
    OpenApiRouter::new()
        .routes(routes!(bulk::submit_many).layer(at_most(BULK_BODY)).layer(few))
        .routes(routes!(dead_letters::replay::replay_many))
        .routes(routes!(cancel_many::cancel_many))
        .layer(middleware::from_fn(async |request, next| limits::by(OF_MANY, request, next).await))
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
