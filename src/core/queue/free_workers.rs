//! The free slots of the workers of one pool: whoever has asked for work and has none. The one that has been idle longest gets
//! the next task. Never knows which workers there are beside them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

/// One of the tasks that a worker can run at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerSlot {
    /// The worker's pod: its name and its uid.
    pub pod: Arc<str>,
    pub uid: Arc<str>,
    /// From 0.
    pub slot: u8,
    /// It promises to be heard while it works.
    pub beats: bool,
}

#[derive(Debug, Default)]
pub struct FreeWorkers {
    by_age: BTreeSet<(Timestamp, WorkerSlot)>,
    since: HashMap<WorkerSlot, Timestamp>,
}

impl FreeWorkers {
    pub fn is_empty(&self) -> bool {
        self.by_age.is_empty()
    }

    pub fn len(&self) -> usize {
        self.by_age.len()
    }

    /// This slot has been idle since then, and asks for work.
    pub fn add(&mut self, slot: WorkerSlot, idle_since: Timestamp) {
        self.remove(&slot);
        self.since.insert(slot.clone(), idle_since);
        self.by_age.insert((idle_since, slot));
    }

    /// It asks no longer.
    pub fn remove(&mut self, slot: &WorkerSlot) -> bool {
        let Some(since) = self.since.remove(slot) else { return false };
        self.by_age.remove(&(since, slot.clone()))
    }

    /// The slot that has been idle longest, of another pod than `but_not` if there is one.
    pub fn take(&mut self, but_not: Option<&str>) -> Option<WorkerSlot> {
        let is_another = |slot: &&WorkerSlot| but_not.is_none_or(|pod| *slot.pod != *pod);
        let mut slots = self.by_age.iter().map(|(_, slot)| slot);
        let first = slots.clone().next();
        let slot = slots.find(is_another).or(first)?.clone();
        self.remove(&slot);
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(uid: &str, slot: u8) -> WorkerSlot {
        WorkerSlot { pod: format!("pool-{uid}").into(), uid: uid.into(), slot, beats: false }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn the_slot_that_has_been_idle_longest_is_taken_first_and_once() {
        let mut free = FreeWorkers::default();
        free.add(slot("b", 0), at(2));
        free.add(slot("a", 1), at(3));
        free.add(slot("a", 0), at(1));
        let taken: Vec<_> = std::iter::from_fn(|| free.take(None)).collect();
        assert_eq!(taken, [slot("a", 0), slot("b", 0), slot("a", 1)]);
        assert!(free.is_empty());
    }

    #[test]
    fn of_several_free_workers_another_one_than_the_last_is_taken() {
        let mut free = FreeWorkers::default();
        free.add(slot("a", 0), at(1));
        free.add(slot("a", 1), at(2));
        free.add(slot("b", 0), at(3));
        assert_eq!(free.take(Some("pool-a")), Some(slot("b", 0)));
        assert_eq!(free.take(Some("pool-a")), Some(slot("a", 0)), "there is no other");
        assert_eq!((free.take(None), free.len()), (Some(slot("a", 1)), 0));
    }

    #[test]
    fn a_slot_that_asks_again_counts_once_from_its_last_word() {
        let mut free = FreeWorkers::default();
        free.add(slot("a", 0), at(1));
        free.add(slot("a", 0), at(5));
        free.add(slot("b", 0), at(3));
        assert_eq!((free.len(), free.take(None)), (2, Some(slot("b", 0))));
        assert!(free.remove(&slot("a", 0)) && !free.remove(&slot("a", 0)) && free.is_empty());
    }
}
