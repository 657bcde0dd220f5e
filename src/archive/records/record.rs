//! The record of one run of one task. Built from the task and its status alone; reads no clock.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::{AttemptRecord, BatchStatus, Priority, Progress, Reason, ResultRef, State, Task, TaskStatus};
use crate::core::launch::names::{ANNOTATION_BODY_DIGEST, ANNOTATION_REPLAY_OF};

/// The most lines of a log that are kept: its last ones.
pub const LOG_LINES: usize = 200;
/// The most bytes of a log that are kept.
pub const LOG_BYTES: usize = 64 * 1024;

/// One run of one task: all that the archive keeps of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub summary: RecordSummary,
    pub details: RecordDetails,
}

/// The part of a record that lists show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordSummary {
    /// The uid of the task. With `run_id` it identifies the record.
    pub uid: String,
    pub run_id: String,
    pub namespace: String,
    pub name: String,
    #[serde(rename = "type")]
    pub type_: String,
    pub kb_id: Option<String>,
    pub priority: Priority,
    pub queue: String,
    pub state: State,
    pub reason: Reason,
    pub message: Option<String>,
    /// Launches of this run.
    pub attempt: i32,
    pub failures: i32,
    pub disruptions: i32,
    pub created_at: Option<Timestamp>,
    pub queued_at: Option<Timestamp>,
    /// When the last attempt's pod started.
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// The uid of the task that this one repeats.
    pub replay_of: Option<String>,
    /// The uid of the task that repeats this one, where the archive has been told of it.
    pub replayed_by: Option<String>,
    pub archived_at: Timestamp,
    /// The uid of the batch that this task was a chunk of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk_of: Option<String>,
}

/// The part of a record that only a request for this record returns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RecordDetails {
    /// The whole spec, payload included.
    pub spec: Value,
    /// Whether the payload was no longer known when the record was written. Then `spec` has none, and the task cannot
    /// be run again.
    #[serde(skip_serializing_if = "is_false")]
    pub payload_lost: bool,
    /// The attempts that the status kept, newest last.
    pub attempts: Vec<AttemptRecord>,
    pub result: Option<Value>,
    pub result_truncated: bool,
    /// Whether `result` is the text of a result of JSON.
    #[serde(skip_serializing_if = "is_false")]
    pub result_as_text: bool,
    /// Points to the result where it is stored beside the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_ref: Option<ResultRef>,
    /// The last lines that the last attempt's container logged.
    pub log: Option<String>,
    /// The pod and the node of the last attempt.
    pub worker: Option<String>,
    pub node: Option<String>,
    /// The last progress that the work reported.
    pub progress: Option<Progress>,
    /// Where the items of a batch were in the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchStatus>,
    /// The digest of the request that submitted the task with an idempotency key. The key itself is in the task's
    /// name.
    pub body_digest: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Record {
    /// The record of the run that `status` describes. Where a cache dropped the payload of `task`, the record has
    /// none.
    pub fn of(task: &Task, status: &TaskStatus, log: Option<&str>, now: Timestamp) -> Self {
        Self { summary: summary(task, status, now), details: details(task, status, log) }
    }

    /// The record of a deleted task: Cancelled, unless its run was final already.
    pub fn of_deleted(task: &Task, log: Option<&str>, now: Timestamp) -> Self {
        let before = task.status.clone().unwrap_or_default();
        if before.state.is_final() {
            return Self::of(task, &before, log, now);
        }
        let status = TaskStatus {
            state: State::Cancelled,
            reason: Reason::Deleted,
            message: Some(format!("it was deleted while it was {} ({})", before.state, before.reason)),
            finished_at: Some(MicroTime(now)),
            ..before
        };
        Self::of(task, &status, log, now)
    }

    /// The size of the record in bytes as it is stored.
    pub fn bytes(&self) -> usize {
        let told = serde_json::to_vec(&self.summary).map_or(0, |told| told.len());
        told + serde_json::to_vec(&self.details).map_or(0, |rest| rest.len())
    }

    /// The task at the end of this run: the input of [`Record::of`], as far as the record keeps it.
    pub fn task(&self) -> Task {
        let spec = serde_json::from_value(self.details.spec.clone()).unwrap_or_default();
        let mut task = Task::new(&self.summary.name, spec);
        let annotations =
            [(ANNOTATION_REPLAY_OF, &self.summary.replay_of), (ANNOTATION_BODY_DIGEST, &self.details.body_digest)];
        let annotations = annotations.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        task.metadata.annotations = Some(annotations.collect());
        task.metadata.uid = Some(self.summary.uid.clone());
        task.metadata.namespace = Some(self.summary.namespace.clone());
        task.metadata.creation_timestamp = self.summary.created_at.map(Time);
        task.status = Some(self.status());
        task
    }

    fn status(&self) -> TaskStatus {
        let Self { summary, details } = self;
        TaskStatus {
            run_id: Some(summary.run_id.clone()),
            state: summary.state,
            reason: summary.reason,
            message: summary.message.clone(),
            priority: Some(summary.priority),
            attempt: summary.attempt,
            failures: summary.failures,
            disruptions: summary.disruptions,
            attempts: details.attempts.clone(),
            queued_at: summary.queued_at.map(MicroTime),
            started_at: summary.started_at.map(MicroTime),
            finished_at: summary.finished_at.map(MicroTime),
            worker: details.worker.clone(),
            progress: details.progress.clone(),
            batch: details.batch.clone(),
            result: details.result.clone(),
            result_truncated: details.result_truncated,
            result_as_text: details.result_as_text,
            result_ref: details.result_ref.clone(),
            ..TaskStatus::default()
        }
    }

    /// The start of the run, by which an earlier run is told from a later one.
    pub fn began(&self) -> Timestamp {
        self.summary.queued_at.or(self.summary.created_at).unwrap_or_default()
    }

    /// The time by which records are listed: the end of the run, or when the record was last written.
    pub(crate) fn at(&self) -> Timestamp {
        self.summary.finished_at.unwrap_or(self.summary.archived_at)
    }
}

fn summary(task: &Task, status: &TaskStatus, now: Timestamp) -> RecordSummary {
    let time = |time: &Option<MicroTime>| time.as_ref().map(|time| time.0);
    let queue = status.admitted.as_ref().map_or(&task.spec.queue, |admitted| &admitted.queue);
    RecordSummary {
        uid: task.uid().unwrap_or_default(),
        run_id: status.run_id.clone().unwrap_or_else(|| task.spec.run_id.clone()),
        namespace: task.namespace().unwrap_or_default(),
        name: task.name_any(),
        type_: task.spec.type_.clone(),
        kb_id: task.spec.kb_id.clone(),
        priority: status.priority.or(task.spec.priority).unwrap_or_default(),
        queue: queue.clone(),
        state: status.state,
        reason: status.reason,
        message: status.message.clone(),
        attempt: status.attempt,
        failures: status.failures,
        disruptions: status.disruptions,
        created_at: task.creation_timestamp().map(|time| time.0),
        queued_at: time(&status.queued_at),
        started_at: time(&status.started_at),
        finished_at: time(&status.finished_at),
        replay_of: task.annotations().get(ANNOTATION_REPLAY_OF).cloned(),
        replayed_by: None,
        archived_at: now,
        chunk_of: task.spec.chunk.as_ref().map(|chunk| chunk.uid.clone()),
    }
}

fn details(task: &Task, status: &TaskStatus, log: Option<&str>) -> RecordDetails {
    let (spec, payload_lost) = spec(task);
    RecordDetails {
        spec,
        payload_lost,
        attempts: status.attempts.clone(),
        result: status.result.clone(),
        result_truncated: status.result_truncated,
        result_as_text: status.result_as_text,
        result_ref: status.result_ref.clone(),
        log: log.map(|log| tail(log).to_owned()),
        worker: status.worker.clone(),
        progress: status.progress.clone(),
        batch: status.batch.clone(),
        node: status.attempts.last().and_then(|attempt| attempt.node.clone()),
        body_digest: task.annotations().get(ANNOTATION_BODY_DIGEST).cloned(),
    }
}

/// The spec, and whether its payload is missing, or the items of its batch.
fn spec(task: &Task) -> (Value, bool) {
    let is_whole = task.spec.is_whole();
    let spec = if is_whole { task.spec.clone() } else { task.spec.without_measured() };
    (serde_json::to_value(spec).unwrap_or_default(), !is_whole)
}

/// The end of a log that a record keeps.
pub fn tail(log: &str) -> &str {
    let log = log.trim_end_matches('\n');
    let of_lines = log.rmatch_indices('\n').nth(LOG_LINES - 1).map_or(0, |(before, _)| before + 1);
    let of_bytes = log.ceil_char_boundary(log.len().saturating_sub(LOG_BYTES));
    &log[of_lines.max(of_bytes)..]
}

#[cfg(test)]
mod tests;
