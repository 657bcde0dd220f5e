//! Sums of times that never overflow, some of them written by others; and by whose clock an age counts.

use jiff::{SignedDuration, Timestamp};

/// `pause` after `time`, or the end of time.
pub fn after(time: Timestamp, pause: SignedDuration) -> Timestamp {
    time.checked_add(pause).unwrap_or(Timestamp::MAX)
}

/// From when the age of something counts that another clock stamped: from its stamp, or from when we first saw it if
/// that is later. So nothing is old before its time because our clock is ahead, and late only where it is behind.
pub fn since(stamp: Timestamp, first_seen: Option<Timestamp>) -> Timestamp {
    first_seen.map_or(stamp, |seen| stamp.max(seen))
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
    fn an_age_counts_from_the_later_of_the_stamp_and_its_first_sight() {
        let [early, late] = [1, 2].map(|second| Timestamp::from_second(second).expect("a time"));
        assert_eq!((since(early, Some(late)), since(late, Some(early)), since(early, None)), (late, late, early));
    }

    #[test]
    fn what_lies_after_the_end_of_time_is_the_end_of_time() {
        let second = SignedDuration::from_secs(1);
        assert_eq!(after(Timestamp::MAX, second), Timestamp::MAX);
        assert_eq!(after(Timestamp::UNIX_EPOCH, second).as_second(), 1);
    }
}
