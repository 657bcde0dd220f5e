//! Where a task stands with admission: a candidate, a holder, or neither. Never compares two tasks.

use std::sync::Arc;

use jiff::Timestamp;
use kube_core::ResourceExt;

use super::order::{Key, Order};
use crate::launch::job;
use crate::launch::job::Holds;
use crate::launch::policy;
use crate::launch::resources::Amounts;
use crate::{ParsedType, Settings};
use task_manager_api::{Admitted, Priority, Reason, State, Task, TaskStatus};

/// A task that may be admitted when there is room.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    pub queue: Key,
    pub kind: Key,
    pub kb_id: Option<Arc<str>>,
    pub order: Order,
    pub asks: Arc<Amounts>,
    /// Not before this time.
    pub ready_at: Option<Timestamp>,
}

/// What somebody holds of a queue, a type and a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Holding {
    pub queue: Key,
    pub kind: Key,
    pub kb_id: Option<Arc<str>>,
    pub priority: Priority,
    pub holds: Amounts,
}

/// Where a task stands with admission.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    Candidate(Candidate),
    Holder(Holding),
    /// Final, held by something that admission does not weigh, or not to be admitted at all.
    Neither,
}

impl Standing {
    /// The same, where it is not to be admitted before some time.
    pub fn not_before(self, time: Option<Timestamp>) -> Self {
        match self {
            Self::Candidate(candidate) => {
                Self::Candidate(Candidate { ready_at: candidate.ready_at.max(time), ..candidate })
            }
            Self::Holder(_) | Self::Neither => self,
        }
    }

    /// The same in a namespace that is being deleted: nothing is begun there, and what runs holds its slot.
    pub fn where_nothing_begins(self) -> Self {
        match self {
            Self::Candidate(_) => Self::Neither,
            Self::Holder(_) | Self::Neither => self,
        }
    }

    /// The same of a task that is being deleted, which somebody else's finalizer may delay for long: its slot is held
    /// by what `children` of it may still run, as it is when the task is gone.
    pub fn while_deleted(self, children: Option<Holding>) -> Self {
        match self {
            Self::Holder(_) => children.map_or(Self::Neither, Self::Holder),
            Self::Candidate(_) | Self::Neither => Self::Neither,
        }
    }
}

/// Where `task` stands. `first_seen` is its arrival where the status names none.
pub fn standing(task: &Task, kind: Option<&ParsedType>, first_seen: u64, settings: &Settings) -> Standing {
    let status = task.status.as_ref();
    match status.map(|status| status.state).unwrap_or_default() {
        State::Processing => Standing::Holder(holding(task, &status.cloned().unwrap_or_default())),
        State::Queued => candidate(task, kind, first_seen, settings).map_or(Standing::Neither, Standing::Candidate),
        State::Completed | State::Failed | State::Cancelled => Standing::Neither,
    }
}

fn key(namespace: &str, name: &str) -> Key {
    (namespace.into(), name.into())
}

fn holding(task: &Task, status: &TaskStatus) -> Holding {
    Holding::of(&task.namespace().unwrap_or_default(), &job::held(task, status))
}

fn candidate(task: &Task, kind: Option<&ParsedType>, first_seen: u64, settings: &Settings) -> Option<Candidate> {
    let kind = kind?;
    let status = task.status.clone().unwrap_or_default();
    if is_withheld(task) || policy::refusal(task, &kind.spec).is_some() {
        return None;
    }
    let namespace = task.namespace()?;
    let arrival = status.arrival.as_ref().and_then(|arrival| arrival.parse().ok()).unwrap_or(first_seen);
    Some(Candidate {
        queue: key(&namespace, &task.spec.queue),
        kind: key(&namespace, &task.spec.type_),
        kb_id: task.spec.kb_id.as_deref().map(Arc::from),
        order: Order::new(policy::priority(&task.spec, Some(&kind.spec)), arrival, task.uid()?.into()),
        asks: Arc::new(job::counted(task, kind, settings).ok()?),
        ready_at: ready_at(task),
    })
}

/// It is not to be begun, however much room there is.
fn is_withheld(task: &Task) -> bool {
    let superseded = task.status.as_ref().is_some_and(|status| status.superseded_run(&task.spec).is_some());
    task.spec.suspend || task.spec.cancel || superseded || task.metadata.deletion_timestamp.is_some()
}

/// Before this time it is not to be begun.
pub fn ready_at(task: &Task) -> Option<Timestamp> {
    let next_attempt_at = task.status.as_ref().and_then(|status| status.next_attempt_at.as_ref());
    task.spec.start_after.as_ref().map(|time| time.0).max(next_attempt_at.map(|time| time.0))
}

/// Whether a task, once it is ready, waits for its turn and for nothing else, as far as it tells itself.
pub fn waits_its_turn(task: &Task) -> bool {
    let (state, reason) = task.status.as_ref().map(|status| (status.state, status.reason)).unwrap_or_default();
    state == State::Queued && !is_withheld(task) && !is_held_back_by(reason)
}

/// What else a queued task may wait for. What its own spec and status say in other fields is not read here: the word may
/// be from before.
fn is_held_back_by(reason: Reason) -> bool {
    use Reason::*;
    matches!(reason, TypeMissing | TypeNotReady | QueueMissing | TooLargeForQueue | WaitingForArchive)
}

impl Candidate {
    pub fn holding(&self) -> Holding {
        Holding {
            queue: self.queue.clone(),
            kind: self.kind.clone(),
            kb_id: self.kb_id.clone(),
            priority: self.order.priority(),
            holds: (*self.asks).clone(),
        }
    }

    /// The same, as the status of its admission says it.
    pub fn admitted(&self) -> Admitted {
        Admitted {
            queue: self.queue.1.to_string(),
            type_: Some(self.kind.1.to_string()),
            kb_id: self.kb_id.as_deref().map(str::to_owned),
            resources: job::shown(&self.asks),
        }
    }
}

impl Holding {
    /// What is held in a namespace by the word of an admission, or of a Job or pod whose Task is gone.
    pub fn of(namespace: &str, holds: &Holds) -> Self {
        Self {
            queue: key(namespace, &holds.queue),
            kind: key(namespace, &holds.type_),
            kb_id: holds.kb_id.as_deref().map(Arc::from),
            priority: holds.priority,
            holds: job::read(&holds.resources),
        }
    }
}
