//! Adds up the slots and resources of admitted tasks, beside the bounds on them. Forgets queues and types that have
//! neither bounds nor admitted tasks. Never decides which task is next.

use std::collections::HashMap;
use std::sync::Arc;

use super::order::Key;
use super::quota::{Quota, Usage};
use super::state::{PendingTask, Reservation};
use crate::launch::resources::Amounts;
use task_manager_api::Priority;

/// The queue that need not be created.
const DEFAULT_QUEUE: &str = "default";

#[derive(Debug, Default)]
pub struct Ledger {
    queues: HashMap<Key, QueueUsage>,
    /// The quota of a queue named "default" that nobody created.
    default_queue: Option<Quota>,
    types: HashMap<Key, TypeUsage>,
    /// Admitted tasks by type and kbId.
    kb_ids: HashMap<(Key, Arc<str>), i64>,
    running: i64,
    most_running: Option<i64>,
}

#[derive(Debug, Default)]
struct QueueUsage {
    quota: Option<Quota>,
    used: [Usage; Priority::COUNT],
}

#[derive(Debug, Default)]
struct TypeUsage {
    running: i64,
    most: Option<i64>,
    most_per_kb_id: Option<i64>,
}

/// Whether a pending task may have a slot now, and otherwise who else waits for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Yes,
    /// Its kbId has as many running as it may, or the task exceeds the quota by itself. The tasks behind it are not
    /// held back.
    HeldBack,
    /// Its type has as many running as it may. All other tasks of this type are held back, and no others.
    TypeFull,
    /// Its queue has no room for it, is suspended or is missing. All tasks behind it in this queue are held back.
    QueueFull,
    /// As many tasks run as may over all queues. Every task is held back.
    AllFull,
}

impl Ledger {
    pub fn new(most_running: Option<i32>) -> Self {
        Self { most_running: most_running.map(i64::from), ..Self::default() }
    }

    pub fn set_default_queue(&mut self, quota: Quota) {
        self.default_queue = Some(quota);
    }

    pub fn quota(&self, queue: &Key) -> Option<&Quota> {
        let created = self.queues.get(queue).and_then(|queue| queue.quota.as_ref());
        created.or_else(|| self.default_queue.as_ref().filter(|_| &*queue.1 == DEFAULT_QUEUE))
    }

    pub fn set_quota(&mut self, queue: Key, quota: Option<Quota>) {
        self.queues.entry(queue.clone()).or_default().quota = quota;
        self.forget_unused_queue(&queue);
    }

    pub fn set_type_limits(&mut self, task_type: Key, most: Option<i32>, most_per_kb_id: Option<i32>) {
        let usage = self.types.entry(task_type.clone()).or_default();
        usage.most = most.map(i64::from);
        usage.most_per_kb_id = most_per_kb_id.map(i64::from);
        self.forget_unused_type(&task_type);
    }

    /// Forgets a queue that does not exist and has no admitted task.
    fn forget_unused_queue(&mut self, queue: &Key) {
        let is_empty =
            |queue: &QueueUsage| queue.quota.is_none() && queue.used == <[Usage; Priority::COUNT]>::default();
        if self.queues.get(queue).is_some_and(is_empty) {
            self.queues.remove(queue);
        }
    }

    /// Forgets a type that sets no bound and has no admitted task.
    fn forget_unused_type(&mut self, task_type: &Key) {
        let is_empty = |usage: &TypeUsage| usage.running == 0 && usage.most.is_none() && usage.most_per_kb_id.is_none();
        if self.types.get(task_type).is_some_and(is_empty) {
            self.types.remove(task_type);
        }
    }

    /// How many tasks of this queue are admitted.
    pub fn admitted_in(&self, queue: &Key) -> i64 {
        self.queues.get(queue).map_or(0, |queue| queue.used.iter().map(|usage| usage.tasks).sum())
    }

    /// How many queues, types and kbIds are remembered.
    #[cfg(test)]
    pub fn remembered(&self) -> usize {
        self.queues.len() + self.types.len() + self.kb_ids.len()
    }

    pub fn room(&self, pending: &PendingTask) -> Room {
        if self.most_running.is_some_and(|most| self.running >= most) {
            return Room::AllFull;
        }
        let Some(quota) = self.quota(&pending.queue).filter(|quota| !quota.suspended) else {
            return Room::QueueFull;
        };
        if let Some(usage) = self.types.get(&pending.task_type) {
            if usage.most.is_some_and(|most| usage.running >= most) {
                return Room::TypeFull;
            }
            if usage.most_per_kb_id.is_some_and(|most| self.running_with_kb_id_of(pending) >= most) {
                return Room::HeldBack;
            }
        }
        if quota.never_fits(pending.order.priority(), &pending.requests).is_some() {
            return Room::HeldBack;
        }
        let nothing = Default::default();
        let used = self.queues.get(&pending.queue).map_or(&nothing, |queue| &queue.used);
        match quota.has_room(used, pending.order.priority(), &pending.requests) {
            true => Room::Yes,
            false => Room::QueueFull,
        }
    }

    /// How many tasks of the same type and kbId run; 0 for a task without a kbId.
    fn running_with_kb_id_of(&self, pending: &PendingTask) -> i64 {
        let running = |kb_id: &Arc<str>| self.kb_ids.get(&(pending.task_type.clone(), kb_id.clone())).copied();
        pending.kb_id.as_ref().and_then(running).unwrap_or_default()
    }

    pub fn reserve(&mut self, reservation: &Reservation) {
        self.add(reservation, 1);
    }

    pub fn release(&mut self, reservation: &Reservation) {
        self.add(reservation, -1);
        if let Some(kb_id) = &reservation.kb_id {
            let key = (reservation.task_type.clone(), kb_id.clone());
            if self.kb_ids.get(&key) == Some(&0) {
                self.kb_ids.remove(&key);
            }
        }
        self.forget_unused_type(&reservation.task_type);
        self.forget_unused_queue(&reservation.queue);
    }

    fn add(&mut self, reservation: &Reservation, times: i64) {
        self.running += times;
        self.types.entry(reservation.task_type.clone()).or_default().running += times;
        if let Some(kb_id) = &reservation.kb_id {
            *self.kb_ids.entry((reservation.task_type.clone(), kb_id.clone())).or_default() += times;
        }
        let used = &mut self.queues.entry(reservation.queue.clone()).or_default().used[reservation.priority.index()];
        used.tasks += times;
        add_amounts(&mut used.resources, &reservation.resources, times);
    }
}

fn add_amounts(sum: &mut Amounts, amounts: &Amounts, times: i64) {
    for (name, amount) in amounts {
        let entry = sum.entry(name.clone()).or_default();
        *entry = if times > 0 { *entry + *amount } else { *entry - *amount };
        if entry.0 == 0 {
            sum.remove(name);
        }
    }
}
