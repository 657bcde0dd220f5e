//! All pending and admitted tasks, and the pass that admits. Never reads a task's payload or a clock.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::ledger::{Ledger, Running};
use super::order::{Key, Order};
use super::pending::PendingTasks;
use super::quota::Quota;
use super::state::{PendingTask, QueueState, Reservation};
use crate::launch::resources::Amounts;
use task_manager_api::Priority;

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

/// The outcome of a pass.
#[derive(Debug, Default, PartialEq)]
pub struct Pass {
    /// In the order in which they got their slots.
    pub admitted: Vec<PendingTask>,
    /// When the next delayed task becomes ready.
    pub wake: Option<Timestamp>,
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

    /// Sets how many tasks of a type, and of a type with one kbId, may run at once.
    pub fn set_type_limits(&mut self, task_type: Key, most: Option<i32>, most_per_kb_id: Option<i32>) {
        if self.ledger.set_type_limits(&task_type, most, most_per_kb_id) {
            self.pending.limits_changed(&task_type, &self.ledger);
        }
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
        let mut pass = Pass { wake: self.pending.promote(now, &self.ledger), ..Pass::default() };
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

    fn admit_if_there_is_room(&mut self, uid: &Arc<str>) -> Option<PendingTask> {
        let first = self.pending.get(uid)?;
        if self.ledger.lack(&first.queue, first.order.priority(), &first.requests).is_some() {
            self.pending.block(&first);
            return None;
        }
        self.dequeue(uid);
        self.reserve(uid.clone(), first.reservation());
        Some(first)
    }
}
