//! Keeps the last lines of attempts that failed and are followed by others: as soon as that is written, beside everything
//! else, and at the latest before the attempt's Job is deleted, which waits for the archive. No attempt waits for it.

use std::num::NonZeroUsize;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use lru::LruCache;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::log_tail;
use crate::api::Task;
use crate::archive::{AttemptKey, Guard};
use crate::cluster::calls::Reads;
use crate::core::attempt::facts::Observed;
use crate::core::attempt::job_name;
use crate::core::task::log_of_earlier;

/// Logs that are read and stored early at once. The others are when their Job goes.
const AT_ONCE: usize = 16;
/// The most logs that are known to be kept. Those beyond are read and stored once more.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);

pub struct AttemptLogs {
    guard: Arc<Guard>,
    /// The Jobs whose logs are kept.
    kept: Mutex<LruCache<String, ()>>,
    turns: Arc<Semaphore>,
}

impl AttemptLogs {
    pub fn new(guard: Arc<Guard>) -> Self {
        Self { guard, kept: Mutex::new(LruCache::new(REMEMBERED)), turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Keeps the log of the attempt that this Job was. False where the archive does not take it now.
    pub async fn keep(&self, task: &Task, job: &str, observed: &Observed, reads: &Reads) -> bool {
        let Some((attempt, log_of)) = log_of_earlier(task, job, observed) else { return true };
        if self.kept.lock().contains(job) {
            return true;
        }
        if !self.guard.is_up() {
            return false;
        }
        let namespace = task.namespace().unwrap_or_default();
        if let Some(log) = log_tail::of(&namespace, &log_of, reads).await {
            let (uid, status) = (task.uid().unwrap_or_default(), task.status_or_default());
            let run_id = status.run_id.as_ref().unwrap_or(&task.spec.run_id);
            let queued = status.queued_at.as_ref().map(|time| time.0);
            let began = queued.or(task.creation_timestamp().map(|time| time.0)).unwrap_or_default();
            let key = AttemptKey { uid: &uid, run_id, began, attempt };
            let put = self.guard.ask(self.guard.archive().put_log(&key, &log, Timestamp::now())).await;
            match put {
                Err(error) if error.is_temporary() => return false,
                Err(error) => tracing::warn!(namespace, task = task.name_any(), attempt, %error, "a log was not kept"),
                Ok(()) => {}
            }
        }
        self.kept.lock().put(job.to_owned(), ());
        true
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
            this.keep(&written, &job, &observed, &reads).await;
            drop(turn);
        });
    }
}
