//! The candidates of one queue and one type: those whose time has come, in order, and those who still wait for it.
//! Never asks whether there is room.

use std::collections::{BTreeMap, btree_map};
use std::sync::Arc;

use jiff::Timestamp;

use super::order::{Key, Order};
use super::standing::Candidate;
use crate::launch::resources::Amounts;

/// What a line is of: a queue and a type.
pub type Row = Arc<(Key, Key)>;

#[derive(Debug, Default)]
pub struct Line {
    due: BTreeMap<Order, Candidate>,
    later: BTreeMap<(Timestamp, Order), Candidate>,
    /// What the candidate that came last asks for: the next one mostly asks for the same.
    asked: Arc<Amounts>,
}

/// Where in a line a candidate stands.
#[derive(Debug)]
pub struct Spot {
    pub order: Order,
    ready_at: Option<Timestamp>,
}

impl Line {
    pub fn insert(&mut self, mut candidate: Candidate) -> Spot {
        if self.asked == candidate.asks {
            candidate.asks = self.asked.clone();
        } else {
            self.asked = candidate.asks.clone();
        }
        let spot = Spot { order: candidate.order.clone(), ready_at: candidate.ready_at };
        match candidate.ready_at {
            Some(ready) => self.later.insert((ready, spot.order.clone()), candidate),
            None => self.due.insert(spot.order.clone(), candidate),
        };
        spot
    }

    pub fn get(&self, spot: &Spot) -> Option<&Candidate> {
        self.due.get(&spot.order).or_else(|| self.later.get(&(spot.ready_at?, spot.order.clone())))
    }

    pub fn remove(&mut self, spot: &Spot) {
        if self.due.remove(&spot.order).is_none()
            && let Some(ready) = spot.ready_at
        {
            self.later.remove(&(ready, spot.order.clone()));
        }
    }

    /// Takes in whose time has come; returns when that of the next one comes.
    pub fn ripen(&mut self, now: Timestamp) -> Option<Timestamp> {
        while let Some(first) = self.later.first_entry() {
            let (ready, _) = first.key();
            if *ready > now {
                return Some(*ready);
            }
            let candidate = first.remove();
            self.due.insert(candidate.order.clone(), candidate);
        }
        None
    }

    /// Whose time has come, in order.
    pub fn due(&self) -> btree_map::Values<'_, Order, Candidate> {
        self.due.values()
    }

    pub fn is_empty(&self) -> bool {
        self.due.is_empty() && self.later.is_empty()
    }
}
