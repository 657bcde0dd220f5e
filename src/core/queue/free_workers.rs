//! The free slots of the workers of one pool: whoever has asked for work and has none. The one that has been idle longest gets
//! the next task. Never knows which workers there are beside them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

/// A place for one task on a worker, which may have several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerSlot {
    /// The worker's pod: its name and its uid.
    pub pod: Arc<str>,
    pub uid: Arc<str>,
    /// From 0.
    pub slot: u8,
    /// It promises to be heard while it works.
    pub beats: bool,
}

/// The uid of the worker's pod, and the number of its slot.
type Place = (Arc<str>, u8);

#[derive(Debug, Default)]
pub struct FreeWorkers {
    by_age: BTreeMap<(Timestamp, Place), WorkerSlot>,
    since: HashMap<Place, Timestamp>,
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
        self.remove(&slot.uid, slot.slot);
        let place = (slot.uid.clone(), slot.slot);
        self.since.insert(place.clone(), idle_since);
        self.by_age.insert((idle_since, place), slot);
    }

    /// It asks no longer.
    pub fn remove(&mut self, worker: &Arc<str>, slot: u8) -> bool {
        let place = (worker.clone(), slot);
        let Some(since) = self.since.remove(&place) else { return false };
        self.by_age.remove(&(since, place)).is_some()
    }

    /// The slot that has been idle longest, of another pod than `but_not` if there is one.
    pub fn take(&mut self, but_not: Option<&str>) -> Option<WorkerSlot> {
        let is_another = |slot: &&WorkerSlot| but_not.is_none_or(|pod| *slot.pod != *pod);
        let mut slots = self.by_age.values();
        let first = slots.clone().next();
        let slot = slots.find(is_another).or(first)?.clone();
        self.remove(&slot.uid, slot.slot);
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
    fn a_slot_is_one_whatever_it_promises() {
        let mut free = FreeWorkers::default();
        free.add(slot("a", 0), at(1));
        free.add(WorkerSlot { beats: true, ..slot("a", 0) }, at(2));
        assert_eq!(free.take(None).map(|slot| slot.beats), Some(true));
        assert!(free.is_empty());
    }

    #[test]
    fn a_slot_that_asks_again_counts_once_from_its_last_word() {
        let mut free = FreeWorkers::default();
        free.add(slot("a", 0), at(1));
        free.add(slot("a", 0), at(5));
        free.add(slot("b", 0), at(3));
        assert_eq!((free.len(), free.take(None)), (2, Some(slot("b", 0))));
        assert!(free.remove(&"a".into(), 0) && !free.remove(&"a".into(), 0) && free.is_empty());
    }
}
