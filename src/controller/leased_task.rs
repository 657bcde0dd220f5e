//! A task as the worker that holds its lease gets it.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::value::RawValue;

use crate::api::worker_protocol::LeasedTask;
use crate::api::{Payload, Task};
use crate::core::attempt::id::{AttemptId, run_began};
use crate::core::attempt::lease;
use crate::core::launch::resources;
use crate::core::time::after;
use crate::core::{ParsedType, Policy};

/// The uid of the worker that the task was admitted to.
pub fn worker_uid(task: &Task) -> Option<&str> {
    Some(&task.status.as_ref()?.admitted.as_ref()?.worker.as_ref()?.uid)
}

/// The name of its lease.
pub fn lease_name(task: &Task) -> Option<String> {
    worker_uid(task).map(|worker| lease::name(&AttemptId::of(task), worker))
}

/// `task` must have its whole payload; it was first handed out at `first`. `checkpoint`: there is one, or there may be.
pub fn of(task: &Task, kind: &ParsedType, heartbeat: i64, first: Timestamp, checkpoint: bool) -> Option<LeasedTask> {
    let policy = Policy::of(&task.spec, Some(&kind.spec));
    let status = task.status.as_ref()?;
    let overdue = after(first, SignedDuration::from_secs(policy.timeout_seconds));
    let deadline = task
        .spec
        .deadline_seconds
        .map(|seconds| after(run_began(task, status), SignedDuration::from_secs(seconds.into())));
    let memory = resources::of_pool_task(task, kind)
        .limits
        .get(resources::MEMORY)
        .and_then(|limit| limit.amount().ok())
        .map(|amount| amount.as_f64() as u64);
    Some(LeasedTask {
        lease: lease_name(task)?,
        id: task.uid().unwrap_or_default(),
        name: task.name_any(),
        type_: task.spec.type_.clone(),
        attempt: status.attempt,
        kb_id: task.spec.kb_id.clone(),
        payload: payload(task.spec.payload.as_ref())?,
        timeout_seconds: policy.timeout_seconds,
        ends_at: deadline.map_or(overdue, |deadline| deadline.min(overdue)),
        heartbeat_seconds: u32::try_from(heartbeat).unwrap_or_default(),
        memory_bytes: memory,
        checkpoint,
        traceparent: None,
    })
}

fn payload(payload: Option<&Payload>) -> Option<Box<RawValue>> {
    let text = payload.map_or_else(|| Ok("{}".to_owned()), serde_json::to_string).ok()?;
    RawValue::from_string(text).ok()
}
