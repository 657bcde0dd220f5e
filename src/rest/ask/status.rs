//! How tasks stand, from memory: GET /api/v1/tasks/{id}/status and POST /api/v1/tasks/status.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::wire::{Phase, Priority, Progress};
use crate::rest::app::App;
use crate::rest::index::Index;
use crate::rest::index::entry::IndexedTask;
use crate::rest::problem::{Problem, ProblemType, Problems};
use crate::rest::request::extract::{Body, Id};

const MOST: usize = 1000;

/// How a task stands.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Status {
    pub task_id: String,
    /// queued, processing, completed, failed or cancelled.
    pub status: Phase,
    pub task_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kb_id: Option<String>,
    pub namespace: String,
    pub name: String,
    pub queue: String,
    /// The priority in force.
    pub priority: Priority,
    /// How often it was launched; the number of the last attempt.
    pub attempt: i32,
    /// Attempts that failed and count against retry.limit.
    pub failures: i32,
    /// Attempts lost to the cluster.
    pub disruptions: i32,
    /// Why it is in this state, in one word.
    pub reason: String,
    /// The reason in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Its place in its queue, from 1; absent where it does not wait for its turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    pub created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// When it may be tried again after a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// The pod that runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
}

impl Status {
    pub fn of(entry: &IndexedTask, index: &Index) -> Self {
        let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        Self {
            task_id: entry.uid.to_string(),
            status: entry.state.into(),
            task_type: entry.kind.to_string(),
            kb_id: text(&entry.kb_id),
            namespace: entry.namespace.to_string(),
            name: entry.name.to_string(),
            queue: entry.queue.to_string(),
            priority: entry.priority.into(),
            attempt: entry.attempt,
            failures: entry.failures,
            disruptions: entry.disruptions,
            reason: entry.reason.to_string(),
            message: text(&entry.message),
            queue_position: index.position(entry),
            progress: index.progress(entry).as_ref().map(Progress::from),
            created_at: entry.created_at,
            queued_at: entry.queued_at,
            started_at: entry.started_at,
            finished_at: entry.finished_at,
            next_attempt_at: entry.next_attempt_at,
            worker: text(&entry.worker),
        }
    }
}

/// How a task stands
///
/// From memory: asking costs the cluster nothing. With If-None-Match an unchanged status is answered with 304.
#[utoipa::path(get, path = "/api/v1/tasks/{id}/status", tag = "tasks",
    params(("id" = String, Path, description = "The task_id"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of the last answer")),
    responses((status = 200, description = "How it stands.", body = Status, headers(("ETag" = String))),
        (status = 304, description = "As before."), Problems))]
pub async fn status(State(app): State<Arc<App>>, Id(id): Id, headers: HeaderMap) -> Result<Response, Problem> {
    let entry = app.find(&id).await?;
    Ok(tagged(&Status::of(&entry, &app.index), &headers))
}

/// An answer with an ETag, or 304 when the client has it already.
fn tagged(status: &Status, headers: &HeaderMap) -> Response {
    let body = serde_json::to_vec(status).unwrap_or_default();
    let digest: String = Sha256::digest(&body).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{digest}\"");
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut known = known.flat_map(|value| value.split(',')).map(|value| value.trim().trim_start_matches("W/"));
    let same = known.any(|value| value == tag || value == "*");
    let headers = [(header::ETAG, tag), (header::CACHE_CONTROL, "no-cache".into())];
    if same {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Which tasks are asked about.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskIds {
    /// Up to 1,000.
    #[schema(min_items = 1, max_items = 1000)]
    task_ids: Vec<String>,
}

/// How they stand.
#[derive(Serialize, ToSchema)]
pub struct Statuses {
    statuses: Vec<Status>,
    /// Ids that no task has.
    not_found: Vec<String>,
}

/// How many tasks stand
///
/// Up to 1,000 in one request, from memory.
#[utoipa::path(post, path = "/api/v1/tasks/status", tag = "tasks", request_body = TaskIds,
    responses((status = 200, description = "How they stand.", body = Statuses), Problems))]
pub async fn statuses(
    State(app): State<Arc<App>>,
    Body(TaskIds { task_ids }): Body<TaskIds>,
) -> Result<Json<Statuses>, Problem> {
    if !(1..=MOST).contains(&task_ids.len()) {
        let detail = format!("ask for 1 to {MOST} tasks at once, not {}", task_ids.len());
        return Err(ProblemType::Invalid.because(detail).at("task_ids"));
    }
    // All that are not known are waited for together, until nobody knows about one of them.
    let found = futures::future::try_join_all(task_ids.iter().map(|id| found(&app, id))).await?;
    let mut answer = Statuses { statuses: vec![], not_found: vec![] };
    for (id, found) in task_ids.into_iter().zip(found) {
        match found {
            Some(entry) => answer.statuses.push(Status::of(&entry, &app.index)),
            None => answer.not_found.push(id),
        }
    }
    Ok(Json(answer))
}

/// The task, or that there is none.
async fn found(app: &App, id: &str) -> Result<Option<Arc<IndexedTask>>, Problem> {
    match app.find(id).await {
        Err(problem) if problem.is(ProblemType::UnknownTask) => Ok(None),
        found => found.map(Some),
    }
}
