//! Reads everything that a decision depends on, beforehand.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::Context;
use super::cache::Gathered;
use super::calls::CallError;
use crate::api::Task;
use crate::core::lifecycle;
use crate::core::observe::{Puzzle, Trouble};

/// How many of an object's warnings are looked at for the last one.
const EVENTS: u32 = 20;

/// `None` while the watch still shows the task as it was before our own last write.
pub async fn gather(task: &Task, context: &Context, now: Timestamp) -> Result<Option<Gathered>, CallError> {
    let Some(mut gathered) = context.cache.gather(task) else { return Ok(None) };
    let job = lifecycle::job_name(task);
    let explained = match gathered.observed.puzzle(&job, now) {
        Some(puzzle) => explain(task, puzzle, context).await?,
        None => None,
    };
    gathered.observed.explained = explained;
    Ok(Some(gathered))
}

/// Job controller and kubelet tell only in events why they cannot make a pod or a container.
async fn explain(task: &Task, puzzle: Puzzle<'_>, context: &Context) -> Result<Option<Trouble>, CallError> {
    let namespace = task.namespace().unwrap_or_default();
    let events = Api::<Event>::namespaced(context.client.clone(), &namespace);
    let fields = format!("involvedObject.uid={},type=Warning", puzzle.uid());
    let warnings = ListParams::default().fields(&fields).limit(EVENTS);
    let found = context.calls.read(events.list(&warnings)).await?;
    let last = found.items.into_iter().max_by_key(ResourceExt::creation_timestamp);
    Ok(last.and_then(|event| event.message).map(|words| puzzle.explained(&words)))
}
