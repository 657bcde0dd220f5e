//! The pending tasks of one queue and one type, in order: those that are ready, and those whose time has not come.
//! Never asks whether there is room.

use std::collections::{BTreeMap, btree_map};
use std::sync::Arc;

use jiff::Timestamp;

use super::order::{Key, Order};
use super::state::PendingTask;
use crate::launch::resources::Amounts;

/// The queue and the type whose pending tasks a line holds.
pub type LineKey = Arc<(Key, Key)>;

#[derive(Debug, Default)]
pub struct Line {
    ready: BTreeMap<Order, PendingTask>,
    delayed: BTreeMap<(Timestamp, Order), PendingTask>,
    /// The requests of the task that came last. The next one mostly requests the same and then shares them.
    last_requests: Arc<Amounts>,
}

/// Finds a pending task in its line.
#[derive(Debug)]
pub struct PendingKey {
    pub order: Order,
    ready_at: Option<Timestamp>,
}

impl Line {
    pub fn insert(&mut self, mut pending: PendingTask) -> PendingKey {
        if self.last_requests == pending.requests {
            pending.requests = self.last_requests.clone();
        } else {
            self.last_requests = pending.requests.clone();
        }
        let key = PendingKey { order: pending.order.clone(), ready_at: pending.ready_at };
        match pending.ready_at {
            Some(ready) => self.delayed.insert((ready, key.order.clone()), pending),
            None => self.ready.insert(key.order.clone(), pending),
        };
        key
    }

    pub fn get(&self, key: &PendingKey) -> Option<&PendingTask> {
        self.ready.get(&key.order).or_else(|| self.delayed.get(&(key.ready_at?, key.order.clone())))
    }

    pub fn remove(&mut self, key: &PendingKey) {
        if self.ready.remove(&key.order).is_none()
            && let Some(ready) = key.ready_at
        {
            self.delayed.remove(&(ready, key.order.clone()));
        }
    }

    /// Moves the delayed tasks whose time has come among the ready ones; returns when the next one becomes ready.
    pub fn promote(&mut self, now: Timestamp) -> Option<Timestamp> {
        while let Some(first) = self.delayed.first_entry() {
            let (ready, _) = first.key();
            if *ready > now {
                return Some(*ready);
            }
            let pending = first.remove();
            self.ready.insert(pending.order.clone(), pending);
        }
        None
    }

    /// The tasks whose time has come, in order.
    pub fn ready(&self) -> btree_map::Values<'_, Order, PendingTask> {
        self.ready.values()
    }

    pub fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.delayed.is_empty()
    }
}
