//! Tasks that were deleted before the archive had their record. Nothing in the cluster tells of them any more, so
//! their records wait here, in memory, until the archive takes them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::records::put;
use crate::api::Task;
use crate::archive::{Guard, Record};
use crate::metrics::Metrics;

/// So many records wait at most; what is deleted beyond that is lost, and counted.
const MOST: usize = 10_000;
/// So many bytes of records; what comes beyond that is kept without its payload.
const MOST_BYTES: usize = 64 << 20;
/// The pause after one was not taken.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a record is tried that the archive refuses while it takes others.
const TRIES: u32 = 60;
/// How long the last records may take when the operator ends.
const DRAIN: Duration = Duration::from_secs(5);

/// Outlives the terms of leadership: whoever saw a task go has to tell of it.
pub struct Departed {
    guard: Arc<Guard>,
    metrics: Arc<Metrics>,
    inner: Mutex<Inner>,
    rung: Notify,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

struct Waiting {
    record: Record,
    bytes: usize,
    tries: u32,
}

impl Departed {
    pub fn new(guard: Arc<Guard>, metrics: Arc<Metrics>) -> Self {
        Self { guard, metrics, inner: Mutex::default(), rung: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a task that is gone, as it was last seen.
    pub fn take(&self, task: &Task, now: Timestamp) {
        let mut inner = self.lock();
        if inner.waiting.len() >= MOST {
            self.metrics.record_lost();
            return;
        }
        let waiting = Waiting::of(task, now, MOST_BYTES.saturating_sub(inner.bytes));
        inner.bytes += waiting.bytes;
        inner.waiting.push_back(waiting);
        self.metrics.records_wait(1);
        self.rung.notify_one();
    }

    /// A record of such a task waits.
    pub fn holds(&self, namespace: &str, name: &str, run_id: &str) -> bool {
        let is_such = |waiting: &Waiting| {
            let summary = &waiting.record.summary;
            (summary.namespace.as_str(), summary.name.as_str(), summary.run_id.as_str()) == (namespace, name, run_id)
        };
        self.lock().waiting.iter().any(is_such)
    }

    /// Writes the records of what is gone. Never ends.
    pub async fn run(&self) {
        let mut trouble = self.guard.trouble();
        loop {
            let is_up = trouble.wait_for(Option::is_none).await.is_ok();
            match is_up && self.put_first().await {
                true if self.is_empty() => self.rung.notified().await,
                true => {}
                false => sleep(PAUSE).await,
            }
        }
    }

    /// Writes what is left, while the archive takes anything and not for long. Each is tried once: one that is refused
    /// does not keep the others.
    pub async fn drain(&self) {
        let many = self.lock().waiting.len();
        let each_once = async {
            for _ in 0..many {
                self.put_first().await;
                if !self.guard.is_up() {
                    break;
                }
            }
        };
        let drained = timeout(DRAIN, each_once).await;
        let left = self.lock().waiting.len();
        if drained.is_err() || left > 0 {
            tracing::error!(left, "ended before the records of deleted tasks were written; they are lost");
        }
    }

    fn is_empty(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// Puts the first one that waits; false when it is still to be put.
    async fn put_first(&self) -> bool {
        let Some(record) = self.lock().waiting.front().map(|first| first.record.clone()) else { return true };
        let put = put(&self.guard, &record, &self.metrics).await;
        let (taken, refused) = (put.is_ok(), put.is_err_and(|error| !error.passes()) && self.guard.is_up());
        let mut inner = self.lock();
        // Only this takes anything away, so it is still the first.
        let Some(mut first) = inner.waiting.pop_front() else { return true };
        let given_up = refused && first.tries + 1 >= TRIES;
        if given_up {
            self.metrics.record_lost();
        }
        if taken || given_up {
            inner.bytes = inner.bytes.saturating_sub(first.bytes);
            self.metrics.records_wait(-1);
            return true;
        }
        first.tries += u32::from(refused);
        inner.waiting.push_back(first);
        false
    }
}

impl Waiting {
    fn of(task: &Task, now: Timestamp, room: usize) -> Self {
        let whole = Self::with(Record::of_deleted(task, None, now));
        if whole.bytes <= room {
            return whole;
        }
        let mut without = task.clone();
        without.spec.payload = without.spec.payload.map(|payload| payload.measured());
        Self::with(Record::of_deleted(&without, None, now))
    }

    fn with(record: Record) -> Self {
        let bytes = record.bytes();
        Self { record, bytes, tries: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{TaskSpec, TaskStatus};
    use crate::archive::{Archive, Options};

    fn task(name: &str, bytes: usize) -> Task {
        let mut task = Task::new(name, TaskSpec::default());
        task.metadata.uid = Some(name.into());
        task.metadata.namespace = Some("docs".into());
        task.status = Some(TaskStatus { result: Some("x".repeat(bytes).into()), ..TaskStatus::default() });
        task
    }

    #[tokio::test]
    async fn at_the_end_a_record_that_is_refused_does_not_keep_the_others() {
        let folder = std::env::temp_dir().join(format!("departed-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let options = Options { deadline: Duration::from_secs(60), ..Options::default() };
        let url = format!("sqlite://{}/archive.db", folder.display());
        let archive = Archive::open(&url, &options).await.expect("it opens");
        let departed = Departed::new(Arc::new(Guard::of(archive.clone())), Arc::default());
        let too_large = 5 << 20;
        for (name, bytes) in [("one", too_large), ("two", 1), ("three", too_large), ("four", 1)] {
            departed.take(&task(name, bytes), Timestamp::UNIX_EPOCH);
        }
        departed.drain().await;
        assert_eq!(departed.lock().waiting.len(), 2);
        for name in ["two", "four"] {
            assert!(archive.find(name).await.expect("an answer").is_some(), "{name}");
        }
        let _ = std::fs::remove_dir_all(folder);
    }
}
