use std::collections::HashMap;
use std::sync::Arc;

use super::super::resources::Amounts;
use super::capacity::{Capacity, Usage};
use super::order::Key;
use super::standing::{Candidate, Holding};
use crate::api::Priority;

/// What is held, and what bounds it: the books of admission.
#[derive(Debug, Default)]
pub struct Ledger {
    pub queues: HashMap<Key, Queue>,
    types: HashMap<Key, Bounded>,
    keys: HashMap<(Key, Arc<str>), i64>,
    running: i64,
    most_running: Option<i64>,
}

#[derive(Debug, Default)]
pub struct Queue {
    pub capacity: Option<Capacity>,
    pub held: [Usage; Priority::COUNT],
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
    /// Its queue has no room for it, and so none for anybody behind it.
    QueueFull,
    /// All that may run at once runs.
    AllFull,
}

impl Ledger {
    pub fn new(most_running: Option<i32>) -> Self {
        Self { most_running: most_running.map(i64::from), ..Self::default() }
    }

    pub fn bound_type(&mut self, kind: Key, most: Option<i32>, most_per_key: Option<i32>) {
        let bounded = self.types.entry(kind).or_default();
        bounded.most = most.map(i64::from);
        bounded.most_per_key = most_per_key.map(i64::from);
    }

    pub fn room(&self, candidate: &Candidate) -> Room {
        if self.most_running.is_some_and(|most| self.running >= most) {
            return Room::AllFull;
        }
        let Some(queue) = self.queues.get(&candidate.queue) else { return Room::HeldBack };
        let Some(capacity) = queue.capacity.as_ref().filter(|capacity| !capacity.suspended) else {
            return Room::HeldBack;
        };
        if self.type_is_full(candidate) || capacity.never_fits(candidate.order.priority(), &candidate.asks).is_some() {
            return Room::HeldBack;
        }
        match capacity.has_room(&queue.held, candidate.order.priority(), &candidate.asks) {
            true => Room::Yes,
            false => Room::QueueFull,
        }
    }

    fn type_is_full(&self, candidate: &Candidate) -> bool {
        let Some(kind) = self.types.get(&candidate.kind) else { return false };
        let same_key = || {
            let key = candidate.kb_id.as_ref()?;
            self.keys.get(&(candidate.kind.clone(), key.clone())).copied()
        };
        kind.most.is_some_and(|most| kind.running >= most)
            || kind.most_per_key.is_some_and(|most| same_key().unwrap_or_default() >= most)
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
