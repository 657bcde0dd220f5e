//! Reads everything that a decision depends on, beforehand.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::Context;
use super::cache::Gathered;
use crate::api::Task;
use crate::core::lifecycle;
use crate::core::observe::{Puzzle, Trouble};

/// How many of an object's warnings are looked at for the last one.
const EVENTS: u32 = 20;

/// `None` while the watch still shows the task as it was before our own last write.
pub async fn gather(task: &Task, context: &Context, now: Timestamp) -> Option<Gathered> {
    let mut gathered = context.cache.gather(task)?;
    let job = lifecycle::job_name(task);
    let explained = match gathered.observed.puzzle(&job, now) {
        Some(puzzle) => explain(task, puzzle, context).await,
        None => None,
    };
    gathered.observed.explained = explained;
    Some(gathered)
}

/// Job controller and kubelet tell only in events why they cannot make a pod or a container.
/// Where events cannot be read, the task goes on without an explanation.
async fn explain(task: &Task, puzzle: Puzzle<'_>, context: &Context) -> Option<Trouble> {
    let namespace = task.namespace().unwrap_or_default();
    let events = Api::<Event>::namespaced(context.client.clone(), &namespace);
    let fields = format!("involvedObject.uid={},type=Warning", puzzle.uid());
    let warnings = ListParams::default().fields(&fields).limit(EVENTS);
    match context.calls.read(events.list(&warnings)).await {
        Ok(found) => {
            let last = found.items.into_iter().max_by_key(last_seen);
            last.and_then(|event| event.message).map(|words| puzzle.explained(&words))
        }
        Err(error) => {
            tracing::debug!(namespace, %error, "events could not be read");
            None
        }
    }
}

/// When an event was last seen: one that repeats itself keeps its creationTimestamp.
fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    series.max(last).or(event.event_time.as_ref().map(|time| time.0)).or(event
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|time| time.0))
}
