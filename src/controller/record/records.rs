//! The records of one term: which wait, which are in doubt, and which tasks are gone without one. A record
//! that the archive does not take is tried again after growing pauses, and at once when the archive is back.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use tokio::sync::watch;

use super::attempt_logs::AttemptLogs;
use super::deleted_tasks::DeletedTasks;
use super::put::put;
use super::superseded;
use super::term_memory::{Remembered, Table};
use crate::api::{Task, TaskSpec, TaskStatus};
use crate::archive::{AttemptKey, BatchKey, ChunkEnd, Error, Guard, LargeResult, Record};
use crate::controller::cache::Uid;
use crate::core::attempt::facts::Observed;
use crate::core::attempt::id::AttemptId;
use crate::core::task::{Earlier, attempts_of_deleted, leaves_unrecorded};
use crate::metrics::Metrics;

/// The pause after a record was not taken, first …
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// … and at most: each is twice the one before.
const LAST_PAUSE: Duration = Duration::from_secs(60);

pub struct Records {
    guard: Arc<Guard>,
    deleted_tasks: Arc<DeletedTasks>,
    metrics: Arc<Metrics>,
    remembered: Table,
    attempt_logs: Arc<AttemptLogs>,
}

impl Records {
    pub fn new(guard: Arc<Guard>, deleted_tasks: Arc<DeletedTasks>, metrics: Arc<Metrics>) -> Self {
        let attempt_logs = Arc::new(AttemptLogs::new(guard.clone(), metrics.clone()));
        Self { guard, deleted_tasks, metrics, remembered: Table::default(), attempt_logs }
    }

    /// The logs of attempts that others followed.
    pub fn attempt_logs(&self) -> &Arc<AttemptLogs> {
        &self.attempt_logs
    }

    pub fn is_up(&self) -> bool {
        self.guard.is_up()
    }

    /// Why the archive takes nothing; `None` while it does.
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.guard.trouble()
    }

    /// Why it can neither be told nor asked what became of items: it takes nothing, or is another one than the agreed one.
    pub fn is_away(&self) -> Option<String> {
        let is_another = self.guard.archive().identity().differs();
        let another = || is_another.then(|| "it is another one than the replicas have agreed on".to_owned());
        self.guard.trouble().borrow().clone().or_else(another)
    }

    /// Tasks that wait for the archive.
    pub fn waiting(&self) -> Vec<Uid> {
        self.remembered.waiting()
    }

    /// False where the archive does not take it.
    pub async fn put(&self, record: &Record) -> bool {
        put(&self.guard, record, &self.metrics).await.is_ok()
    }

    /// The record of the last run of this task that is recorded.
    pub async fn last_of(&self, uid: &str) -> Result<Option<Record>, Error> {
        self.guard.ask(self.guard.archive().find(uid)).await
    }

    /// The ends of chunks of this batch before a place, the last one first.
    pub async fn chunks(&self, batch: &BatchKey, before: i64) -> Result<Vec<ChunkEnd>, Error> {
        self.guard.ask(self.guard.archive().chunks(batch, before)).await
    }

    /// Stores the end of a chunk. False where the store has other ends than were known, or has this one.
    pub async fn put_chunk(&self, batch: &BatchKey, end: &ChunkEnd) -> Result<bool, Error> {
        self.guard.ask(self.guard.archive().put_chunk(batch, end, Timestamp::now())).await
    }

    /// A result that is kept beside its record.
    pub async fn result(&self, uid: &str, run_id: &str) -> Result<Option<LargeResult>, Error> {
        self.guard.ask(self.guard.archive().result(uid, run_id)).await
    }

    /// The archive has taken the record of this task.
    pub fn taken(&self, task: &Task) {
        let waited = self.remembered.change(task, |remembered| {
            remembered.in_doubt = true;
            remembered.tries.take()
        });
        self.waits_no_longer(waited);
    }

    fn waits_no_longer(&self, waited: Option<u32>) {
        if waited.is_some() {
            self.metrics.records_wait(-1);
        }
    }

    /// The status says what the record says.
    pub fn told(&self, task: &Task) {
        self.remembered.change(task, |remembered| remembered.in_doubt = false);
    }

    pub fn is_in_doubt(&self, task: &Task) -> bool {
        self.remembered.is_in_doubt(task)
    }

    /// How long this task waits before its record is tried again.
    pub fn pause(&self, task: &Task) -> Duration {
        let before = self.remembered.change(task, |remembered| {
            let tries = remembered.tries.map_or(1, |tries| tries.saturating_add(1));
            remembered.tries.replace(tries)
        });
        if before.is_none() {
            self.metrics.records_wait(1);
        }
        FIRST_PAUSE.saturating_mul(1 << before.unwrap_or_default().min(16)).min(LAST_PAUSE)
    }

    /// How the last task of this name, or this one earlier, ended the same run.
    pub async fn earlier_than(&self, namespace: &str, task: &Task) -> Earlier {
        let (name, run_id) = (task.name_any(), &task.spec.run_id);
        // A record that waits to be put is not known to the archive.
        // Nor does another archive than the agreed one know what ran before.
        let is_known =
            !self.guard.archive().identity().differs() && !self.deleted_tasks.holds(namespace, &name, run_id);
        let answer = match self.guard.is_up() && is_known {
            true => self.guard.ask(self.guard.archive().outcome(namespace, &name, run_id)).await.ok(),
            false => None,
        };
        self.remembered.change(task, |remembered| remembered.asks = answer.is_none());
        answer.map_or(Earlier::NotKnown, |record| Earlier::found(task, record.map(|record| record.task())))
    }

    /// An attempt of this run has left a checkpoint, as far as the archive says. Where that does not answer there may be one:
    /// whoever works on the task asks again.
    pub async fn may_have_checkpoint(&self, task: &Task) -> bool {
        if !self.guard.is_up() {
            return true;
        }
        let AttemptId { uid, run_id, began, attempt } = AttemptId::of(task);
        let key = AttemptKey { uid: &uid, run_id: &run_id, began, attempt };
        self.guard.ask(self.guard.archive().has_checkpoint(&key)).await.unwrap_or(true)
    }

    /// The watch shows a task, which it showed as `before`.
    pub fn seen(&self, before: Option<&Task>, task: &Task) {
        let Some(told) = superseded::run(task) else {
            return self.remembered.change(task, |remembered| remembered.superseded = None);
        };
        let before = before.filter(|before| before.metadata.uid == task.metadata.uid);
        if let Some(before) = before.filter(|before| before.spec.run_id == *told) {
            self.remember_superseded(task, before.spec.clone());
        }
    }

    /// Remembers the spec of the run that is being superseded.
    pub fn remember_superseded(&self, task: &Task, spec: TaskSpec) {
        self.remembered.superseded(task, spec);
    }

    pub fn superseded_spec(&self, task: &Task) -> Option<TaskSpec> {
        self.remembered.superseded_spec(task)
    }

    /// A task is gone: `task` is how it was last seen, whole if possible, and `observed` what was seen of its children.
    pub fn gone(&self, task: &Task, observed: &Observed) {
        let Remembered { in_doubt, superseded, .. } = self.forget(task);
        // Its batch has it done by another one.
        if task.spec.chunk.is_some() && task.status_or_default().attempt == 0 {
            return;
        }
        // The record of a deletion was put, and somebody's finalizer went before the status was written.
        let is_put = in_doubt && task.metadata.deletion_timestamp.is_some();
        if is_put || !leaves_unrecorded(task) && !in_doubt {
            return;
        }
        let now = Timestamp::now();
        let spec = match superseded::run(task) {
            Some(_) => superseded::known_spec(task, superseded.map(|spec| *spec)),
            None => task.spec.clone(),
        };
        let attempts = attempts_of_deleted(task, observed, now);
        let status = task.status.clone().map(|status| TaskStatus { attempts, ..status });
        self.deleted_tasks.take(&Task { spec, status, ..task.clone() }, now);
    }

    /// A task is gone that could not be read in the end: what is not in the archive yet cannot be told.
    pub fn gone_unread(&self, task: &Task) {
        self.forget(task);
    }

    fn forget(&self, task: &Task) -> Remembered {
        let remembered = self.remembered.forget(task);
        self.waits_no_longer(remembered.tries);
        remembered
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        self.metrics.records_wait(-(self.remembered.untaken() as i64));
    }
}
