//! /openapi.json, made from the types, and /docs, a page that renders it and fetches nothing from elsewhere.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::Html;
use axum::routing::get;
use utoipa::OpenApi;

use super::app::App;
use crate::serving::problem::Problem;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Task Manager",
        description = "Hand off long, heavy or failure-prone work, follow it, and fetch its result. Every error is \
                       a problem (RFC 9457) with a stable type, a sentence, and the field that it is about.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags((name = "tasks", description = "One piece of work each."),
        (name = "dead letters", description = "Tasks that failed, and how they are run again.")),
    components(schemas(Problem))
)]
struct Document;

/// The document without its paths.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

const PAGE: &str = include_str!("docs.html");
const JSON: &str = "application/json";

/// The document, and its page.
pub fn pages(document: &utoipa::openapi::OpenApi) -> Router<App> {
    let text: Arc<str> = document.to_json().unwrap_or_default().into();
    Router::new()
        .route("/openapi.json", get(async move || ([(header::CONTENT_TYPE, JSON)], text.to_string())))
        .route("/docs", get(async || Html(PAGE)))
}
