//! Waiting with a name and a deadline: no test waits for something to happen in any other way.

use std::time::{Duration, Instant};

/// The deadline for things that happen at once on an idle machine; the test machine may be busy.
pub const SOON: Duration = Duration::from_secs(90);
/// The time for which something is watched to show that it does not happen.
pub const A_MOMENT: Duration = Duration::from_secs(2);

const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Calls `look` until it returns something, and returns that; panics with `what` after `deadline`.
pub async fn eventually<T>(what: &str, deadline: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + deadline;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < until, "not within {deadline:?}: {what}");
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// Panics with `what` if `holds` is false at any look within `time`.
pub async fn stays(what: &str, time: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        assert!(holds().await, "no longer so within {time:?}: {what}");
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}
