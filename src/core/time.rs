//! Arithmetic of times that never overflows, since others may write any time; and ages of things that another clock
//! stamped.

use jiff::{SignedDuration, Timestamp};

/// `pause` after `time`, at most `Timestamp::MAX`.
pub fn after(time: Timestamp, pause: SignedDuration) -> Timestamp {
    time.checked_add(pause).unwrap_or(Timestamp::MAX)
}

/// The first of these times.
pub fn earliest(times: impl IntoIterator<Item = Option<Timestamp>>) -> Option<Timestamp> {
    times.into_iter().flatten().min()
}

/// The start of the age of something that another clock stamped: the later of its stamp and of when we first saw it. So
/// nothing counts as old too early because our clock is ahead, and counts late only where it is behind.
pub fn since(stamp: Timestamp, first_seen: Option<Timestamp>) -> Timestamp {
    first_seen.map_or(stamp, |seen| stamp.max(seen))
}

/// A time as a status keeps it: to the microsecond, so that a record made from the same time equals it.
pub fn as_written(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_time_is_read_back_the_same() {
        let moment = "2026-01-01T00:00:00.123456789Z".parse().expect("a time");
        assert_eq!(as_written(moment).to_string(), "2026-01-01T00:00:00.123456Z");
    }

    #[test]
    fn an_age_counts_from_the_later_of_the_stamp_and_its_first_sight() {
        let [early, late] = [1, 2].map(|second| Timestamp::from_second(second).expect("a time"));
        assert_eq!((since(early, Some(late)), since(late, Some(early)), since(early, None)), (late, late, early));
    }

    #[test]
    fn no_sum_goes_beyond_the_last_time() {
        let second = SignedDuration::from_secs(1);
        assert_eq!(after(Timestamp::MAX, second), Timestamp::MAX);
        assert_eq!(after(Timestamp::UNIX_EPOCH, second).as_second(), 1);
    }
}
