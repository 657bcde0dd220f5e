//! A task as the index knows it: the values that its status answers tell.
//! Nothing in here is large: no payload, result, attempts or conditions.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::ResourceExt;

use crate::api::{Priority, Progress, State, Task, TaskSpec, TaskTypeSpec};
use crate::core::launch::{names, policy};
use crate::core::queue::Key;
use crate::rest::head::Head;

pub type Uid = Arc<str>;

#[derive(Clone, Debug, PartialEq)]
pub struct IndexedTask {
    pub head: Head,
    pub uid: Uid,
    /// resourceVersion, as a number; 0 where it was read from the archive.
    pub version: u64,
    pub state: State,
    pub created_at: Timestamp,
    pub queued_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub next_attempt_at: Option<Timestamp>,
    pub worker: Option<Arc<str>>,
    pub progress: Option<Box<Progress>>,
    /// The run that the status speaks of.
    pub run_id: Arc<str>,
    /// The digest of the request that made it, where that had an idempotency key.
    pub digest: Option<Arc<str>>,
    /// The uid of the task that this one repeats.
    pub replay_of: Option<Arc<str>>,
    /// Its end was asked for.
    pub is_cancelled: bool,
    /// The archive was given the record of this run.
    pub is_archived: bool,
    /// The resourceVersion with which it was first seen in its run: its arrival, until the operator writes one down.
    pub first_seen: u64,
    asked_priority: Option<Priority>,
    /// The priority is the one that the operator wrote down: it does not follow from the type.
    is_priority_written: bool,
}

impl IndexedTask {
    /// `before` is the same task as it was known.
    pub fn of(task: &Task, kind: Option<&TaskTypeSpec>, before: Option<&Self>) -> Self {
        let untouched = Default::default();
        let status = task.status.as_ref().unwrap_or(&untouched);
        let version = task.metadata.resource_version.as_deref().and_then(|version| version.parse().ok());
        let version = version.unwrap_or_default();
        let run_id = status.run_id.as_deref().unwrap_or(&task.spec.run_id);
        let first_seen = before.filter(|before| *before.run_id == *run_id).map_or(version, |before| before.first_seen);
        // The operator writes it down a moment after it changed; while a task waits, a change holds at once.
        let is_open = status.state == State::Queued && kind.is_some();
        let priority = status.priority.filter(|_| !is_open);
        let head = Head::of(task, priority.unwrap_or_else(|| effective(task.spec.priority, kind)));
        let annotation = |name: &str| task.annotations().get(name).map(|text| text.as_str().into());
        Self {
            uid: head.task_id.clone(),
            version,
            state: status.state,
            created_at: task.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            queued_at: time(&status.queued_at),
            started_at: time(&status.started_at),
            finished_at: time(&status.finished_at),
            next_attempt_at: time(&status.next_attempt_at),
            worker: status.worker.as_deref().map(Arc::from),
            progress: status.progress.clone().map(Box::new),
            run_id: run_id.into(),
            digest: annotation(names::ANNOTATION_BODY_DIGEST),
            replay_of: annotation(names::ANNOTATION_REPLAY_OF),
            is_cancelled: task.spec.cancel,
            is_archived: status.is_archived(),
            first_seen,
            asked_priority: task.spec.priority,
            is_priority_written: priority.is_some(),
            head,
        }
    }

    /// The cluster may still have it; it was not read from the archive.
    pub fn is_in_cluster(&self) -> bool {
        self.version > 0
    }

    /// When the run began, which tells it from another of the same runId.
    pub fn began(&self) -> Timestamp {
        self.queued_at.unwrap_or(self.created_at)
    }

    /// The same under a type that changed; `None` where that changes nothing.
    pub fn under(&self, kind: Option<&TaskTypeSpec>) -> Option<Self> {
        let priority = effective(self.asked_priority, kind);
        let changes = !self.is_priority_written && priority != self.head.priority;
        changes.then(|| Self { head: Head { priority, ..self.head.clone() }, ..self.clone() })
    }

    pub fn name_key(&self) -> Key {
        (self.head.namespace.clone(), self.head.name.clone())
    }
}

fn effective(asked: Option<Priority>, kind: Option<&TaskTypeSpec>) -> Priority {
    policy::priority(&TaskSpec { priority: asked, ..TaskSpec::default() }, kind)
}

fn time(time: &Option<MicroTime>) -> Option<Timestamp> {
    time.as_ref().map(|time| time.0)
}
