//! Adds up the slots and resources of admitted tasks, beside the bounds on them, and knows which workers are free. Forgets
//! queues and types that have neither bounds nor admitted tasks. Never decides which task is next.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use super::free_workers::{FreeWorkers, WorkerSlot};
use super::order::Key;
use super::quota::{Lack, Quota, UsageByPriority};
use super::state::{Reservation, key};
use crate::launch::resources::Amounts;
use task_manager_api::{Executor, Priority, TaskTypeSpec};

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
    /// The free workers by pool.
    pools: HashMap<Key, FreeWorkers>,
}

/// The bounds that a type sets on its tasks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TypeLimits {
    /// How many may run at once.
    pub most: Option<i32>,
    /// How many of one kbId may.
    pub most_per_kb_id: Option<i32>,
    /// The pool whose workers run them.
    pub pool: Option<Key>,
}

impl TypeLimits {
    /// Those of a type in this namespace.
    pub fn of(namespace: &str, spec: &TaskTypeSpec) -> Self {
        let pool = spec.worker_pool.as_deref().filter(|_| spec.executor == Executor::Pool);
        Self {
            most: spec.max_concurrent,
            most_per_kb_id: spec.max_concurrent_per_kb_id,
            pool: pool.map(|pool| key(namespace, pool)),
        }
    }
}

#[derive(Debug, Default)]
struct QueueUsage {
    quota: Option<Quota>,
    used: UsageByPriority,
}

#[derive(Debug, Default)]
struct TypeUsage {
    running: i64,
    limits: TypeLimits,
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
    pub fn set_type_limits(&mut self, task_type: &Key, limits: TypeLimits) -> bool {
        let usage = self.types.entry(task_type.clone()).or_default();
        let is_news = usage.limits != limits;
        usage.limits = limits;
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
        let is_empty = |usage: &TypeUsage| usage.running == 0 && usage.limits == TypeLimits::default();
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
        self.queues.len() + self.types.len() + self.kb_ids.len() + self.pools.len()
    }

    /// The tasks of all queues together, where they are limited.
    pub fn all(&self) -> Option<Running> {
        self.most_running.map(|most| Running { running: self.running, most })
    }

    /// The tasks of a type, where they are limited.
    pub fn of_type(&self, task_type: &Key) -> Option<Running> {
        let usage = self.types.get(task_type)?;
        usage.limits.most.map(|most| Running { running: usage.running, most: most.into() })
    }

    /// The tasks of a type with one kbId, where they are limited.
    pub fn of_kb_id(&self, task_type: &Key, kb_id: &Arc<str>) -> Option<Running> {
        let most = self.types.get(task_type)?.limits.most_per_kb_id?.into();
        let running = self.kb_ids.get(&(task_type.clone(), kb_id.clone())).copied().unwrap_or_default();
        Some(Running { running, most })
    }

    /// How many more tasks of a type with this kbId may start, where they are limited.
    pub fn room_of_kb_id(&self, task_type: &Key, kb_id: &Arc<str>) -> Option<usize> {
        self.of_kb_id(task_type, kb_id).map(Running::room)
    }

    /// Nobody of this type starts now, whatever room there is: as many as may run do, or no worker of its pool is free.
    pub fn type_is_held(&self, task_type: &Key) -> bool {
        self.of_type(task_type).is_some_and(Running::is_full) || self.lacks_a_worker(task_type)
    }

    /// It is run by a pool none of whose workers is free.
    pub fn lacks_a_worker(&self, task_type: &Key) -> bool {
        self.pool_of(task_type).is_some_and(|pool| !self.pools.contains_key(pool))
    }

    /// The pool whose workers run tasks of this type.
    pub fn pool_of(&self, task_type: &Key) -> Option<&Key> {
        self.types.get(task_type)?.limits.pool.as_ref()
    }

    /// A worker of this pool has been idle since then, and asks for work. Returns whether it is the first one free.
    pub fn worker_is_free(&mut self, pool: &Key, slot: WorkerSlot, idle_since: Timestamp) -> bool {
        let free = self.pools.entry(pool.clone()).or_default();
        free.add(slot, idle_since);
        free.len() == 1
    }

    /// It asks no longer. Returns whether it was the last one free.
    pub fn worker_is_not_free(&mut self, pool: &Key, worker: &Arc<str>, slot: u8) -> bool {
        let was_there = self.pools.get_mut(pool).is_some_and(|free| free.remove(worker, slot));
        was_there && self.forget_pool_without_free(pool)
    }

    /// The free worker of this type's pool that has been idle longest, of another pod than `but_not` if there is one. Whether
    /// others of the pool are still free is for `type_is_held`.
    pub fn take_worker(&mut self, task_type: &Key, but_not: Option<&str>) -> Option<(Key, WorkerSlot)> {
        let pool = self.pool_of(task_type)?.clone();
        let slot = self.pools.get_mut(&pool)?.take(but_not)?;
        self.forget_pool_without_free(&pool);
        Some((pool, slot))
    }

    fn forget_pool_without_free(&mut self, pool: &Key) -> bool {
        let is_empty = self.pools.get(pool).is_some_and(FreeWorkers::is_empty);
        if is_empty {
            self.pools.remove(pool);
        }
        is_empty
    }

    /// The types whose tasks this pool runs.
    pub fn types_of_pool(&self, pool: &Key) -> Vec<Key> {
        let of_pool = self.types.iter().filter(|(_, usage)| usage.limits.pool.as_ref() == Some(pool));
        of_pool.map(|(task_type, _)| task_type.clone()).collect()
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

    /// What the admitted tasks of a queue use, by priority.
    pub fn usage(&self, queue: &Key) -> UsageByPriority {
        self.queues.get(queue).map(|queue| queue.used.clone()).unwrap_or_default()
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
