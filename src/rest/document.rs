//! /openapi.json, made from the types, and /docs, a page that renders it and fetches nothing from elsewhere.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::Html;
use axum::routing::get;
use utoipa::OpenApi;

use super::app::App;
use crate::serving::problem::{Problem, ProblemType};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Task Manager",
        description = "Hand off long, heavy or failure-prone work, follow it, and fetch its result. Every error is \
                       a problem (RFC 9457) with a stable type, a sentence, and the field that it is about; /problems \
                       lists the types.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags((name = "tasks", description = "One piece of work each."),
        (name = "types, queues and pools", description = "What there is, how full it is, and what it waits for."),
        (name = "dead letters", description = "Tasks that failed, and how they are run again.")),
    components(schemas(Problem, ProblemType))
)]
struct Document;

/// The document without its paths.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

const PAGE: &str = include_str!("docs.html");
const JSON: &str = "application/json";

/// The document, its page, and the way there.
pub fn pages(document: &utoipa::openapi::OpenApi) -> Router<App> {
    let text: Arc<str> = document.to_json().unwrap_or_default().into();
    Router::new()
        .route("/openapi.json", get(async move || ([(header::CONTENT_TYPE, JSON)], text.to_string())))
        .route("/docs", get(async || Html(PAGE)))
        // Beside it, wherever a gateway puts that.
        .route("/", get(async || (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "docs")])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use strum::IntoEnumIterator;

    #[test]
    fn every_type_of_problem_is_in_the_document_with_its_status() {
        let document: Value = serde_json::from_str(&document().to_json().expect("JSON")).expect("JSON");
        let kinds = &document["components"]["schemas"]["ProblemType"]["oneOf"];
        let kinds = kinds.as_array().expect("a choice");
        assert_eq!(kinds.len(), ProblemType::iter().count());
        for (kind, told) in ProblemType::iter().zip(kinds) {
            let problem = kind.because("x");
            assert_eq!((&told["enum"][0], &told["title"]), (&problem.kind.into(), &problem.title.into()));
            let begins = format!("{}. ", problem.status);
            assert!(told["description"].as_str().is_some_and(|text| text.starts_with(&begins)), "{told}");
        }
        let kind = &document["components"]["schemas"]["Problem"]["properties"]["type"];
        assert!(kind.to_string().contains("#/components/schemas/ProblemType"), "{kind}");
    }
}
