//! The state of a task in admission: pending, admitted or inactive. Never compares two tasks.

use std::sync::Arc;

use jiff::Timestamp;
use kube_core::ResourceExt;

use super::order::{Key, Order};
use crate::launch::holds::{self, Holds};
use crate::launch::policy;
use crate::launch::resources::Amounts;
use crate::task::is_batch;
use crate::telling::wait::Wait;
use crate::{ParsedType, Settings};
use task_manager_api::{Admitted, AttemptOutcome, Executor, Priority, State, Task, TaskStatus};

/// A task that may be admitted when there is room.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingTask {
    pub queue: Key,
    pub task_type: Key,
    pub kb_id: Option<Arc<str>>,
    pub order: Order,
    pub requests: Arc<Amounts>,
    pub executor: Executor,
    /// It is not admitted before this time.
    pub ready_at: Option<Timestamp>,
    /// The pod of its last attempt, if that failed: of several free workers another one is given it.
    pub failed_on: Option<Arc<str>>,
}

/// A slot that an admitted task holds in its queue, type and kbId, with its resources.
#[derive(Clone, Debug, PartialEq)]
pub struct Reservation {
    pub queue: Key,
    pub task_type: Key,
    pub kb_id: Option<Arc<str>>,
    pub priority: Priority,
    pub resources: Amounts,
}

/// The state of a task in admission.
#[derive(Clone, Debug, PartialEq)]
pub enum QueueState {
    Pending(PendingTask),
    Admitted(Reservation),
    /// Final, suspended, or held back by something that admission does not weigh.
    Inactive,
}

impl QueueState {
    /// The same state, with a pending task delayed until `time` at least.
    pub fn not_before(self, time: Option<Timestamp>) -> Self {
        match self {
            Self::Pending(pending) => Self::Pending(PendingTask { ready_at: pending.ready_at.max(time), ..pending }),
            Self::Admitted(_) | Self::Inactive => self,
        }
    }

    /// The same state of a task whose pod counts for so much more than was admitted.
    pub fn with_surplus(self, surplus: &Amounts) -> Self {
        match self {
            Self::Admitted(reservation) => Self::Admitted(reservation.with_surplus(surplus)),
            Self::Pending(_) | Self::Inactive => self,
        }
    }

    /// The same state in a namespace that is being deleted: no task is admitted there, and those that run keep their
    /// slots.
    pub fn in_deleted_namespace(self) -> Self {
        match self {
            Self::Pending(_) => Self::Inactive,
            Self::Admitted(_) | Self::Inactive => self,
        }
    }

    /// The same state of a task that is being deleted, which another controller's finalizer may delay for long. The
    /// task keeps its slot only while a child may still run; `children` is the reservation of such a child.
    pub fn of_deleted_task(self, children: Option<Reservation>) -> Self {
        match self {
            Self::Admitted(_) => children.map_or(Self::Inactive, Self::Admitted),
            Self::Pending(_) | Self::Inactive => Self::Inactive,
        }
    }
}

/// The state of `task`. `first_seen` is its arrival where the status names none. A batch holds no slot and waits for none: its
/// chunks do.
pub fn queue_state(task: &Task, task_type: Option<&ParsedType>, first_seen: u64, settings: &Settings) -> QueueState {
    if is_batch(task) {
        return QueueState::Inactive;
    }
    let status = task.status.as_ref();
    match status.map(|status| status.state).unwrap_or_default() {
        State::Processing => QueueState::Admitted(reservation(task, &status.cloned().unwrap_or_default())),
        State::Queued => {
            pending(task, task_type, first_seen, settings).map_or(QueueState::Inactive, QueueState::Pending)
        }
        State::Completed | State::Failed | State::Cancelled => QueueState::Inactive,
    }
}

pub(super) fn key(namespace: &str, name: &str) -> Key {
    (namespace.into(), name.into())
}

fn reservation(task: &Task, status: &TaskStatus) -> Reservation {
    Reservation::of(&task.namespace().unwrap_or_default(), &holds::held(task, status))
}

fn pending(task: &Task, task_type: Option<&ParsedType>, first_seen: u64, settings: &Settings) -> Option<PendingTask> {
    let task_type = task_type?;
    // A lease says nothing of the items of a chunk.
    let is_chunk_for_a_worker = task.spec.chunk.is_some() && task_type.spec.executor == Executor::Pool;
    if policy::refusal(task, &task_type.spec).is_some() || is_chunk_for_a_worker {
        return None;
    }
    let pending = untyped(task, first_seen)?;
    let order = pending.order.with_priority(policy::priority(&task.spec, Some(&task_type.spec)));
    let requests = Arc::new(holds::counted(task, task_type, settings).ok()?);
    Some(PendingTask { order, requests, executor: task_type.spec.executor, ..pending })
}

/// A queued task that nothing of itself forbids to start, as it would wait whatever its type says: its requests are not known,
/// nor is its priority where it names none.
pub(super) fn untyped(task: &Task, first_seen: u64) -> Option<PendingTask> {
    let status = task.status_or_default();
    if status.state != State::Queued || is_withheld(task) {
        return None;
    }
    let namespace = task.namespace()?;
    Some(PendingTask {
        queue: key(&namespace, &task.spec.queue),
        task_type: key(&namespace, &task.spec.type_),
        kb_id: task.spec.kb_id.as_deref().map(Arc::from),
        order: Order::of(task, policy::priority(&task.spec, None), first_seen),
        requests: Arc::default(),
        executor: Executor::default(),
        ready_at: ready_at(task),
        failed_on: failed_on(status),
    })
}

fn failed_on(status: &TaskStatus) -> Option<Arc<str>> {
    let last = status.attempts.last()?;
    let has_failed = matches!(last.outcome, AttemptOutcome::Failed | AttemptOutcome::Disrupted);
    last.pod.as_deref().filter(|_| has_failed).map(Arc::from)
}

/// Whether the task itself forbids its start, however much room there is.
fn is_withheld(task: &Task) -> bool {
    let superseded = task.status.as_ref().is_some_and(|status| status.superseded_run(&task.spec).is_some());
    is_batch(task) || task.spec.suspend || task.spec.cancel || superseded || task.metadata.deletion_timestamp.is_some()
}

/// The later of `startAfter` and the time of the next attempt; the task is not admitted before it.
pub fn ready_at(task: &Task) -> Option<Timestamp> {
    let next_attempt_at = task.status.as_ref().and_then(|status| status.next_attempt_at.as_ref());
    task.spec.start_after.as_ref().map(|time| time.0).max(next_attempt_at.map(|time| time.0))
}

/// Whether a task, once it is ready, waits for its turn and for nothing else, as far as its own status says.
pub fn waits_its_turn(task: &Task) -> bool {
    let (state, reason) = task.status.as_ref().map(|status| (status.state, status.reason)).unwrap_or_default();
    state == State::Queued && !is_withheld(task) && !Wait::of(reason).blocks_admission()
}

impl PendingTask {
    pub fn reservation(&self) -> Reservation {
        Reservation {
            queue: self.queue.clone(),
            task_type: self.task_type.clone(),
            kb_id: self.kb_id.clone(),
            priority: self.order.priority(),
            resources: (*self.requests).clone(),
        }
    }

    /// The slot as the task's status will hold it, where no worker runs it.
    pub fn admitted(&self) -> Admitted {
        Admitted {
            queue: self.queue.1.to_string(),
            type_: Some(self.task_type.1.to_string()),
            executor: self.executor.admitted_as().map(str::to_owned),
            worker: None,
            kb_id: self.kb_id.as_deref().map(str::to_owned),
            resources: holds::to_quantities(&self.requests),
        }
    }
}

impl Reservation {
    pub fn with_surplus(self, surplus: &Amounts) -> Self {
        Self { resources: holds::together(&self.resources, surplus), ..self }
    }

    /// The reservation of an admitted task, or of a Job or pod whose Task is gone.
    pub fn of(namespace: &str, slot: &Holds) -> Self {
        Self {
            queue: key(namespace, &slot.queue),
            task_type: key(namespace, &slot.type_),
            kb_id: slot.kb_id.as_deref().map(Arc::from),
            priority: slot.priority,
            resources: holds::to_amounts(&slot.resources),
        }
    }
}
