//! Reads the events of a Job or pod. Never judges what they mean.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::api::Task;
use crate::cluster::calls::CallError;
use crate::cluster::rights::Right;
use crate::controller::Context;
use crate::core::attempt::facts::PodEvent;

/// How many events are asked for at once.
const PAGE: u32 = 200;
/// How many pages are asked for. An object has hardly ever more than one; events come by name, so the newest may be last.
const PAGES: usize = 10;

/// The events of the object of this uid. Where events may not be read, the task goes on without an explanation. An answer
/// that did not come is asked for again: an event may tell that the work has begun.
pub async fn of(task: &Task, uid: &str, context: &Context) -> Result<Vec<PodEvent>, CallError> {
    let namespace = task.namespace().unwrap_or_default();
    let events = Api::<Event>::namespaced(context.client.clone(), &namespace);
    let mut wanted = ListParams::default().fields(&format!("involvedObject.uid={uid}")).limit(PAGE);
    let mut found = vec![];
    for _ in 0..PAGES {
        let answer = context.calls.read(events.list(&wanted)).await;
        context.calls.reads.rights.note(Right::ListEvents, &namespace, &answer);
        let page = match answer {
            Ok(page) => page,
            Err(CallError::Refused(_)) => return Ok(vec![]),
            Err(error) => return Err(error),
        };
        found.extend(page.items.into_iter().filter_map(event));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => wanted = wanted.continue_token(&token),
            None => break,
        }
    }
    Ok(found)
}

/// The same where nothing depends on them but words.
pub async fn if_they_come(task: &Task, uid: &str, context: &Context) -> Result<Vec<PodEvent>, CallError> {
    match of(task, uid, context).await {
        Err(CallError::NotLeader) => Err(CallError::NotLeader),
        Err(error) => {
            tracing::debug!(namespace = task.namespace(), task = task.name_any(), %error, "events did not come");
            Ok(vec![])
        }
        found => found,
    }
}

fn event(event: Event) -> Option<PodEvent> {
    let (last_seen, first_seen) = (last_seen(&event), event.first_timestamp.as_ref().map(|time| time.0));
    let reported_by = event.reporting_component.filter(|component| !component.is_empty());
    Some(PodEvent {
        component: reported_by.or(event.source.and_then(|source| source.component)).unwrap_or_default(),
        is_warning: event.type_.as_deref() == Some("Warning"),
        container: event.involved_object.field_path.as_deref().and_then(container).map(str::to_owned),
        reason: event.reason.unwrap_or_default(),
        message: event.message?,
        first_seen: first_seen.or(last_seen),
        last_seen,
    })
}

/// `spec.containers{work}` names a container.
fn container(field_path: &str) -> Option<&str> {
    field_path.split_once('{')?.1.strip_suffix('}')
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
