//! Has the archive forget what is too old or too much, on the leader, now and then.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use crate::archive;
use crate::archive::Archive;

const BETWEEN: Duration = Duration::from_secs(3600);
/// The pause after it failed.
const TRIED_AGAIN: Duration = Duration::from_secs(60);

/// How long records are kept, and how many.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    pub days: u32,
    pub records: u64,
}

impl Retention {
    fn at(self, now: Timestamp) -> archive::PruneLimits {
        let kept = SignedDuration::from_hours(24 * i64::from(self.days));
        archive::PruneLimits { older_than: now.checked_sub(kept).unwrap_or(Timestamp::MIN), keep_at_most: self.records }
    }
}

pub async fn run(archive: Archive, retention: Retention) {
    loop {
        let pause = match archive.prune(&retention.at(Timestamp::now())).await {
            Ok(0) => BETWEEN,
            Ok(records) => {
                tracing::info!(records, "the archive has forgotten what was too old or too much");
                BETWEEN
            }
            Err(error) => {
                tracing::warn!(%error, "the archive could not forget what is too old or too much; will try again");
                TRIED_AGAIN
            }
        };
        sleep(pause).await;
    }
}
