//! Sums of times that never overflow: some of them were written by others.

use jiff::{SignedDuration, Timestamp};

/// `pause` after `time`, or the end of time.
pub fn after(time: Timestamp, pause: SignedDuration) -> Timestamp {
    time.checked_add(pause).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_after_the_end_of_time_is_the_end_of_time() {
        let second = SignedDuration::from_secs(1);
        assert_eq!(after(Timestamp::MAX, second), Timestamp::MAX);
        assert_eq!(after(Timestamp::UNIX_EPOCH, second).as_second(), 1);
    }
}
