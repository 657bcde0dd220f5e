//! How long a failed task pauses before its next attempt.

use jiff::SignedDuration;
use sha2::{Digest, Sha256};

use crate::launch::policy::RetryPolicy;

/// How long a task is left alone after a look at it that failed...
const AFTER_AN_ERROR: SignedDuration = SignedDuration::from_secs(2);
/// ...and after many that failed one after another.
const AFTER_MANY_ERRORS: SignedDuration = SignedDuration::from_secs(30);

/// The pause after so many looks at a task that failed one after another, for no fault of the task: it doubles.
pub fn after_errors(errors: u32) -> SignedDuration {
    let factor = 1i32 << errors.saturating_sub(1).min(10);
    (AFTER_AN_ERROR * factor).min(AFTER_MANY_ERRORS)
}

/// The least pause after so many refusals by nodes: it doubles, …
const AFTER_A_REFUSAL: SignedDuration = SignedDuration::from_secs(5);
/// … up to this.
const AFTER_MANY_REFUSALS: SignedDuration = SignedDuration::from_secs(300);

pub fn after_refusals(times: i32) -> SignedDuration {
    let factor = 1i32 << times.saturating_sub(1).clamp(0, 10);
    (AFTER_A_REFUSAL * factor).min(AFTER_MANY_REFUSALS)
}

/// The least pause after a slot was given back with nothing counted, …
const AFTER_GIVING_BACK: SignedDuration = SignedDuration::from_secs(30);
/// … and the longest, when that happens again and again.
const AFTER_GIVING_BACK_OFTEN: SignedDuration = SignedDuration::from_mins(30);

/// The pause after so many slots that were given back one after another, the last of which was held for so long: it
/// doubles. No shorter than the hold, so that a task which nobody puts right has a slot for half the time at most.
pub fn after_giving_back(times: i32, held: SignedDuration) -> SignedDuration {
    let factor = 1i32 << times.saturating_sub(1).clamp(0, 10);
    let once = held.clamp(AFTER_GIVING_BACK, AFTER_GIVING_BACK_OFTEN);
    (once * factor).min(AFTER_GIVING_BACK_OFTEN)
}

/// min(maxSeconds, initialSeconds × factor^(failures−1)), give or take a tenth, never above maxSeconds.
///
/// The tenth follows from uid and attempt, so that tasks which failed together do not come back together,
/// and yet the same failure always gives the same pause.
pub fn pause(retry: &RetryPolicy, failures: i32, uid: &str, attempt: i32) -> SignedDuration {
    // Beyond, the product would be infinite, and no pause at all times infinity is no number.
    let exponent = failures.saturating_sub(1).clamp(0, 300);
    let most = f64::from(retry.max_seconds.max(0));
    let plain = (f64::from(retry.initial_seconds) * retry.factor.powi(exponent)).min(most);
    let jittered = (plain * (1.0 + 0.1 * jitter(uid, attempt))).min(most);
    SignedDuration::from_millis((jittered * 1000.0) as i64)
}

/// A number from −1 to 1 that follows from uid and attempt.
fn jitter(uid: &str, attempt: i32) -> f64 {
    let digest = Sha256::digest(format!("{uid}/{attempt}"));
    let drawn = digest.iter().take(4).fold(0u32, |number, byte| number << 8 | u32::from(*byte));
    f64::from(drawn) / f64::from(u32::MAX) * 2.0 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Policy;
    use proptest::prelude::*;
    use task_manager_api::TaskSpec;

    fn retry(initial_seconds: i32, factor: f64, max_seconds: i32) -> RetryPolicy {
        RetryPolicy { initial_seconds, factor, max_seconds, ..Policy::of(&TaskSpec::default(), None).retry }
    }

    #[test]
    fn errors_that_follow_one_another_are_waited_for_longer_and_longer_up_to_half_a_minute() {
        let pauses: Vec<_> = [1, 2, 3, 4, 5, 6, 40, u32::MAX].map(|errors| after_errors(errors).as_secs()).into();
        assert_eq!(pauses, [2, 4, 8, 16, 30, 30, 30, 30]);
    }

    #[test]
    fn a_slot_given_back_is_waited_for_as_long_as_it_was_held_and_longer_each_time() {
        let pauses = |held: i64| {
            [i32::MIN, 0, 1, 2, 3, 4, 5, 6, 40, i32::MAX]
                .map(|times| after_giving_back(times, SignedDuration::from_secs(held)).as_secs())
        };
        assert_eq!(pauses(61), [61, 61, 61, 122, 244, 488, 976, 1800, 1800, 1800]);
        for short in [i64::MIN, 0, 2, 30] {
            assert_eq!(pauses(short), [30, 30, 30, 60, 120, 240, 480, 960, 1800, 1800], "held for {short} s");
        }
        assert_eq!(pauses(i64::MAX), [1800; 10]);
    }

    #[test]
    fn refusals_by_nodes_never_follow_one_another_fast() {
        let pauses: Vec<_> = [i32::MIN, 0, 1, 2, 3, 20].map(|times| after_refusals(times).as_secs()).into();
        assert_eq!(pauses, [5, 5, 5, 10, 20, 300]);
    }

    #[test]
    fn the_pause_doubles_up_to_the_cap() {
        let retry = retry(10, 2.0, 60);
        for (failures, seconds) in [(1, 10.0), (2, 20.0), (3, 40.0), (4, 60.0), (50, 60.0)] {
            let pause = pause(&retry, failures, "uid", 1).as_secs_f64();
            assert!((pause - seconds).abs() <= seconds / 10.0, "{failures}: {pause}");
        }
    }

    #[test]
    fn tasks_that_failed_together_come_back_apart() {
        let retry = retry(100, 1.0, 1000);
        let pauses = (0..200).map(|number| pause(&retry, 1, &format!("uid-{number}"), 1).as_secs_f64());
        let (short, long): (Vec<_>, Vec<_>) = pauses.partition(|pause| *pause < 100.0);
        assert!(short.len() > 60 && long.len() > 60, "{} before and {} after", short.len(), long.len());
        assert!(short.iter().any(|pause| *pause < 92.0) && long.iter().any(|pause| *pause > 108.0));
    }

    proptest! {
        #[test]
        fn a_pause_is_within_a_tenth_repeatable_and_never_above_the_cap(
            initial in 0..86_400i32, factor in 1.0..10.0f64, most in 0..86_400i32, failures in 1..101i32, uid in "[a-f0-9]{8}", attempt in 1..200i32,
        ) {
            let retry = retry(initial, factor, most);
            let got = pause(&retry, failures, &uid, attempt);
            let plain = (f64::from(initial) * factor.powi(failures - 1)).min(f64::from(most));
            prop_assert!(got.as_secs_f64() <= f64::from(most));
            prop_assert!(got.as_secs_f64() >= plain * 0.9 - 0.001);
            prop_assert!(got.as_secs_f64() <= plain * 1.1 + 0.001);
            prop_assert_eq!(got, pause(&retry, failures, &uid, attempt));
        }
    }
}
