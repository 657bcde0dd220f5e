//! One task, as the index keeps it.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::ResourceExt;

use crate::api::{Priority, Progress, Reason, State, Task, TaskTypeSpec};
use crate::core::launch::{names, policy};
use crate::core::queue;
use crate::core::queue::{Key, Order};

#[derive(Clone, Debug, PartialEq)]
pub struct IndexedTask {
    pub uid: Arc<str>,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    /// resourceVersion, as a number.
    pub version: u64,
    pub created_at: Timestamp,
    pub kind: Arc<str>,
    pub kb_id: Option<Arc<str>>,
    pub queue: Arc<str>,
    /// The run that the status speaks of.
    pub run_id: Arc<str>,
    /// A digest of the body that an idempotency key stands for.
    pub digest: Option<Arc<str>>,
    /// The uid of the task that this one repeats.
    pub replay_of: Option<Arc<str>>,
    pub state: State,
    pub reason: Reason,
    pub message: Option<Arc<str>>,
    pub priority: Priority,
    /// The operator has written the priority down: it no longer follows from the type.
    priority_told: bool,
    asked: Option<Priority>,
    arrival: u64,
    /// It is in its queue's line, from `ready_at` on: it waits for its turn and nothing else.
    pub waits: bool,
    pub ready_at: Option<Timestamp>,
    pub cancelled: bool,
    pub attempt: i32,
    pub failures: i32,
    pub disruptions: i32,
    pub queued_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub next_attempt_at: Option<Timestamp>,
    pub worker: Option<Arc<str>>,
    pub progress: Option<Box<Progress>>,
    /// The archive was given the record of this run.
    pub archived: bool,
}

impl IndexedTask {
    /// `before` is what was known of it: its arrival is when it was first seen in its run, until the operator
    /// writes one down.
    pub fn of(task: &Task, kind: Option<&TaskTypeSpec>, before: Option<&Self>) -> Self {
        let status = task.status.clone().unwrap_or_default();
        let archived = status.is_archived();
        let version = task.metadata.resource_version.as_deref().and_then(|version| version.parse().ok());
        let version = version.unwrap_or_default();
        let run_id: Arc<str> = status.run_id.as_deref().unwrap_or(&task.spec.run_id).into();
        let first_seen = before.filter(|before| before.run_id == run_id).map_or(version, |before| before.arrival);
        Self {
            uid: text(task.metadata.uid.as_deref().unwrap_or_default()),
            namespace: text(task.metadata.namespace.as_deref().unwrap_or_default()),
            name: text(&task.name_any()),
            version,
            created_at: task.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            kind: text(&task.spec.type_),
            kb_id: task.spec.kb_id.as_deref().map(text),
            queue: text(&task.spec.queue),
            run_id,
            digest: task.annotations().get(names::ANNOTATION_BODY_DIGEST).map(|digest| text(digest)),
            replay_of: task.annotations().get(names::ANNOTATION_REPLAY_OF).map(|of| text(of)),
            state: status.state,
            reason: status.reason,
            message: status.message.as_deref().map(text),
            priority: status.priority.unwrap_or_else(|| effective(task.spec.priority, kind)),
            priority_told: status.priority.is_some(),
            asked: task.spec.priority,
            arrival: status.arrival.as_deref().and_then(|arrival| arrival.parse().ok()).unwrap_or(first_seen),
            waits: queue::waits_its_turn(task),
            ready_at: queue::ready_at(task),
            cancelled: task.spec.cancel,
            attempt: status.attempt,
            failures: status.failures,
            disruptions: status.disruptions,
            queued_at: status.queued_at.map(time),
            started_at: status.started_at.map(time),
            finished_at: status.finished_at.map(time),
            next_attempt_at: status.next_attempt_at.map(time),
            worker: status.worker.as_deref().map(text),
            progress: status.progress.map(Box::new),
            archived,
        }
    }

    /// Whether the cluster may still have it. False of one that was read from the archive.
    pub fn is_in_cluster(&self) -> bool {
        self.version > 0
    }

    /// When the run began, which tells it from another of the same runId.
    pub fn began(&self) -> Timestamp {
        self.queued_at.unwrap_or(self.created_at)
    }

    /// The same under a type that changed; `None` where that changes nothing.
    pub fn under(&self, kind: Option<&TaskTypeSpec>) -> Option<Self> {
        let priority = effective(self.asked, kind);
        (!self.priority_told && priority != self.priority).then(|| Self { priority, ..self.clone() })
    }

    pub fn order(&self) -> Order {
        Order::new(self.priority, self.arrival, self.uid.clone())
    }

    pub fn queue_key(&self) -> Key {
        (self.namespace.clone(), self.queue.clone())
    }
}

fn effective(asked: Option<Priority>, kind: Option<&TaskTypeSpec>) -> Priority {
    let task = crate::api::TaskSpec { priority: asked, ..Default::default() };
    policy::priority(&task, kind)
}

fn text(text: &str) -> Arc<str> {
    text.into()
}

fn time(time: MicroTime) -> Timestamp {
    time.0
}
