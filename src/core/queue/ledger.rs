//! The books of admission: what is held, and what bounds it. Books of queues and types that nobody names any more
//! are closed. Never decides who is next.

use std::collections::HashMap;
use std::sync::Arc;

use super::capacity::{Capacity, Usage};
use super::order::Key;
use super::standing::{Candidate, Holding};
use crate::launch::resources::Amounts;
use task_manager_api::Priority;

/// The queue that need not be created.
const DEFAULT_QUEUE: &str = "default";

#[derive(Debug, Default)]
pub struct Ledger {
    queues: HashMap<Key, Queue>,
    /// What a queue named "default" may hold that nobody created.
    default_queue: Option<Capacity>,
    types: HashMap<Key, Bounded>,
    keys: HashMap<(Key, Arc<str>), i64>,
    running: i64,
    most_running: Option<i64>,
}

#[derive(Debug, Default)]
struct Queue {
    capacity: Option<Capacity>,
    held: [Usage; Priority::COUNT],
}

#[derive(Debug, Default)]
struct Bounded {
    running: i64,
    most: Option<i64>,
    most_per_key: Option<i64>,
}

/// Whether a candidate may have a slot now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Yes,
    /// Not now, and nobody behind it is held back by that.
    HeldBack,
    /// So many of its type run as may: nobody of that type gets one, whom that holds back alone.
    TypeFull,
    /// Its queue has no room for it, or is closed, and so there is none for anybody behind it.
    QueueFull,
    /// All that may run at once runs.
    AllFull,
}

impl Ledger {
    pub fn new(most_running: Option<i32>) -> Self {
        Self { most_running: most_running.map(i64::from), ..Self::default() }
    }

    pub fn set_default_queue(&mut self, capacity: Capacity) {
        self.default_queue = Some(capacity);
    }

    pub fn capacity(&self, queue: &Key) -> Option<&Capacity> {
        let created = self.queues.get(queue).and_then(|queue| queue.capacity.as_ref());
        created.or_else(|| self.default_queue.as_ref().filter(|_| &*queue.1 == DEFAULT_QUEUE))
    }

    pub fn bound_queue(&mut self, queue: Key, capacity: Option<Capacity>) {
        self.queues.entry(queue.clone()).or_default().capacity = capacity;
        self.close_queue(&queue);
    }

    pub fn bound_type(&mut self, kind: Key, most: Option<i32>, most_per_key: Option<i32>) {
        let bounded = self.types.entry(kind.clone()).or_default();
        bounded.most = most.map(i64::from);
        bounded.most_per_key = most_per_key.map(i64::from);
        self.close_type(&kind);
    }

    /// Closes the books of a queue that is not there and holds nothing.
    fn close_queue(&mut self, queue: &Key) {
        let is_empty = |queue: &Queue| queue.capacity.is_none() && queue.held == <[Usage; Priority::COUNT]>::default();
        if self.queues.get(queue).is_some_and(is_empty) {
            self.queues.remove(queue);
        }
    }

    /// Closes the books of a type that bounds nothing and of which nothing runs.
    fn close_type(&mut self, kind: &Key) {
        let is_empty = |kind: &Bounded| kind.running == 0 && kind.most.is_none() && kind.most_per_key.is_none();
        if self.types.get(kind).is_some_and(is_empty) {
            self.types.remove(kind);
        }
    }

    /// How many slots of this queue are held.
    pub fn held_of(&self, queue: &Key) -> i64 {
        self.queues.get(queue).map_or(0, |queue| queue.held.iter().map(|usage| usage.tasks).sum())
    }

    /// How many books are open.
    #[cfg(test)]
    pub fn open_books(&self) -> usize {
        self.queues.len() + self.types.len() + self.keys.len()
    }

    pub fn room(&self, candidate: &Candidate) -> Room {
        if self.most_running.is_some_and(|most| self.running >= most) {
            return Room::AllFull;
        }
        let Some(capacity) = self.capacity(&candidate.queue).filter(|capacity| !capacity.suspended) else {
            return Room::QueueFull;
        };
        if let Some(kind) = self.types.get(&candidate.kind) {
            if kind.most.is_some_and(|most| kind.running >= most) {
                return Room::TypeFull;
            }
            if kind.most_per_key.is_some_and(|most| self.running_of_key(candidate) >= most) {
                return Room::HeldBack;
            }
        }
        if capacity.never_fits(candidate.order.priority(), &candidate.asks).is_some() {
            return Room::HeldBack;
        }
        let nothing = Default::default();
        let held = self.queues.get(&candidate.queue).map_or(&nothing, |queue| &queue.held);
        match capacity.has_room(held, candidate.order.priority(), &candidate.asks) {
            true => Room::Yes,
            false => Room::QueueFull,
        }
    }

    /// How many of its type run with the same kbId. Those without one are not counted.
    fn running_of_key(&self, candidate: &Candidate) -> i64 {
        let of_key = |key: &Arc<str>| self.keys.get(&(candidate.kind.clone(), key.clone())).copied();
        candidate.kb_id.as_ref().and_then(of_key).unwrap_or_default()
    }

    pub fn take(&mut self, holding: &Holding) {
        self.book(holding, 1);
    }

    pub fn give_back(&mut self, holding: &Holding) {
        self.book(holding, -1);
        if let Some(key) = &holding.kb_id {
            let key = (holding.kind.clone(), key.clone());
            if self.keys.get(&key) == Some(&0) {
                self.keys.remove(&key);
            }
        }
        self.close_type(&holding.kind);
        self.close_queue(&holding.queue);
    }

    fn book(&mut self, holding: &Holding, times: i64) {
        self.running += times;
        self.types.entry(holding.kind.clone()).or_default().running += times;
        if let Some(key) = &holding.kb_id {
            *self.keys.entry((holding.kind.clone(), key.clone())).or_default() += times;
        }
        let held = &mut self.queues.entry(holding.queue.clone()).or_default().held[holding.priority.index()];
        held.tasks += times;
        add(&mut held.resources, &holding.holds, times);
    }
}

fn add(held: &mut Amounts, amounts: &Amounts, times: i64) {
    for (name, amount) in amounts {
        let entry = held.entry(name.clone()).or_default();
        *entry = if times > 0 { *entry + *amount } else { *entry - *amount };
        if entry.0 == 0 {
            held.remove(name);
        }
    }
}
