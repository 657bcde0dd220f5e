//! Keeps the last lines of attempts that failed and that no record has: those that others followed, and a last one whose log
//! did not come as its record was put. As soon as that is written, beside everything else, and at the latest before the
//! attempt's Job is deleted, which waits for the archive, and a few times for a log that does not come. No attempt waits.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use lru::LruCache;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::log_tail;
use super::log_tail::LogTail;
use crate::api::Task;
use crate::archive::{AttemptKey, Error, Guard};
use crate::cluster::calls::Reads;
use crate::core::attempt::facts::{LogOf, Observed};
use crate::core::attempt::id::AttemptId;
use crate::core::attempt::job_name;
use crate::core::task::log_of_attempt;
use crate::metrics::Metrics;

/// Logs that are read and stored early at once. The others are when their Job goes.
const AT_ONCE: usize = 16;
/// The most Jobs of which something is remembered. The logs of those beyond are read and stored once more.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);
/// The most logs that workers handed in and that the archive has not taken yet: 4 KiB each.
const HANDED_IN_WAITING: usize = 1024;
/// So long one of these waits.
const WAITS_AT_MOST: Duration = Duration::from_secs(3600);
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// So often a log is asked for while its Job is to go, and does not come; then the Job goes without.
const ASKED_FOR: u32 = 4;

pub struct AttemptLogs {
    guard: Arc<Guard>,
    metrics: Arc<Metrics>,
    /// The Jobs whose logs are kept, or that have none.
    kept: Mutex<LruCache<String, ()>>,
    /// The Jobs of last attempts whose record was put without their log, for it did not come.
    missed: Mutex<LruCache<String, ()>>,
    /// How often the log of a Job that is to go was asked for in vain.
    in_vain: Mutex<LruCache<String, u32>>,
    turns: Arc<Semaphore>,
    /// Turns of those that workers handed in, which wait while the archive is away.
    handed_in: Arc<Semaphore>,
}

/// The outcome of one try to keep a log.
enum Tried {
    Kept,
    /// The archive does not take it now.
    NotNow,
    /// The log did not come, or not whole; or the archive refuses it.
    InVain(String),
    /// The archive will never take it.
    Lost(String),
}

impl AttemptLogs {
    pub fn new(guard: Arc<Guard>, metrics: Arc<Metrics>) -> Self {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let [kept, missed] = [(); 2].map(|()| Mutex::new(LruCache::new(REMEMBERED)));
        Self {
            guard,
            metrics,
            kept,
            missed,
            in_vain: Mutex::new(LruCache::new(REMEMBERED)),
            turns,
            handed_in: Arc::new(Semaphore::new(HANDED_IN_WAITING)),
        }
    }

    /// The record of this task's run was put without the log of its last attempt: that did not come.
    pub fn missed(&self, task: &Task) {
        self.missed.lock().put(job_name(task), ());
    }

    /// Keeps the log of the attempt that this Job was, which is to go. False where it is to be tried again before.
    pub async fn keep(&self, task: &Task, job: &str, observed: &Observed, reads: &Reads) -> bool {
        let Some((attempt, log_of)) = self.still_to_keep(task, job, observed) else { return true };
        let why = match self.try_to_keep(task, attempt, &log_of, reads).await {
            Tried::Kept => None,
            Tried::NotNow => return false,
            Tried::InVain(_) if self.is_asked_for_again(job) => return false,
            Tried::InVain(why) | Tried::Lost(why) => Some(why),
        };
        if let Some(why) = why {
            let (namespace, task) = (task.namespace(), task.name_any());
            tracing::warn!(namespace, task, attempt, why, "the log of an attempt is lost");
            self.metrics.log_lost();
        }
        self.kept.lock().put(job.to_owned(), ());
        true
    }

    fn is_asked_for_again(&self, job: &str) -> bool {
        let mut in_vain = self.in_vain.lock();
        let times = in_vain.get(job).map_or(1, |times| times + 1);
        in_vain.put(job.to_owned(), times);
        times < ASKED_FOR
    }

    fn still_to_keep(&self, task: &Task, job: &str, observed: &Observed) -> Option<(i32, LogOf)> {
        let is_missed = self.missed.lock().contains(job);
        log_of_attempt(task, job, observed, is_missed).filter(|_| !self.kept.lock().contains(job))
    }

    async fn try_to_keep(&self, task: &Task, attempt: i32, log_of: &LogOf, reads: &Reads) -> Tried {
        if !self.guard.is_up() {
            return Tried::NotNow;
        }
        let namespace = task.namespace().unwrap_or_default();
        let log = log_tail::of(&namespace, log_of, reads).await;
        if let Some(text) = log.text() {
            let AttemptId { uid, run_id, began, .. } = AttemptId::of(task);
            let key = AttemptKey { uid: &uid, run_id: &run_id, began, attempt };
            match self.guard.ask(self.guard.archive().put_log(&key, text, Timestamp::now())).await {
                Ok(()) => {}
                Err(error) if error.is_temporary() => return Tried::NotNow,
                Err(error @ (Error::TooLarge { .. } | Error::Outdated(_))) => return Tried::Lost(error.to_string()),
                Err(error) => return Tried::InVain(error.to_string()),
            }
        }
        match log {
            LogTail::Whole(_) => Tried::Kept,
            LogTail::BrokeOff(_) => Tried::InVain("its node did not hand it out whole".to_owned()),
        }
    }

    /// Keeps the log that a worker handed in with an attempt that failed: nothing else has it. While the archive is away it
    /// waits here; not too many do, and not for ever.
    pub fn keep_handed_in(self: &Arc<Self>, task: &Task, log: String) {
        let (this, attempt) = (self.clone(), AttemptId::of(task));
        let Ok(turn) = self.handed_in.clone().try_acquire_owned() else { return this.metrics.log_lost() };
        tokio::spawn(async move {
            if timeout(WAITS_AT_MOST, this.put_until_taken(&attempt, &log)).await != Ok(true) {
                tracing::warn!(uid = attempt.uid, attempt = attempt.attempt, "the log of an attempt is lost");
                this.metrics.log_lost();
            }
            drop(turn);
        });
    }

    /// False where the archive will never take it.
    async fn put_until_taken(&self, attempt: &AttemptId, log: &str) -> bool {
        let AttemptId { uid, run_id, began, attempt } = attempt;
        let key = AttemptKey { uid, run_id, began: *began, attempt: *attempt };
        let mut trouble = self.guard.trouble();
        loop {
            if trouble.wait_for(Option::is_none).await.is_err() {
                return false;
            }
            match self.guard.ask(self.guard.archive().put_log(&key, log, Timestamp::now())).await {
                Ok(()) => return true,
                Err(error) if error.is_temporary() => sleep(TRIED_AGAIN_AFTER).await,
                Err(_) => return false,
            }
        }
    }

    /// The same without waiting, where a status that was just written says that an attempt failed; not too many at once.
    pub fn keep_early(
        self: &Arc<Self>,
        before: &Task,
        written: Task,
        observed: impl FnOnce() -> Observed,
        reads: &Reads,
    ) {
        let failed = |task: &Task| (task.status_or_default().failures, task.status_or_default().disruptions);
        if failed(before) == failed(&written) {
            return;
        }
        let Ok(turn) = self.turns.clone().try_acquire_owned() else { return };
        let (this, job, observed, reads) = (self.clone(), job_name(before), observed(), reads.clone());
        tokio::spawn(async move {
            if let Some((attempt, log_of)) = this.still_to_keep(&written, &job, &observed)
                && let Tried::Kept = this.try_to_keep(&written, attempt, &log_of, &reads).await
            {
                this.kept.lock().put(job, ());
            }
            drop(turn);
        });
    }
}

#[cfg(test)]
mod tests;
