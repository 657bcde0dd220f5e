//! The pending tasks by what holds them back: those that wait for their turn, type by type in each queue, and apart from
//! them those that wait for a time, for others of their kbId, or that their queue can never hold. Each change moves the tasks
//! that it concerns, so that nobody walks along a backlog. Never admits anybody.

mod front;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::ledger::Ledger;
use super::line::{Line, LineKey};
use super::order::{Key, Order};
use super::state::{PendingTask, Reservation};
use crate::launch::resources::Amounts;
use task_manager_api::Executor;

pub use front::Turn;

#[derive(Debug, Default)]
pub struct PendingTasks {
    tasks: HashMap<Arc<str>, Entry>,
    /// The pods on which tasks failed last, by the uids of the few that did.
    failed_on: HashMap<Arc<str>, Arc<str>>,
    queues: HashMap<Key, Queue>,
    /// The queues in which tasks of a type are pending.
    queues_of_types: HashMap<Key, HashSet<Key>>,
    /// The first of each queue that may go on.
    heads: BTreeSet<(Order, Key)>,
    /// By when their time comes.
    delayed: BTreeSet<(Timestamp, Arc<str>)>,
}

/// A pending task.
#[derive(Debug)]
struct Entry {
    line: LineKey,
    kb_id: Option<Arc<str>>,
    order: Order,
    requests: Arc<Amounts>,
    executor: Executor,
    ready_at: Option<Timestamp>,
    place: Place,
}

/// Where a pending task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its time has not come.
    Delayed,
    /// Its queue can never hold it.
    Apart,
    /// In its line: it waits for its turn, or for others of its kbId.
    Line,
}

#[derive(Debug, Default)]
struct Queue {
    /// By type.
    lines: HashMap<Key, Line>,
    /// The entry among the heads.
    head: Option<Order>,
    /// For this first one there was no room. A queue goes on when another is first, or when something was released.
    blocked: Option<Order>,
}

impl PendingTasks {
    pub fn get(&self, uid: &str) -> Option<PendingTask> {
        self.tasks.get(uid).map(|entry| self.pending(entry))
    }

    fn pending(&self, entry: &Entry) -> PendingTask {
        PendingTask { failed_on: self.failed_on.get(entry.order.uid()).cloned(), ..entry.pending() }
    }

    pub fn place(&self, uid: &str) -> Option<Place> {
        self.tasks.get(uid).map(|entry| entry.place)
    }

    /// Pending tasks of one line share equal parts, so that one more takes little memory.
    pub fn insert(&mut self, uid: &Arc<str>, pending: PendingTask, ledger: &Ledger) {
        let PendingTask { queue, task_type, kb_id, order, requests, executor, ready_at, failed_on } = pending;
        let lines = &mut self.queues.entry(queue.clone()).or_default().lines;
        let line = lines.entry(task_type.clone()).or_insert_with(|| {
            self.queues_of_types.entry(task_type.clone()).or_default().insert(queue.clone());
            Line::new(Arc::new((queue, task_type)))
        });
        line.members += 1;
        let (line, requests, order) = (line.key.clone(), line.shared(requests), order.with_uid(uid.clone()));
        if let Some(pod) = failed_on {
            self.failed_on.insert(uid.clone(), pod);
        }
        let place = if ready_at.is_some() { Place::Delayed } else { Place::Line };
        self.tasks.insert(uid.clone(), Entry { line, kb_id, order, requests, executor, ready_at, place });
        match ready_at {
            Some(ready) => drop(self.delayed.insert((ready, uid.clone()))),
            None => self.join(uid, ledger),
        }
    }

    pub fn remove(&mut self, uid: &str, ledger: &Ledger) -> Option<PendingTask> {
        self.leave(uid, ledger);
        let entry = self.tasks.remove(uid)?;
        let failed_on = self.failed_on.remove(uid);
        let (queue, task_type) = &*entry.line;
        let lines = self.queues.get_mut(queue).map(|queue| &mut queue.lines)?;
        let line = lines.get_mut(task_type)?;
        line.members -= 1;
        if line.members == 0 {
            lines.remove(task_type);
            if lines.is_empty() {
                self.queues.remove(queue);
            }
            self.forget_queue_of_type(queue, task_type);
        }
        Some(PendingTask { failed_on, ..entry.pending() })
    }

    fn forget_queue_of_type(&mut self, queue: &Key, task_type: &Key) {
        let Some(queues) = self.queues_of_types.get_mut(task_type) else { return };
        queues.remove(queue);
        if queues.is_empty() {
            self.queues_of_types.remove(task_type);
        }
    }

    /// The time of a delayed task has come.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.delayed.first().is_some_and(|(ready, _)| *ready <= now)
    }

    /// Lets those in whose time has come; returns when the next one's comes.
    pub fn promote(&mut self, now: Timestamp, ledger: &Ledger) -> Option<Timestamp> {
        while let Some((ready, uid)) = self.delayed.first().cloned() {
            if ready > now {
                return Some(ready);
            }
            self.delayed.pop_first();
            self.join(&uid, ledger);
        }
        None
    }

    /// The first of all that may have room, of whichever queue.
    pub fn first(&self) -> Option<&Order> {
        self.heads.first().map(|(order, _)| order)
    }

    /// There is no room for the first one of its queue.
    pub fn block(&mut self, first: &PendingTask) {
        if let Some(queue) = self.queues.get_mut(&first.queue)
            && let Some(head) = queue.head.take()
        {
            self.heads.remove(&(head.clone(), first.queue.clone()));
            queue.blocked = Some(head);
        }
    }

    /// Puts a task where it stands from now on.
    fn join(&mut self, uid: &Arc<str>, ledger: &Ledger) {
        let Some(entry) = self.tasks.get_mut(uid) else { return };
        let (queue, task_type) = &*entry.line;
        if ledger.never_fits(queue, entry.order.priority(), &entry.requests).is_some() {
            entry.place = Place::Apart;
            return;
        }
        entry.place = Place::Line;
        let kb_id = entry.kb_id.as_ref();
        let room = kb_id.and_then(|kb_id| Some((kb_id, ledger.room_of_kb_id(task_type, kb_id)?)));
        if let Some(line) = self.queues.get_mut(queue).and_then(|queue| queue.lines.get_mut(task_type)) {
            line.join(entry.order.clone(), room);
        }
        let queue = queue.clone();
        self.find_head(&queue, ledger);
    }

    fn leave(&mut self, uid: &str, ledger: &Ledger) {
        let Some(entry) = self.tasks.get(uid) else { return };
        let (queue, task_type) = &*entry.line;
        match (entry.place, entry.ready_at) {
            (Place::Delayed, Some(ready)) => drop(self.delayed.remove(&(ready, entry.order.uid().clone()))),
            (Place::Line, _) => {
                let Some(waiting) = self.queues.get_mut(queue) else { return };
                if let Some(line) = waiting.lines.get_mut(task_type) {
                    line.leave(&entry.order, entry.kb_id.as_ref());
                }
                // It may come back with other requests.
                waiting.blocked = waiting.blocked.take().filter(|blocked| *blocked != entry.order);
                let queue = queue.clone();
                self.find_head(&queue, ledger);
            }
            (Place::Delayed | Place::Apart, _) => {}
        }
    }

    /// Finds out who is first in a queue, and whether that one may have room.
    fn find_head(&mut self, key: &Key, ledger: &Ledger) {
        let Some(queue) = self.queues.get_mut(key) else { return };
        let first = queue.first(ledger).filter(|first| queue.blocked.as_ref() != Some(first));
        let head = first.filter(|_| ledger.is_open(key)).cloned();
        if head != queue.head {
            if let Some(before) = std::mem::replace(&mut queue.head, head.clone()) {
                self.heads.remove(&(before, key.clone()));
            }
            self.heads.extend(head.map(|head| (head, key.clone())));
        }
    }

    /// A slot was given: others of its type or kbId may have to wait.
    pub fn reserved(&mut self, of: &Reservation, ledger: &Ledger) {
        self.slots_moved(of, ledger);
    }

    /// A slot is free again.
    pub fn released(&mut self, of: &Reservation, ledger: &Ledger) {
        if let Some(queue) = self.queues.get_mut(&of.queue) {
            queue.blocked = None;
        }
        self.slots_moved(of, ledger);
        self.find_head(&of.queue, ledger);
    }

    fn slots_moved(&mut self, of: &Reservation, ledger: &Ledger) {
        let Some(queues) = self.queues_of_types.get(&of.task_type) else { return };
        let room = of.kb_id.as_ref().and_then(|kb_id| Some((kb_id, ledger.room_of_kb_id(&of.task_type, kb_id)?)));
        // Where the type limits nothing, nobody but those of the queue is concerned.
        if room.is_none() && ledger.of_type(&of.task_type).is_none() {
            return;
        }
        for key in queues.clone() {
            let line = self.queues.get_mut(&key).and_then(|queue| queue.lines.get_mut(&of.task_type));
            if let (Some(line), Some((kb_id, room))) = (line, room) {
                line.set_room(kb_id, room);
            }
            self.find_head(&key, ledger);
        }
    }

    /// The quota of a queue has changed.
    pub fn quota_changed(&mut self, key: &Key, ledger: &Ledger) {
        if let Some(queue) = self.queues.get_mut(key) {
            queue.blocked = None;
            self.stand_anew(|(queue, _)| queue == key, ledger);
            self.find_head(key, ledger);
        }
    }

    /// Workers of a pool have become free, or none is any longer: of these types the first may be another.
    pub fn workers_changed(&mut self, types: &[Key], ledger: &Ledger) {
        let of_types = types.iter().filter_map(|task_type| self.queues_of_types.get(task_type));
        let queues: HashSet<Key> = of_types.flatten().cloned().collect();
        queues.iter().for_each(|queue| self.find_head(queue, ledger));
    }

    /// The limits of a type have changed.
    pub fn limits_changed(&mut self, key: &Key, ledger: &Ledger) {
        let queues = self.queues_of_types.get(key).cloned().unwrap_or_default();
        if !queues.is_empty() {
            self.stand_anew(|(_, task_type)| task_type == key, ledger);
        }
        queues.iter().for_each(|queue| self.find_head(queue, ledger));
    }

    /// Puts those of some lines where they stand by the ledger as it is now.
    fn stand_anew(&mut self, concerned: impl Fn(&(Key, Key)) -> bool, ledger: &Ledger) {
        let of_lines = self.tasks.iter().filter(|(_, entry)| entry.place != Place::Delayed && concerned(&entry.line));
        let uids: Vec<Arc<str>> = of_lines.map(|(uid, _)| uid.clone()).collect();
        uids.iter().for_each(|uid| self.leave(uid, ledger));
        uids.iter().for_each(|uid| self.join(uid, ledger));
    }

    /// How many lines are remembered, and kbIds in them.
    #[cfg(test)]
    pub fn remembered(&self) -> usize {
        self.queues.values().flat_map(|queue| queue.lines.values()).map(Line::remembered).sum()
    }
}

impl Entry {
    /// But for the pod on which it failed.
    fn pending(&self) -> PendingTask {
        let (queue, task_type) = (*self.line).clone();
        let Self { kb_id, order, requests, executor, ready_at, .. } = self;
        let (kb_id, order, requests) = (kb_id.clone(), order.clone(), requests.clone());
        PendingTask {
            queue,
            task_type,
            kb_id,
            order,
            requests,
            executor: *executor,
            ready_at: *ready_at,
            failed_on: None,
        }
    }
}

impl Queue {
    /// The first of those that wait for their turn.
    fn first(&self, ledger: &Ledger) -> Option<&Order> {
        self.waiting_for_turn(ledger).filter_map(|line| line.turn().first()).min()
    }

    /// The lines whose type may have one more running.
    fn waiting_for_turn(&self, ledger: &Ledger) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|(task_type, _)| !ledger.type_is_held(task_type)).map(|(_, line)| line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_pending_task_takes_little_memory() {
        // Beside its uid, of which there is one copy, and its place in the line.
        assert!(size_of::<Entry>() <= 104, "{} bytes", size_of::<Entry>());
        assert!(size_of::<Order>() <= 40, "{} bytes", size_of::<Order>());
    }
}
