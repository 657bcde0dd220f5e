//! All pending and admitted tasks, and the pass that admits. Never reads a task's payload or a clock.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::free_workers::WorkerSlot;
pub use super::ledger::TypeLimits;
use super::ledger::{Ledger, Running};
use super::order::{Key, Order};
use super::pending::PendingTasks;
use super::quota::Quota;
use super::state::{PendingTask, QueueState, Reservation};
use crate::launch::resources::Amounts;
use task_manager_api::{Admitted, AdmittedWorker, Priority};

/// The most tasks that one pass admits; the next pass goes on.
const MOST_PER_PASS: usize = 256;

/// Every pending and admitted task, with the bounds on them.
#[derive(Debug, Default)]
pub struct AdmissionQueue {
    pub(super) pending: PendingTasks,
    pub(super) ledger: Ledger,
    admitted: HashMap<Arc<str>, Reservation>,
    depth: [usize; Priority::COUNT],
}

/// A slot that a task has got.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    pub task: PendingTask,
    /// The worker that is to run it and its pool, where its type has one.
    pub worker: Option<(Key, WorkerSlot)>,
}

impl Grant {
    /// The slot as the task's status will hold it.
    pub fn admitted(&self) -> Admitted {
        let worker = self.worker.as_ref().map(|(pool, slot)| AdmittedWorker {
            pool: pool.1.to_string(),
            uid: slot.uid.to_string(),
            slot: slot.slot.into(),
            beats: slot.beats,
        });
        Admitted { worker, ..self.task.admitted() }
    }

    /// The name of that worker's pod.
    pub fn worker_pod(&self) -> Option<String> {
        self.worker.as_ref().map(|(_, slot)| slot.pod.to_string())
    }
}

/// The outcome of a pass.
#[derive(Debug, Default, PartialEq)]
pub struct Pass {
    /// In the order in which they were given.
    pub admitted: Vec<Grant>,
    /// When the next delayed task becomes ready.
    pub wake: Option<Timestamp>,
    /// The time of some delayed task has come.
    pub promoted: bool,
    /// The pass reached its bound: there may be room for more.
    pub unfinished: bool,
    /// For how many tasks room was sought: what the pass has cost.
    pub examined: usize,
}

impl AdmissionQueue {
    pub fn new(most_running: Option<i32>) -> Self {
        Self { ledger: Ledger::new(most_running), ..Self::default() }
    }

    /// Gives a queue named "default" this quota while nobody has created one.
    pub fn with_default_queue(mut self, quota: Quota) -> Self {
        self.ledger.set_default_queue(quota);
        self
    }

    /// Sets the quota of a queue; `None` where the queue does not exist, and so admits no task.
    pub fn set_quota(&mut self, queue: Key, quota: Option<Quota>) {
        let before = self.ledger.quota(&queue).cloned();
        self.ledger.set_quota(queue.clone(), quota);
        if self.ledger.quota(&queue) != before.as_ref() {
            self.pending.quota_changed(&queue, &self.ledger);
        }
    }

    /// The quota of a queue; `None` where the queue does not exist.
    pub fn quota(&self, queue: &Key) -> Option<&Quota> {
        self.ledger.quota(queue)
    }

    /// Sets how many tasks of a type, and of a type with one kbId, may run at once, and by which pool.
    pub fn set_type_limits(&mut self, task_type: Key, limits: TypeLimits) {
        if self.ledger.set_type_limits(&task_type, limits) {
            self.pending.limits_changed(&task_type, &self.ledger);
        }
    }

    /// A worker of this pool has been idle since then, and asks for work.
    pub fn worker_is_free(&mut self, pool: &Key, slot: WorkerSlot, idle_since: Timestamp) {
        if self.ledger.worker_is_free(pool, slot, idle_since) {
            self.workers_changed(pool);
        }
    }

    /// It asks no longer.
    pub fn worker_is_not_free(&mut self, pool: &Key, worker: &Arc<str>, slot: u8) {
        if self.ledger.worker_is_not_free(pool, worker, slot) {
            self.workers_changed(pool);
        }
    }

    fn workers_changed(&mut self, pool: &Key) {
        self.pending.workers_changed(&self.ledger.types_of_pool(pool), &self.ledger);
    }

    /// How many tasks of this pool's types would start now if each had a worker, `most` at most.
    pub fn would_start(&self, pool: &Key, most: usize) -> usize {
        self.pending.would_start(&self.ledger.types_of_pool(pool), most, &self.ledger)
    }

    /// Sets the state of a task; returns whether it was another.
    pub fn set(&mut self, uid: &Arc<str>, state: QueueState) -> bool {
        if self.is_in(uid, &state) {
            return false;
        }
        self.remove(uid);
        match state {
            QueueState::Pending(pending) => self.enqueue(uid, pending),
            QueueState::Admitted(reservation) => self.reserve(uid.clone(), reservation),
            QueueState::Inactive => {}
        }
        true
    }

    fn is_in(&self, uid: &Arc<str>, state: &QueueState) -> bool {
        let (pending, admitted) = (self.pending.get(uid), self.admitted.get(uid));
        match state {
            QueueState::Pending(state) => pending.as_ref() == Some(state) && admitted.is_none(),
            QueueState::Admitted(state) => admitted == Some(state) && pending.is_none(),
            QueueState::Inactive => admitted.is_none() && pending.is_none(),
        }
    }

    fn enqueue(&mut self, uid: &Arc<str>, pending: PendingTask) {
        self.depth[pending.order.priority().index()] += 1;
        self.pending.insert(uid, pending, &self.ledger);
    }

    fn dequeue(&mut self, uid: &str) -> Option<PendingTask> {
        let pending = self.pending.remove(uid, &self.ledger)?;
        self.depth[pending.order.priority().index()] -= 1;
        Some(pending)
    }

    fn reserve(&mut self, uid: Arc<str>, reservation: Reservation) {
        self.ledger.reserve(&reservation);
        self.pending.reserved(&reservation, &self.ledger);
        self.admitted.insert(uid, reservation);
    }

    /// Forgets a task and releases its reservation.
    pub fn remove(&mut self, uid: &Arc<str>) {
        self.dequeue(uid);
        if let Some(reservation) = self.admitted.remove(uid) {
            self.ledger.release(&reservation);
            self.pending.released(&reservation, &self.ledger);
        }
    }

    /// The slot that an admitted task holds.
    pub fn reservation(&self, uid: &str) -> Option<Reservation> {
        self.admitted.get(uid).cloned()
    }

    pub fn is_admitted(&self, uid: &str) -> bool {
        self.admitted.contains_key(uid)
    }

    /// How many lines, queues, types and kbIds are remembered.
    #[cfg(test)]
    pub fn remembered(&self) -> usize {
        self.pending.remembered() + self.ledger.remembered()
    }

    /// How many tasks are pending, by priority.
    pub fn depth(&self) -> [usize; Priority::COUNT] {
        self.depth
    }

    pub fn running(&self) -> usize {
        self.admitted.len()
    }

    /// How many tasks of this queue are admitted.
    pub fn admitted_in(&self, queue: &Key) -> i64 {
        self.ledger.admitted_in(queue)
    }

    /// The pending tasks of this type.
    pub fn pending_of_type(&self, task_type: &Key) -> Vec<PendingTask> {
        self.pending.of_type(task_type)
    }

    /// The resources that the admitted tasks of this queue use together.
    pub fn used_in(&self, queue: &Key) -> Amounts {
        self.ledger.used_in(queue)
    }

    /// Admits tasks in order while there is room, and counts each at once: it is assumed admitted before its status
    /// says so. Looks only at those that are first in a queue, and once at each for which there is no room: what holds the
    /// others back is known beforehand.
    pub fn admit(&mut self, now: Timestamp) -> Pass {
        let promoted = self.pending.is_due(now);
        let mut pass = Pass { wake: self.pending.promote(now, &self.ledger), promoted, ..Pass::default() };
        while let Some(first) = self.pending.first().map(Order::uid).cloned() {
            if self.ledger.all().is_some_and(Running::is_full) {
                break;
            }
            if pass.admitted.len() == MOST_PER_PASS {
                pass.unfinished = true;
                break;
            }
            pass.examined += 1;
            pass.admitted.extend(self.admit_if_there_is_room(&first));
        }
        pass
    }

    fn admit_if_there_is_room(&mut self, uid: &Arc<str>) -> Option<Grant> {
        let first = self.pending.get(uid)?;
        if self.ledger.lack(&first.queue, first.order.priority(), &first.requests).is_some() {
            self.pending.block(&first);
            return None;
        }
        self.dequeue(uid);
        let worker = self.ledger.take_worker(&first.task_type, first.failed_on.as_deref());
        self.reserve(uid.clone(), first.reservation());
        if let Some((pool, _)) = worker.as_ref().filter(|_| self.ledger.lacks_a_worker(&first.task_type)) {
            self.workers_changed(pool);
        }
        Some(Grant { task: first, worker })
    }
}
