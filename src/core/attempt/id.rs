//! Which attempt of which run of which task.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use task_manager_api::{Task, TaskStatus};

/// Names one attempt. A pod's uid does not: a pod may work on several attempts, one after another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptId {
    /// The task's uid.
    pub uid: String,
    pub run_id: String,
    /// When the run began: its runId may be used again.
    pub began: Timestamp,
    pub attempt: i32,
}

impl AttemptId {
    /// The present attempt, or the last one.
    pub fn of(task: &Task) -> Self {
        let status = task.status_or_default();
        Self {
            uid: task.metadata.uid.clone().unwrap_or_default(),
            run_id: status.run_id.as_ref().unwrap_or(&task.spec.run_id).clone(),
            began: run_began(task, status),
            attempt: status.attempt,
        }
    }
}

/// When the run that `status` speaks of entered the queue.
pub fn run_began(task: &Task, status: &TaskStatus) -> Timestamp {
    let created = task.metadata.creation_timestamp.as_ref().map(|time| time.0);
    status.queued_at.as_ref().map(|time| time.0).or(created).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The status with the number of the attempt to come. That, the run and its arrival are what its Job is named by.
pub fn next_attempt(task: &Task, arrival: u64) -> TaskStatus {
    let status = task.status_or_default().clone();
    TaskStatus {
        attempt: status.attempt.saturating_add(1),
        arrival: status.arrival.or_else(|| Some(arrival.to_string())),
        ..status
    }
}
