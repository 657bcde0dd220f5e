//! How long the holder of a lease may still write.

use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

/// Until when its holder may write. Cheap to clone and to ask.
#[derive(Clone, Debug)]
pub struct Leadership {
    pub(super) until: watch::Receiver<Option<Until>>,
}

impl Leadership {
    /// How long writes may still take; `None` once the lease is not ours.
    pub fn remaining(&self) -> Option<Duration> {
        (*self.until.borrow())?.remaining(Instant::now(), SystemTime::now())
    }
}

/// The end of a lease, by two clocks. The monotonic one is never set, but stands still while the machine sleeps; the other
/// one then shows a leap when it wakes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Until {
    monotonic: Instant,
    wall: SystemTime,
}

impl Until {
    /// So long after a moment.
    pub(super) fn after(monotonic: Instant, wall: SystemTime, time: Duration) -> Option<Self> {
        Some(Self { monotonic: monotonic.checked_add(time)?, wall: wall.checked_add(time)? })
    }

    pub(super) fn remaining(self, monotonic: Instant, wall: SystemTime) -> Option<Duration> {
        let is_over = wall >= self.wall;
        self.monotonic.checked_duration_since(monotonic).filter(|left| !left.is_zero() && !is_over)
    }
}
