//! Events for what went wrong or is stuck. They are news, not state: told after the status was written, in the
//! background, and dropped when too many wait.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use tokio::sync::mpsc;

use crate::api::Task;
use crate::cluster::calls::{CallError, Calls};
use crate::cluster::rights::Right;
use crate::core::digest::sha256_hex;
use crate::core::telling::warning;
use crate::core::telling::warning::Warning;
use crate::core::time::after;
use crate::metrics::Metrics;

/// How many events may wait to be written.
const WAITING: usize = 256;
const REPORTER: &str = "task-manager";
/// How long an event counts its repetitions.
const COUNTED_FOR: SignedDuration = SignedDuration::from_mins(6);
/// The API server takes no longer name of an event than of anything else.
const LONGEST_NAME: usize = 253;
const HASH_DIGITS: usize = 16;

/// Where news is handed in.
pub struct Events {
    news: mpsc::Sender<(ObjectReference, Warning)>,
    metrics: Arc<Metrics>,
}

/// Writes what is handed in.
pub struct Writer {
    news: mpsc::Receiver<(ObjectReference, Warning)>,
    calls: Calls,
    written: HashMap<Key, Written>,
}

/// An event of late is found by the task's uid, action and reason.
type Key = (String, String, String);

struct Written {
    name: String,
    count: i32,
    last: Timestamp,
}

pub fn channel(calls: Calls, metrics: Arc<Metrics>) -> (Events, Writer) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Events { news: sender, metrics }, Writer { news: receiver, calls, written: HashMap::new() })
}

impl Events {
    /// Hands in what is worth an event about a status that was just written.
    pub fn tell(&self, before: &Task, after: &Task) {
        let was = before.status.clone().unwrap_or_default();
        let is = after.status.clone().unwrap_or_default();
        let Some(warning) = warning::warning(&was, &is) else { return };
        if self.news.try_send((after.object_ref(&()), warning)).is_err() {
            self.metrics.wrote("event", "dropped");
        }
    }
}

impl Writer {
    /// Runs until nobody can hand in anything more.
    pub async fn run(mut self) {
        while let Some((task, warning)) = self.news.recv().await {
            let (name, namespace) = (task.name.clone(), task.namespace.clone());
            let written = self.write(task, warning).await;
            self.calls.reads.rights.note(Right::WriteEvents, namespace.as_deref().unwrap_or_default(), &written);
            if let Err(error) = written
                && !error.is_of_rights()
            {
                tracing::warn!(task = name, namespace, %error, "an event could not be written");
            }
        }
    }

    /// Writes it anew, or counts it once more. Events that differ in their text alone are counted as one; each attempt
    /// is to be told.
    async fn write(&mut self, task: ObjectReference, warning: Warning) -> Result<(), CallError> {
        let now = Timestamp::now();
        self.written.retain(|_, written| after(written.last, COUNTED_FOR) > now);
        let key = (task.uid.clone().unwrap_or_default(), warning.action.clone(), warning.reason.to_string());
        let events = self.calls.namespaced::<Event>(task.namespace.as_deref().unwrap_or_default());
        let (name, count) = match self.counted(&events, &key, now).await? {
            Some(counted) => counted,
            None => {
                let event = event(task, warning, now);
                let how = PostParams::default();
                let created = self.calls.write("event", events.create(&how, &event)).await?;
                (created.name_any(), 1)
            }
        };
        self.written.insert(key, Written { name, count, last: now });
        Ok(())
    }

    /// Counts an event once more; `None` where there was none of late, or somebody has deleted it.
    async fn counted(
        &self,
        events: &Api<Event>,
        key: &Key,
        now: Timestamp,
    ) -> Result<Option<(String, i32)>, CallError> {
        let Some(before) = self.written.get(key) else { return Ok(None) };
        let (name, count) = (before.name.clone(), before.count.saturating_add(1));
        let series = json!({"series": {"count": count, "lastObservedTime": MicroTime(now)}});
        let (how, patch) = (PatchParams::default(), Patch::Merge(series));
        match self.calls.write("event", events.patch(&name, &how, &patch)).await {
            Ok(_) => Ok(Some((name, count))),
            Err(CallError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn event(task: ObjectReference, warning: Warning, now: Timestamp) -> Event {
    Event {
        metadata: ObjectMeta {
            name: Some(event_name(&task, now)),
            namespace: task.namespace.clone(),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        type_: Some("Warning".into()),
        reason: Some(warning.reason.to_string()),
        note: Some(warning.message),
        action: Some(warning.action),
        reporting_controller: Some(REPORTER.into()),
        reporting_instance: Some(REPORTER.into()),
        regarding: Some(task),
        ..Event::default()
    }
}

/// The task's name as far as it fits, and digits that no other event has.
fn event_name(task: &ObjectReference, now: Timestamp) -> String {
    let name = task.name.as_deref().unwrap_or(REPORTER);
    let uid = task.uid.as_deref().unwrap_or_default();
    let digest = sha256_hex(format!("{uid}/{}", now.as_nanosecond()));
    let stem: String = name.chars().take(LONGEST_NAME - HASH_DIGITS - 1).collect();
    format!("{}.{}", stem.trim_end_matches(['-', '.']), &digest[..HASH_DIGITS])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Reason;

    fn of(name: &str) -> Event {
        let task = ObjectReference { name: Some(name.into()), namespace: Some("docs".into()), ..Default::default() };
        let warning =
            Warning { reason: Reason::TypeMissing, message: "there is no such type".into(), action: "Queued".into() };
        event(task, warning, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn the_name_of_an_event_fits_however_long_its_task_is_called() {
        for (length, fits) in [(1, 18), (236, 253), (237, 253), (253, 253)] {
            let name = "a".repeat(length);
            let event = of(&name);
            assert_eq!(event.metadata.name.map(|name| name.len()), Some(fits), "{length}");
            assert_eq!(event.regarding.and_then(|task| task.name), Some(name), "it regards the task by its whole name");
        }
        let cut_at_a_dot = of(&format!("{}.{}", "a".repeat(235), "b".repeat(10))).metadata.name.expect("a name");
        assert!(!cut_at_a_dot.contains(".."), "{cut_at_a_dot}");
    }
}
