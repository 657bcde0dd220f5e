//! Takes many submissions at once: POST /api/v1/tasks/bulk. A bad one harms no other.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::Submitter;
use super::submission::Submission;
use crate::serving::body::Text;
use crate::serving::json;
use crate::serving::problem::{Problem, ProblemType, Problems};

const MOST: usize = 1000;
/// Bulk requests at once, replays of many included: their bodies are large.
const BULKS: usize = 4;
/// For all of one request; those for which there was no time are told so.
pub const TAKEN_WITHIN: Duration = Duration::from_secs(90);
/// So many are created at the same time.
const AT_ONCE: usize = 32;

/// The turns of bulk requests. Requests beyond them are sent away.
#[derive(Clone)]
pub struct Bulks(Arc<Semaphore>);

impl Default for Bulks {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BULKS)))
    }
}

impl Bulks {
    /// A turn, for as long as it is held.
    pub fn turn(&self) -> Result<SemaphorePermit<'_>, Problem> {
        let busy = "too many bulk requests at once; send it again in a moment";
        self.0.try_acquire().map_err(|_| ProblemType::Busy.because(busy))
    }
}

/// Many submissions.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Bulk<'a> {
    /// Each is taken or refused by itself. They are created side by side, so that none is sure to be first.
    #[serde(borrow)]
    #[schema(value_type = Vec<Submission>, min_items = 1, max_items = 1000)]
    tasks: Vec<&'a RawValue>,
}

/// The outcome of each submission.
#[derive(Serialize, ToSchema)]
pub struct BulkOutcome {
    /// In the order of the submissions.
    results: Vec<ItemOutcome>,
}

/// The outcome of one: a task_id, or a problem.
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
    responses((status = 207, description = "The outcome of each.", body = BulkOutcome), Problems))]
pub async fn submit_many(State(submitter): State<Arc<Submitter>>, Text(body): Text) -> Result<Response, Problem> {
    let by = Instant::now() + TAKEN_WITHIN;
    let Bulk { tasks } = json::json(&body).map_err(|problem| in_an_object(problem, &body))?;
    if !(1..=MOST).contains(&tasks.len()) {
        return Err(ProblemType::Invalid
            .because(format!("send 1 to {MOST} tasks at once, not {}", tasks.len()))
            .at("tasks"));
    }
    let outcomes: Vec<_> =
        tasks.iter().enumerate().map(|(index, text)| outcome(&submitter, index, text.get(), by)).collect();
    let results = stream::iter(outcomes).buffered(AT_ONCE).collect().await;
    Ok((StatusCode::MULTI_STATUS, Json(BulkOutcome { results })).into_response())
}

/// A list alone is what many send first.
fn in_an_object(problem: Problem, body: &str) -> Problem {
    match problem.is(ProblemType::Invalid) && body.trim_start().starts_with('[') {
        true => ProblemType::Invalid.because("a list alone is not read: write {\"tasks\": [...]} around it"),
        false => problem,
    }
}

/// Bulk requests take their turn before anything of their bodies is in memory.
pub async fn few_at_once(State(bulks): State<Bulks>, request: Request, next: Next) -> Response {
    match bulks.turn() {
        Ok(_turn) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

async fn outcome(submitter: &Submitter, index: usize, text: &str, by: Instant) -> ItemOutcome {
    match timeout_at(by, take_one(submitter, text)).await.unwrap_or_else(|_| Err(not_in_time())) {
        Ok(uid) => ItemOutcome { index, task_id: Some(uid), problem: None },
        Err(problem) => ItemOutcome { index, task_id: None, problem: Some(problem) },
    }
}

/// Some of a large request were not reached, or not answered.
pub fn not_in_time() -> Problem {
    ProblemType::Deadline.because(
        "there was no time left for this one; it may have been taken: send it again, with the same key if it has one",
    )
}

async fn take_one(submitter: &Submitter, text: &str) -> Result<String, Problem> {
    let submission = Submission::read(text)?;
    let key = submission.key()?;
    submitter.take(&submission, key).await
}
