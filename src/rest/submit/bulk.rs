//! Takes many submissions at once: POST /api/v1/tasks/bulk. A bad one harms no other.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::submission::Submission;
use super::take;
use crate::rest::app::App;
use crate::rest::problem::{Problem, ProblemType, Problems};
use crate::rest::request::extract::Text;
use crate::rest::request::json;

const MOST: usize = 1000;
/// So many are created at the same time.
const AT_ONCE: usize = 32;

/// Many submissions.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Bulk<'a> {
    /// Each is taken or refused by itself. They are created side by side, so that none is sure to be first.
    #[serde(borrow)]
    #[schema(value_type = Vec<Submission>, min_items = 1, max_items = 1000)]
    tasks: Vec<&'a RawValue>,
}

/// What became of each.
#[derive(Serialize, ToSchema)]
pub struct BulkOutcome {
    /// In the order of the submissions.
    results: Vec<ItemOutcome>,
}

/// What became of one: a task_id, or a problem.
#[derive(Serialize, ToSchema)]
pub struct ItemOutcome {
    /// Its place among the submissions, from 0.
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

/// Submit many tasks
///
/// Up to 1,000. Each has its own outcome; a bad one harms no other.
#[utoipa::path(post, path = "/api/v1/tasks/bulk", tag = "tasks", request_body = Bulk,
    responses((status = 207, description = "What became of each.", body = BulkOutcome), Problems))]
pub async fn submit_many(State(app): State<Arc<App>>, Text(body): Text) -> Result<Response, Problem> {
    let Bulk { tasks } = json::json(&body)?;
    if !(1..=MOST).contains(&tasks.len()) {
        return Err(ProblemType::Invalid
            .because(format!("send 1 to {MOST} tasks at once, not {}", tasks.len()))
            .at("tasks"));
    }
    let outcomes: Vec<_> = tasks.iter().enumerate().map(|(index, text)| outcome(&app, index, text.get())).collect();
    let results = stream::iter(outcomes).buffered(AT_ONCE).collect().await;
    Ok((StatusCode::MULTI_STATUS, Json(BulkOutcome { results })).into_response())
}

/// Only so many are let in at once, before anything of their bodies is in memory.
pub async fn few_at_once(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match app.bulks.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => {
            ProblemType::Busy.because("too many bulk submissions at once; send it again in a moment").into_response()
        }
    }
}

async fn outcome(app: &App, index: usize, text: &str) -> ItemOutcome {
    match take_one(app, text).await {
        Ok(uid) => ItemOutcome { index, task_id: Some(uid), problem: None },
        Err(problem) => ItemOutcome { index, task_id: None, problem: Some(problem) },
    }
}

async fn take_one(app: &App, text: &str) -> Result<String, Problem> {
    let submission = Submission::read(text)?;
    let key = submission.key()?;
    take(app, &submission, key).await
}
