//! A task as a whole: GET /api/v1/tasks/{id}. Its payload and result are not in memory, so they are read from the
//! API server; those of a task that is no longer in the cluster are in the archive.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::status::Status;
use super::stored_result::LargeResultRef;
use crate::api::{AttemptRecord, BatchStatus, Payload, Task};
use crate::archive::Record;
use crate::rest::find::Finder;
use crate::rest::index::{Index, IndexedTask};
use crate::rest::request::id::Id;
use crate::rest::wire;
use crate::serving::problem::{Problem, Problems};

/// A task with all that is known of it.
#[derive(Serialize, ToSchema)]
pub struct Whole {
    #[serde(flatten)]
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    payload: Option<Value>,
    /// The work's result, JSON or text. JSON that Kubernetes could not keep as it was written is answered byte for byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    result: Option<Box<RawValue>>,
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
    /// Where the items of a batch are.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<BatchCounts>,
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

/// Where the items of a batch are. Each is counted once.
#[derive(Serialize, ToSchema)]
pub struct BatchCounts {
    total: i64,
    done: i64,
    /// For good.
    failed: i64,
    /// Of chunks that are at work.
    running: i64,
    /// They have failed, and are tried again.
    waiting_for_retry: i64,
    not_started: i64,
    /// Their chunk was stopped with the batch.
    cancelled: i64,
    /// The indexes of those that failed for good, as 17,300-305; cut at 2048 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_items: Option<String>,
}

impl From<BatchStatus> for BatchCounts {
    fn from(status: BatchStatus) -> Self {
        let BatchStatus { total, done, failed, running, waiting_for_retry, not_started, cancelled, failed_items } =
            status;
        Self { total, done, failed, running, waiting_for_retry, not_started, cancelled, failed_items }
    }
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

/// Get a task
///
/// The whole of it, with its payload, its result and its attempts.
#[utoipa::path(get, path = "/api/v1/tasks/{id}", tag = "tasks",
    params(("id" = String, Path, description = "The task_id")),
    responses((status = 200, description = "The task.", body = Whole), Problems))]
pub async fn task(
    State(finder): State<Arc<Finder>>,
    State(index): State<Arc<Index>>,
    Id(id): Id,
) -> Result<Json<Whole>, Problem> {
    let known = finder.find(&id).await?;
    let (task, record) = futures::join!(finder.in_cluster(&known), record_of_final(&finder, &known));
    let (task, record) = match (task?, record) {
        (Some(task), record) => (task, record.ok().flatten()),
        (None, Ok(Some(record))) => (record.task(), Some(record)),
        // It was deleted a moment ago.
        (None, Ok(None)) => finder.record_of(&known).await.map(|record| (record.task(), Some(record)))?,
        (None, Err(problem)) => return Err(problem),
    };
    Ok(Json(whole(&index, task, &known, record)))
}

/// The record of a task that is final; of no other there is one that tells of its present run.
async fn record_of_final(finder: &Finder, known: &IndexedTask) -> Result<Option<Record>, Problem> {
    if known.state.is_final() { finder.record_of(known).await.map(Some) } else { Ok(None) }
}

fn whole(index: &Index, task: Task, known: &IndexedTask, record: Option<Record>) -> Whole {
    let kind = index.kind(&known.head.namespace, &task.spec.type_);
    let now = IndexedTask::of(&task, kind.as_deref(), Some(known));
    let replay_of = now.replay_of.as_deref().map(str::to_owned);
    let told = task.status.unwrap_or_default();
    let record = record.filter(|record| Some(&record.summary.run_id) == told.run_id.as_ref());
    let (log, replayed_by) = record.map(|record| (record.details.log, record.summary.replayed_by)).unwrap_or_default();
    Whole {
        status: Status::of(&now, index),
        payload: task.spec.payload.and_then(content),
        result: told.result.as_ref().and_then(|left| wire::result(left, told.result_as_text)),
        large_result: told.result_ref.map(LargeResultRef::from),
        result_truncated: told.result_truncated,
        timeout_seconds: task.spec.timeout_seconds,
        deadline_seconds: task.spec.deadline_seconds,
        ttl_seconds: task.spec.ttl_seconds_after_finished,
        start_after: task.spec.start_after.map(|time| time.0),
        batch: told.batch.map(BatchCounts::from),
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
