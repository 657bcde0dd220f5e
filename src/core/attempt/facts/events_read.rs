//! When the events of a pod that stays silent are read again: less and less often while they mean the same.

use jiff::{SignedDuration, Timestamp};

use super::Why;
use crate::time::after;

/// How long after the first time they are read again...
const AGAIN: SignedDuration = SignedDuration::from_secs(10);
/// ...and at most.
const AGAIN_AT_MOST: SignedDuration = SignedDuration::from_secs(300);

/// The events of a pod, as far as they matter, when they were last read.
#[derive(Clone, Debug, PartialEq)]
pub struct EventsRead {
    pub at: Timestamp,
    /// How many times in a row they meant the same before.
    pub repeated: u32,
    /// Why it has not started.
    pub explained: Option<Why>,
    pub work_started_at: Option<Timestamp>,
}

impl EventsRead {
    pub(crate) fn after(before: Option<&Self>, read: Self) -> Self {
        let same = before
            .filter(|before| before.explained == read.explained && before.work_started_at == read.work_started_at);
        Self { repeated: same.map_or(0, |before| before.repeated.saturating_add(1)), ..read }
    }

    /// When they are to be read again, if nothing else of the pod changes.
    pub fn due_at(&self) -> Timestamp {
        let pause = (AGAIN * (1 << self.repeated.min(10))).min(AGAIN_AT_MOST);
        after(self.at, pause)
    }
}
