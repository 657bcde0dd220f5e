//! Tasks that were deleted before the archive had their record. Nothing in the cluster tells of them any longer, so
//! their records wait here, in memory, until the archive takes them.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use super::put::put;
use crate::api::Task;
use crate::archive::{Error, Guard, Record};
use crate::metrics::Metrics;

/// So many records wait at most; the record of a task that is deleted beyond that is lost, and counted.
const MOST: usize = 10_000;
/// So many bytes of records; a record beyond that is kept without its payload.
const MOST_BYTES: usize = 64 << 20;
/// The pause after one was not taken.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a record is tried that the archive refuses while it takes others.
const TRIES: u32 = 60;
/// How long the last records may take when the operator ends: with what else is ended then, less than the half minute
/// that a pod has.
const DRAIN: Duration = Duration::from_secs(15);
/// So many are put at the same time.
const AT_ONCE: usize = 8;

/// Outlives the terms of leadership: whoever saw a task go has to tell of it.
pub struct DeletedTasks {
    guard: Arc<Guard>,
    metrics: Arc<Metrics>,
    inner: Mutex<Inner>,
    rung: Notify,
    /// Until when the last records are written, once that has begun.
    drained_until: OnceLock<Instant>,
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

impl DeletedTasks {
    pub fn new(guard: Arc<Guard>, metrics: Arc<Metrics>) -> Self {
        Self { guard, metrics, inner: Mutex::default(), rung: Notify::new(), drained_until: OnceLock::new() }
    }

    /// Takes in a task that is gone, as it was last seen.
    pub fn take(&self, task: &Task, now: Timestamp) {
        let mut inner = self.inner.lock();
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
        self.inner.lock().waiting.iter().any(is_such)
    }

    /// Writes the records that wait. Never ends.
    pub async fn run(&self) {
        let mut trouble = self.guard.trouble();
        loop {
            let is_up = trouble.wait_for(Option::is_none).await.is_ok();
            match is_up && self.put_first(AT_ONCE).await {
                true if self.is_empty() => self.rung.notified().await,
                true => {}
                false => sleep(PAUSE).await,
            }
        }
    }

    /// Writes the records that are left, once nothing else does: while the archive takes anything and for 15 s at most,
    /// however often this is called. Each is tried once: one that is refused does not keep the others. Returns how many
    /// are left.
    pub async fn drain(&self) -> usize {
        let mut untried = self.inner.lock().waiting.len();
        let each_once = async {
            while untried > 0 && self.guard.is_up() {
                let now = untried.min(AT_ONCE);
                self.put_first(now).await;
                untried -= now;
            }
        };
        let until = *self.drained_until.get_or_init(|| Instant::now() + DRAIN);
        // Those that are not put in time are left.
        let _ = timeout_at(until, each_once).await;
        self.inner.lock().waiting.len()
    }

    fn is_empty(&self) -> bool {
        self.inner.lock().waiting.is_empty()
    }

    /// Puts the first so many that wait; false when one of them is still to be put.
    async fn put_first(&self, many: usize) -> bool {
        let first: Vec<_> = self.inner.lock().waiting.iter().take(many).map(|waiting| waiting.record.clone()).collect();
        let puts = join_all(first.iter().map(|record| put(&self.guard, record, &self.metrics))).await;
        // Only this takes anything away, so they are still the first.
        let settled: Vec<bool> = puts.into_iter().map(|put| self.settle(put)).collect();
        settled.into_iter().all(|settled| settled)
    }

    /// Takes the first one away, or to the end of the line, by how it was put; false when it is still to be put.
    fn settle(&self, put: Result<(), Error>) -> bool {
        let (taken, refused) = (put.is_ok(), put.is_err_and(|error| !error.is_temporary()) && self.guard.is_up());
        let mut inner = self.inner.lock();
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
        let folder = std::env::temp_dir().join(format!("deleted_tasks-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let options = Options { deadline: Duration::from_secs(60), ..Options::default() };
        let url = format!("sqlite://{}/archive.db", folder.display());
        let archive = Archive::at(&url, &options).expect("a URL");
        archive.prepare().await.expect("it opens");
        let deleted_tasks = DeletedTasks::new(Arc::new(Guard::of(archive.clone())), Arc::default());
        let too_large = 5 << 20;
        for (name, bytes) in [("one", too_large), ("two", 1), ("three", too_large), ("four", 1)] {
            deleted_tasks.take(&task(name, bytes), Timestamp::UNIX_EPOCH);
        }
        assert_eq!(deleted_tasks.drain().await, 2);
        for name in ["two", "four"] {
            assert!(archive.find(name).await.expect("an answer").is_some(), "{name}");
        }
        let _ = std::fs::remove_dir_all(folder);
    }
}
