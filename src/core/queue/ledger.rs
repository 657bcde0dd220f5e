//! Adds up the slots and resources of admitted tasks, beside the bounds on them. Forgets queues and types that have
//! neither bounds nor admitted tasks. Never decides which task is next.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::order::Key;
use super::quota::{Lack, Quota, UsageByPriority};
use super::state::Reservation;
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
    used: UsageByPriority,
}

#[derive(Debug, Default)]
struct TypeUsage {
    running: i64,
    most: Option<i64>,
    most_per_kb_id: Option<i64>,
}

/// How many run, and how many may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    pub running: i64,
    pub most: i64,
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.running, self.most)
    }
}

impl Running {
    pub fn is_full(self) -> bool {
        self.running >= self.most
    }

    /// How many more may run.
    fn room(self) -> usize {
        usize::try_from(self.most - self.running).unwrap_or_default()
    }
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

    /// Returns whether the limits are others than before.
    pub fn set_type_limits(&mut self, task_type: &Key, most: Option<i32>, most_per_kb_id: Option<i32>) -> bool {
        let usage = self.types.entry(task_type.clone()).or_default();
        let limits = (most.map(i64::from), most_per_kb_id.map(i64::from));
        let is_news = limits != (usage.most, usage.most_per_kb_id);
        (usage.most, usage.most_per_kb_id) = limits;
        self.forget_unused_type(task_type);
        is_news
    }

    /// Forgets a queue that does not exist and has no admitted task.
    fn forget_unused_queue(&mut self, queue: &Key) {
        let is_empty = |queue: &QueueUsage| queue.quota.is_none() && queue.used == UsageByPriority::default();
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

    /// The tasks of all queues together, where they are limited.
    pub fn all(&self) -> Option<Running> {
        self.most_running.map(|most| Running { running: self.running, most })
    }

    /// The tasks of a type, where they are limited.
    pub fn of_type(&self, task_type: &Key) -> Option<Running> {
        let usage = self.types.get(task_type)?;
        usage.most.map(|most| Running { running: usage.running, most })
    }

    /// The tasks of a type with one kbId, where they are limited.
    pub fn of_kb_id(&self, task_type: &Key, kb_id: &Arc<str>) -> Option<Running> {
        let most = self.types.get(task_type)?.most_per_kb_id?;
        let running = self.kb_ids.get(&(task_type.clone(), kb_id.clone())).copied().unwrap_or_default();
        Some(Running { running, most })
    }

    /// How many more tasks of a type with this kbId may start, where they are limited.
    pub fn room_of_kb_id(&self, task_type: &Key, kb_id: &Arc<str>) -> Option<usize> {
        self.of_kb_id(task_type, kb_id).map(Running::room)
    }

    pub fn type_is_full(&self, task_type: &Key) -> bool {
        self.of_type(task_type).is_some_and(Running::is_full)
    }

    /// Whether the queue exists and admits tasks at all.
    pub fn is_open(&self, queue: &Key) -> bool {
        self.quota(queue).is_some_and(Quota::is_open)
    }

    /// The bound of its queue that a task could never keep.
    pub fn never_fits(&self, queue: &Key, priority: Priority, requests: &Amounts) -> Option<Lack> {
        self.quota(queue)?.never_fits(priority, requests)
    }

    /// The room that a task lacks in its queue. A queue that does not exist has no bound.
    pub fn lack(&self, queue: &Key, priority: Priority, requests: &Amounts) -> Option<Lack> {
        let nothing = Default::default();
        let used = self.queues.get(queue).map_or(&nothing, |queue| &queue.used);
        self.quota(queue)?.lack(used, priority, requests)
    }

    /// The resources that the admitted tasks of a queue use together.
    pub fn used_in(&self, queue: &Key) -> Amounts {
        let mut sum = Amounts::new();
        for usage in self.queues.get(queue).iter().flat_map(|queue| &queue.used) {
            add_amounts(&mut sum, &usage.resources, 1);
        }
        sum
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
