//! How many tasks wait and run, by what they have in common, from memory.

use std::collections::HashMap;
use std::hash::Hash;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::{Priority, State};
use crate::rest::index::{Index, IndexedTask};

/// The tasks that wait and those that run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    pub queued: usize,
    pub running: usize,
    pub by_priority: ByPriority,
    /// When the one that has waited longest began to.
    pub oldest: Option<Timestamp>,
}

/// Tasks that wait, by priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct ByPriority {
    critical: usize,
    high: usize,
    normal: usize,
    low: usize,
}

impl Counts {
    /// All tasks that are not finished, by this key.
    pub fn by<K: Eq + Hash>(index: &Index, key: impl Fn(&IndexedTask) -> K) -> HashMap<K, Self> {
        let mut counts = HashMap::<K, Self>::new();
        index.each(|known| match known.state {
            State::Queued => counts.entry(key(known)).or_default().waits(known),
            State::Processing => counts.entry(key(known)).or_default().running += 1,
            State::Completed | State::Failed | State::Cancelled => {}
        });
        counts
    }

    fn waits(&mut self, known: &IndexedTask) {
        self.queued += 1;
        self.oldest = self.oldest.into_iter().chain([known.began()]).min();
        *match known.head.priority {
            Priority::Critical => &mut self.by_priority.critical,
            Priority::High => &mut self.by_priority.high,
            Priority::Normal => &mut self.by_priority.normal,
            Priority::Low => &mut self.by_priority.low,
        } += 1;
    }
}
