//! Sums of times that never overflow: some of them were written by others.

use jiff::{SignedDuration, Timestamp};

/// `pause` after `time`, or the end of time.
pub fn after(time: Timestamp, pause: SignedDuration) -> Timestamp {
    time.checked_add(pause).unwrap_or(Timestamp::MAX)
}

/// A moment as a status keeps it: to the microsecond, so that a record made beside it says the same.
pub fn as_written(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_that_is_written_is_read_back_the_same() {
        let moment = "2026-01-01T00:00:00.123456789Z".parse().expect("a time");
        assert_eq!(as_written(moment).to_string(), "2026-01-01T00:00:00.123456Z");
    }

    #[test]
    fn what_lies_after_the_end_of_time_is_the_end_of_time() {
        let second = SignedDuration::from_secs(1);
        assert_eq!(after(Timestamp::MAX, second), Timestamp::MAX);
        assert_eq!(after(Timestamp::UNIX_EPOCH, second).as_second(), 1);
    }
}
