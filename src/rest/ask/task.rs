//! A task as a whole: GET /api/v1/tasks/{id}. Its payload and result are not in memory, so they are read from the
//! API server; those of a task that is no longer in the cluster are in the archive.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::large::LargeResultRef;
use super::status::Status;
use crate::api::{AttemptRecord, Payload, Task};
use crate::archive::Record;
use crate::core::launch::names;
use crate::rest::app::App;
use crate::rest::index::entry::IndexedTask;
use crate::rest::problem::{Problem, Problems};
use crate::rest::request::extract::Id;

/// A task with all that is known of it.
#[derive(Serialize, ToSchema)]
pub struct Whole {
    #[serde(flatten)]
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    payload: Option<Value>,
    /// What the work left, JSON or text.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
    /// A result that is too large to be shown here.
    #[serde(skip_serializing_if = "Option::is_none")]
    large_result: Option<LargeResultRef>,
    /// The result was too long and only its end is kept.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    result_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_seconds: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_seconds: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_seconds: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_after: Option<Timestamp>,
    /// The attempts that have ended, newest last, at most 10.
    attempts: Vec<Attempt>,
    /// The last lines that the last attempt wrote, up to 200 lines or 64 KiB; of a task that failed, where
    /// its pod was still there: one that was ended for `deadline_seconds` may be gone by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    /// The task_id of the task that this one repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay_of: Option<String>,
    /// The task_id of the task that repeats this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed_by: Option<String>,
}

/// One attempt that has ended.
#[derive(Serialize, ToSchema)]
pub struct Attempt {
    /// 1 for the first.
    number: i32,
    /// succeeded, failed, disrupted or cancelled.
    outcome: String,
    /// Why it ended so, in one word.
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
}

impl From<AttemptRecord> for Attempt {
    fn from(record: AttemptRecord) -> Self {
        Self {
            number: record.number,
            outcome: record.outcome.to_string().to_lowercase(),
            reason: record.reason.to_string(),
            message: record.message,
            exit_code: record.exit_code,
            started_at: record.started_at.map(|time| time.0),
            finished_at: record.finished_at.map(|time| time.0),
            worker: record.pod,
            node: record.node,
        }
    }
}

/// A task as a whole
///
/// With its payload, its result and its attempts.
#[utoipa::path(get, path = "/api/v1/tasks/{id}", tag = "tasks",
    params(("id" = String, Path, description = "The task_id")),
    responses((status = 200, description = "The task.", body = Whole), Problems))]
pub async fn task(State(app): State<Arc<App>>, Id(id): Id) -> Result<Json<Whole>, Problem> {
    let known = app.find(&id).await?;
    let (task, record) = futures::join!(in_cluster(&app, &known), of_final(&app, &known));
    let (task, record) = match (task?, record) {
        (Some(task), record) => (task, record.ok().flatten()),
        (None, Ok(Some(record))) => (record.task(), Some(record)),
        // It was deleted a moment ago.
        (None, Ok(None)) => app.record_of(&known).await.map(|record| (record.task(), Some(record)))?,
        (None, Err(problem)) => return Err(problem),
    };
    Ok(Json(whole(&app, task, &known, record)))
}

/// The record of a task that is final; of no other there is one that tells of its present run.
async fn of_final(app: &App, known: &IndexedTask) -> Result<Option<Record>, Problem> {
    if known.state.is_final() { app.record_of(known).await.map(Some) } else { Ok(None) }
}

fn whole(app: &App, task: Task, known: &IndexedTask, record: Option<Record>) -> Whole {
    let kind = app.index.kind(&known.namespace, &task.spec.type_);
    let status = Status::of(&IndexedTask::of(&task, kind.as_deref(), Some(known)), &app.index);
    let replay_of = task.annotations().get(names::ANNOTATION_REPLAY_OF).cloned();
    let told = task.status.unwrap_or_default();
    let record = record.filter(|record| Some(&record.summary.run_id) == told.run_id.as_ref());
    let (log, replayed_by) = record.map(|record| (record.details.log, record.summary.replayed_by)).unwrap_or_default();
    Whole {
        status,
        payload: task.spec.payload.and_then(content),
        result: told.result,
        large_result: told.result_ref.map(LargeResultRef::from),
        result_truncated: told.result_truncated,
        timeout_seconds: task.spec.timeout_seconds,
        deadline_seconds: task.spec.deadline_seconds,
        ttl_seconds: task.spec.ttl_seconds_after_finished,
        start_after: task.spec.start_after.map(|time| time.0),
        attempts: told.attempts.into_iter().map(Attempt::from).collect(),
        log,
        replay_of,
        replayed_by,
    }
}

fn content(payload: Payload) -> Option<Value> {
    match payload {
        Payload::Whole(content) => Some(Value::Object(content)),
        Payload::Measured { .. } => None,
    }
}

/// The task with all that is in it: as the API server has it, else as it was archived.
pub async fn read(app: &App, known: &IndexedTask) -> Result<Task, Problem> {
    if let Some(task) = in_cluster(app, known).await? {
        return Ok(task);
    }
    app.record_of(known).await.map(|record| record.task())
}

/// The task as the API server has it, if it still is the one that is meant.
async fn in_cluster(app: &App, known: &IndexedTask) -> Result<Option<Task>, Problem> {
    if !known.is_in_cluster() {
        return Ok(None);
    }
    let task = app.calls.task(&known.namespace, &known.name).await?;
    let task = task.filter(|task| task.uid().as_deref() == Some(&*known.uid));
    task.iter().for_each(|task| app.index.task_seen(task));
    Ok(task)
}
