//! Pauses between calls that were not answered, and how long a worker that nobody knows goes on asking.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::operator::CallError;
use super::tell;

const FIRST: Duration = Duration::from_millis(100);
/// Below what a worker at work may be silent for.
const LONGEST: Duration = Duration::from_secs(5);
/// An operator may ask for so much.
const LONGEST_ASKED_FOR: Duration = Duration::from_secs(30);
/// A worker that is not the operator's ends after this: its pod is replaced.
const UNKNOWN_FOR: Duration = Duration::from_secs(120);

/// Says again without end what may be answered yet, and for two minutes what is refused.
#[derive(Debug)]
pub struct Patience {
    pause: Duration,
    refused_since: Option<Instant>,
    told: String,
}

impl Default for Patience {
    fn default() -> Self {
        Self { pause: FIRST, refused_since: None, told: String::new() }
    }
}

impl Patience {
    /// Waits before it is said again; gives back the error where that is no use any longer.
    pub async fn pause(&mut self, what: &str, error: CallError) -> Result<(), CallError> {
        let why = error.to_string();
        if why != self.told {
            tell(&format!("{what} is said again: {why}"));
            self.told = why;
        }
        let asked_for = match &error {
            CallError::Again { after, .. } => {
                self.refused_since = None;
                *after
            }
            _ if self.refused_since.get_or_insert_with(Instant::now).elapsed() >= UNKNOWN_FOR => return Err(error),
            _ => None,
        };
        let share = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
        sleep(self.next(asked_for, share)).await;
        Ok(())
    }

    /// The next pause: it grows by half each time, to 5 s, and is no shorter than the one that was asked for. `share`, in 0
    /// to 1, spreads workers that lost the same operator at once.
    fn next(&mut self, asked_for: Option<Duration>, share: f64) -> Duration {
        let spread = self.pause.mul_f64(0.5 + share.clamp(0.0, 1.0) / 2.0);
        self.pause = (self.pause * 3 / 2).min(LONGEST);
        asked_for.map_or(spread, |asked_for| asked_for.min(LONGEST_ASKED_FOR).max(spread))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_seconds_and_no_further() {
        let mut patience = Patience::default();
        let pauses: Vec<_> = (0..20).map(|_| patience.next(None, 1.0)).collect();
        assert_eq!(pauses[..3], [100, 150, 225].map(Duration::from_millis));
        assert!(pauses.is_sorted());
        assert_eq!(pauses.last(), Some(&LONGEST));
        assert_eq!(patience.next(None, 0.0), LONGEST / 2);
    }

    #[test]
    fn the_pause_that_was_asked_for_is_kept_within_reason() {
        let mut patience = Patience::default();
        assert_eq!(patience.next(Some(Duration::from_secs(2)), 0.5), Duration::from_secs(2));
        assert_eq!(patience.next(Some(Duration::from_secs(9999)), 0.5), LONGEST_ASKED_FOR);
        assert!(patience.next(Some(Duration::ZERO), 0.5) > FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_is_unknown_gives_up_after_two_minutes_and_no_other_does() {
        let (mut patience, began) = (Patience::default(), Instant::now());
        while patience.pause("it", CallError::NotOurs("no".into())).await.is_ok() {}
        let took = began.elapsed();
        assert!(took >= UNKNOWN_FOR && took < UNKNOWN_FOR + 2 * LONGEST, "{took:?}");
        for _ in 0..1000 {
            let away = CallError::Again { why: "away".into(), after: None };
            patience.pause("it", away).await.expect("it goes on");
        }
    }
}
