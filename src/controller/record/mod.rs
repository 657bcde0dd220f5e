//! Puts the record of a run into the archive before anything of the run is forgotten. What the archive does not take
//! now waits, and is tried again after growing pauses, and at once when the archive is back.

pub mod deleted_tasks;
pub mod log_tail;
pub mod once;
pub mod retention;
pub mod superseded;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::SinkExt;
use futures::channel::mpsc;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use tokio::time::timeout;

use super::cache::{Cache, Uid};
use crate::api::{Payload, Task, TaskSpec, TaskStatus};
use crate::archive::{Archive, Error, Guard, Record};
use crate::cluster::calls::{CallError, Calls, Reads};
use crate::core::task::{Earlier, Recording, leaves_unrecorded};
use crate::metrics::Metrics;
use deleted_tasks::DeletedTasks;

/// The pause after a record was not taken, first …
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// … and at most: each is twice the one before.
const LAST_PAUSE: Duration = Duration::from_secs(60);
/// So many payloads of runs that are being superseded are kept at most.
const MOST_PAYLOADS: usize = 256;

/// What is known of records beside the archive, in one term.
pub struct Records {
    guard: Arc<Guard>,
    deleted_tasks: Arc<DeletedTasks>,
    metrics: Arc<Metrics>,
    tasks: Mutex<HashMap<Uid, Memory>>,
}

/// What is remembered of one task. Of most there is nothing.
#[derive(Default, PartialEq)]
struct Memory {
    /// It waits for the archive, and has tried so often.
    tries: Option<u32>,
    /// It waits to learn from the archive whether it has run before.
    asks: bool,
    /// A record of it was put, and not yet written what that says: that may have become another end.
    in_doubt: bool,
    /// The spec of a run that is being superseded: the task has that of the next one by now.
    earlier: Option<Box<TaskSpec>>,
}

/// What became of a record.
pub enum Kept {
    There,
    /// The archive does not take it now; try again after so long.
    NotNow(Duration),
    /// The task is no more what was decided on: the watch will show what it is.
    Outdated,
}

fn uid_of(task: &Task) -> Uid {
    task.metadata.uid.as_deref().unwrap_or_default().into()
}

/// Puts the record into the archive, if that is up.
pub async fn keep(task: &Task, recording: &Recording, calls: &Calls, records: &Records) -> Result<Kept, CallError> {
    let Recording { ended, log_of, .. } = recording;
    if !records.guard.is_up() {
        return Ok(Kept::NotNow(records.pause(task)));
    }
    let namespace = task.namespace().unwrap_or_default();
    let log = async {
        match log_of {
            Some(log_of) => log_tail::of(&namespace, log_of, &calls.reads).await,
            None => None,
        }
    };
    let (whole, log) = futures::join!(as_it_ran(task, ended, &calls.reads, records), log);
    let Some(whole) = whole? else { return Ok(Kept::Outdated) };
    let record = Record::of(&whole, ended, log.as_deref(), Timestamp::now());
    // One who does not lead any more may have decided on the past.
    let left = calls.remaining().ok_or(CallError::NotLeader)?;
    let taken = timeout(left, records.put(&record)).await.map_err(|_| CallError::NotLeader)?;
    Ok(if taken { records.there(task) } else { Kept::NotNow(records.pause(task)) })
}

/// The task as it was in the run that ended, payload included where that is known; `None` when it changed meanwhile.
async fn as_it_ran(
    task: &Task,
    ended: &TaskStatus,
    reads: &Reads,
    records: &Records,
) -> Result<Option<Task>, CallError> {
    if superseded::run(task).is_some() {
        let spec = superseded::spec(task, ended, reads, records).await?;
        return Ok(Some(Task { spec, ..task.clone() }));
    }
    if !matches!(task.spec.payload, Some(Payload::Measured { .. })) {
        return Ok(Some(task.clone()));
    }
    let tasks = reads.namespaced::<Task>(&task.namespace().unwrap_or_default());
    match reads.read(tasks.get(&task.name_any())).await {
        Ok(whole) => Ok(Some(whole).filter(|whole| {
            (&whole.metadata.uid, whole.metadata.generation) == (&task.metadata.uid, task.metadata.generation)
        })),
        Err(CallError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Records {
    pub fn new(guard: Arc<Guard>, deleted_tasks: Arc<DeletedTasks>, metrics: Arc<Metrics>) -> Self {
        Self { guard, deleted_tasks, metrics, tasks: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uid, Memory>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is remembered of a task.
    fn change<T>(&self, task: &Task, change: impl FnOnce(&mut Memory) -> T) -> T {
        let (uid, mut tasks) = (uid_of(task), self.lock());
        let memory = tasks.entry(uid.clone()).or_default();
        let before = change(memory);
        if *memory == Memory::default() {
            tasks.remove(&uid);
        }
        before
    }

    pub fn archive(&self) -> &Archive {
        self.guard.archive()
    }

    async fn put(&self, record: &Record) -> bool {
        put(&self.guard, record, &self.metrics).await.is_ok()
    }

    fn there(&self, task: &Task) -> Kept {
        let waited = self.change(task, |memory| {
            memory.in_doubt = true;
            memory.tries.take()
        });
        self.waits_no_more(waited);
        Kept::There
    }

    fn waits_no_more(&self, waited: Option<u32>) {
        if waited.is_some() {
            self.metrics.records_wait(-1);
        }
    }

    /// The status says what the record says.
    pub fn told(&self, task: &Task) {
        self.change(task, |memory| memory.in_doubt = false);
    }

    pub fn is_in_doubt(&self, task: &Task) -> bool {
        self.lock().get(task.metadata.uid.as_deref().unwrap_or_default()).is_some_and(|memory| memory.in_doubt)
    }

    /// How long this task waits before its record is tried again.
    fn pause(&self, task: &Task) -> Duration {
        let before = self.change(task, |memory| {
            let tries = memory.tries.map_or(1, |tries| tries.saturating_add(1));
            memory.tries.replace(tries)
        });
        if before.is_none() {
            self.metrics.records_wait(1);
        }
        FIRST_PAUSE.saturating_mul(1 << before.unwrap_or_default().min(16)).min(LAST_PAUSE)
    }

    /// How the last task of this name, or this one earlier, ended the same run.
    pub async fn earlier_than(&self, namespace: &str, task: &Task) -> Earlier {
        let (name, run_id) = (task.name_any(), &task.spec.run_id);
        // What waits to be told to the archive is not known to it.
        let answer = match self.guard.is_up() && !self.deleted_tasks.holds(namespace, &name, run_id) {
            true => self.guard.ask(self.archive().outcome(namespace, &name, run_id)).await.ok(),
            false => None,
        };
        self.change(task, |memory| memory.asks = answer.is_none());
        answer.map_or(Earlier::NotKnown, |record| Earlier::found(task, record.map(|record| record.task())))
    }

    /// The watch shows a task, which it showed so before.
    pub fn seen(&self, before: Option<&Task>, task: &Task) {
        let Some(told) = superseded::run(task) else {
            return self.change(task, |memory| memory.earlier = None);
        };
        let before = before.filter(|before| before.metadata.uid == task.metadata.uid);
        if let Some(before) = before.filter(|before| before.spec.run_id == *told) {
            self.remember(task, before.spec.clone());
        }
    }

    /// Remembers the spec of the run that is being superseded.
    pub fn remember(&self, task: &Task, mut earlier: TaskSpec) {
        let is_whole = |spec: &TaskSpec| matches!(spec.payload, Some(Payload::Whole(_)));
        let uid = uid_of(task);
        let is_other =
            |(other, memory): &(&Uid, &Memory)| **other != uid && memory.earlier.as_deref().is_some_and(is_whole);
        if is_whole(&earlier) && self.lock().iter().filter(is_other).count() >= MOST_PAYLOADS {
            earlier.payload = earlier.payload.map(|payload| payload.measured());
        }
        self.change(task, |memory| memory.earlier = Some(Box::new(earlier)));
    }

    pub fn earlier(&self, task: &Task) -> Option<TaskSpec> {
        let tasks = self.lock();
        tasks.get(task.metadata.uid.as_deref().unwrap_or_default())?.earlier.as_deref().cloned()
    }

    /// A task is gone: `task` is how it was last seen, whole if possible.
    pub fn gone(&self, task: &Task) {
        let Memory { in_doubt, earlier, .. } = self.forget(task);
        if leaves_unrecorded(task) || in_doubt {
            let spec = match superseded::run(task) {
                Some(_) => superseded::known_spec(task, earlier.map(|earlier| *earlier)),
                None => task.spec.clone(),
            };
            self.deleted_tasks.take(&Task { spec, ..task.clone() }, Timestamp::now());
        }
    }

    /// A task is gone that could not be read in the end: what is not in the archive yet cannot be told.
    pub fn gone_unread(&self, task: &Task) {
        self.forget(task);
    }

    fn forget(&self, task: &Task) -> Memory {
        let memory = self.lock().remove(task.metadata.uid.as_deref().unwrap_or_default()).unwrap_or_default();
        self.waits_no_more(memory.tries);
        memory
    }

    fn waiting(&self) -> Vec<Uid> {
        let waits = |memory: &Memory| memory.tries.is_some() || memory.asks;
        self.lock().iter().filter(|(_, memory)| waits(memory)).map(|(uid, _)| uid.clone()).collect()
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        let waiting = self.lock().values().filter(|memory| memory.tries.is_some()).count();
        self.metrics.records_wait(-(waiting as i64));
    }
}

/// Puts a record, and tells of it.
pub async fn put(guard: &Guard, record: &Record, metrics: &Metrics) -> Result<(), Error> {
    let began = Instant::now();
    let put = guard.put(record).await;
    metrics.archived(began.elapsed(), put.as_ref().err().map_or("ok", |error| error.label()));
    if let Err(error) = &put
        && !error.is_temporary()
    {
        let summary = &record.summary;
        tracing::error!(namespace = summary.namespace, task = summary.name, uid = summary.uid, %error, "a record could not be written");
    }
    put
}

/// Wakes the tasks that wait for the archive whenever it is back. Never ends.
pub async fn run(records: Arc<Records>, cache: Arc<Cache>, mut wake: mpsc::Sender<ObjectRef<Task>>) {
    let mut trouble = records.guard.trouble();
    // Fails only when the guard is gone, and with it everything.
    while trouble.wait_for(Option::is_some).await.is_ok() && trouble.wait_for(Option::is_none).await.is_ok() {
        for task in records.waiting().iter().filter_map(|uid| cache.reference(uid)) {
            let _ = wake.send(task).await;
        }
    }
    std::future::pending().await
}
