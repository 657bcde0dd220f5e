//! All pending and admitted tasks, and the pass that admits. Never reads a task's payload or a clock.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, btree_map};
use std::sync::Arc;

use jiff::Timestamp;

use super::ledger::{Ledger, Room};
use super::line::{Line, LineKey, PendingKey};
use super::order::{Key, Order};
use super::quota::Quota;
use super::state::{PendingTask, QueueState, Reservation};
use task_manager_api::Priority;

/// The most tasks that one pass admits; the next pass goes on.
const MOST_PER_PASS: usize = 256;

/// Every pending and admitted task, with the bounds on them.
#[derive(Debug, Default)]
pub struct AdmissionQueue {
    lines: HashMap<LineKey, Line>,
    /// Where in the lines each pending task is, by uid.
    pending: HashMap<Arc<str>, (LineKey, PendingKey)>,
    admitted: HashMap<Arc<str>, Reservation>,
    depth: [usize; Priority::COUNT],
    ledger: Ledger,
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
        self.ledger.set_quota(queue, quota);
    }

    /// The quota of a queue; `None` where the queue does not exist.
    pub fn quota(&self, queue: &Key) -> Option<&Quota> {
        self.ledger.quota(queue)
    }

    /// Sets how many tasks of a type, and of a type with one kbId, may run at once.
    pub fn set_type_limits(&mut self, task_type: Key, most: Option<i32>, most_per_kb_id: Option<i32>) {
        self.ledger.set_type_limits(task_type, most, most_per_kb_id);
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
        match state {
            QueueState::Pending(pending) => {
                let place = self.pending.get(uid);
                let known = place.and_then(|(line, key)| self.lines.get(line)?.get(key));
                known == Some(pending) && !self.admitted.contains_key(uid)
            }
            QueueState::Admitted(reservation) => {
                self.admitted.get(uid) == Some(reservation) && !self.pending.contains_key(uid)
            }
            QueueState::Inactive => !self.admitted.contains_key(uid) && !self.pending.contains_key(uid),
        }
    }

    /// Pending tasks of one line share equal parts, so that one more takes little memory.
    fn enqueue(&mut self, uid: &Arc<str>, pending: PendingTask) {
        let key = (pending.queue.clone(), pending.task_type.clone());
        let line_key = self.lines.get_key_value(&key).map_or_else(|| Arc::new(key), |(known, _)| known.clone());
        let (queue, task_type) = (*line_key).clone();
        self.depth[pending.order.priority().index()] += 1;
        let line = self.lines.entry(line_key.clone()).or_default();
        let order = pending.order.with_uid(uid.clone());
        let key = line.insert(PendingTask { queue, task_type, order, ..pending });
        self.pending.insert(uid.clone(), (line_key, key));
    }

    fn dequeue(&mut self, uid: &Arc<str>) {
        let Some((line_key, key)) = self.pending.remove(uid) else { return };
        self.depth[key.order.priority().index()] -= 1;
        if let Some(line) = self.lines.get_mut(&line_key) {
            line.remove(&key);
            if line.is_empty() {
                self.lines.remove(&line_key);
            }
        }
    }

    fn reserve(&mut self, uid: Arc<str>, reservation: Reservation) {
        self.ledger.reserve(&reservation);
        self.admitted.insert(uid, reservation);
    }

    /// Forgets a task and releases its reservation.
    pub fn remove(&mut self, uid: &Arc<str>) {
        self.dequeue(uid);
        if let Some(reservation) = self.admitted.remove(uid) {
            self.ledger.release(&reservation);
        }
    }

    pub fn is_admitted(&self, uid: &str) -> bool {
        self.admitted.contains_key(uid)
    }

    /// How many lines, queues, types and kbIds are remembered.
    #[cfg(test)]
    pub fn remembered(&self) -> usize {
        self.lines.len() + self.ledger.remembered()
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

    /// Admits tasks in order while there is room, and counts each at once: it is assumed admitted before its status
    /// says so.
    pub fn admit(&mut self, now: Timestamp) -> Pass {
        let wake = self.lines.values_mut().filter_map(|line| line.promote(now)).min();
        let pass = Pass { wake, ..self.choose() };
        for pending in &pass.admitted {
            let uid = pending.order.uid().clone();
            self.dequeue(&uid);
            self.admitted.insert(uid, pending.reservation());
        }
        pass
    }

    /// Walks the heads of all lines in order, each line for as long as one of its tasks may still have room.
    /// Reserves in the ledger for each chosen task; leaves the lines alone.
    fn choose(&mut self) -> Pass {
        let mut pass = Pass::default();
        let mut full_queues = HashSet::new();
        let mut heads: BinaryHeap<Reverse<Head>> =
            self.lines.values().filter_map(|line| Head::next(line.ready())).map(Reverse).collect();
        while let Some(Reverse(Head { pending, rest })) = heads.pop() {
            if pass.admitted.len() == MOST_PER_PASS {
                pass.unfinished = true;
                break;
            }
            if full_queues.contains(&pending.queue) {
                continue;
            }
            match self.ledger.room(pending) {
                Room::AllFull => break,
                Room::QueueFull => {
                    full_queues.insert(&pending.queue);
                    continue;
                }
                Room::TypeFull => continue,
                Room::HeldBack => {}
                Room::Yes => {
                    self.ledger.reserve(&pending.reservation());
                    pass.admitted.push(pending.clone());
                }
            }
            heads.extend(Head::next(rest).map(Reverse));
        }
        pass
    }
}

/// The first task of a line that the pass has not seen, and the rest behind it.
struct Head<'a> {
    pending: &'a PendingTask,
    rest: btree_map::Values<'a, Order, PendingTask>,
}

impl<'a> Head<'a> {
    fn next(mut rest: btree_map::Values<'a, Order, PendingTask>) -> Option<Self> {
        rest.next().map(|pending| Self { pending, rest })
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.pending.order == other.pending.order
    }
}

impl Eq for Head<'_> {}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.pending.order.cmp(&other.pending.order)
    }
}
