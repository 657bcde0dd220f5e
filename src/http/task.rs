//! A task as a whole: GET /api/v1/tasks/{id}. Its payload and result are not in memory, so they are read from the
//! API server.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::app::App;
use super::entry::Entry;
use super::extract::{Id, unknown_task};
use super::problem::{Problem, Problems};
use super::status::Status;
use crate::api::{AttemptRecord, Payload, Task};

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
    let task = read(&app, &known).await?;
    let kind = app.index.kind(&known.namespace, &task.spec.type_);
    let status = Status::of(&Entry::of(&task, kind.as_deref(), Some(&known)), &app.index);
    let told = task.status.unwrap_or_default();
    Ok(Json(Whole {
        status,
        payload: task.spec.payload.and_then(content),
        result: told.result,
        result_truncated: told.result_truncated,
        timeout_seconds: task.spec.timeout_seconds,
        deadline_seconds: task.spec.deadline_seconds,
        ttl_seconds: task.spec.ttl_seconds_after_finished,
        start_after: task.spec.start_after.map(|time| time.0),
        attempts: told.attempts.into_iter().map(Attempt::from).collect(),
    }))
}

fn content(payload: Payload) -> Option<Value> {
    match payload {
        Payload::Whole(content) => Some(Value::Object(content)),
        Payload::Measured { .. } => None,
    }
}

/// The task as the API server has it, if it still is the one that is meant.
pub async fn read(app: &App, known: &Entry) -> Result<Task, Problem> {
    let task = app.calls.task(&known.namespace, &known.name).await?;
    let task = task.filter(|task| task.uid().as_deref() == Some(&*known.uid)).ok_or_else(unknown_task)?;
    app.index.task_seen(&task);
    Ok(task)
}
