//! Counts requests for the metrics, by route.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::metrics::Metrics;

/// The route of a path that is not served: anybody may ask for any.
const NONE: &str = "none";

pub async fn measured(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let response = next.run(request).await;
    let route = route.as_ref().map_or(NONE, MatchedPath::as_str);
    // A method may be any word.
    let method =
        if response.status() == axum::http::StatusCode::METHOD_NOT_ALLOWED { "other" } else { method.as_str() };
    let method = if route == NONE { "other" } else { method };
    metrics.answered(route, method, response.status().as_u16(), began.elapsed());
    response
}
