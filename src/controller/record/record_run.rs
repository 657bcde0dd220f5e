//! Puts the record of a run that ended, or is superseded, into the archive.

use std::time::Duration;

use futures::future::OptionFuture;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::GetParams;
use tokio::time::timeout;

use super::log_tail::LogTail;
use super::{Records, log_tail, superseded};
use crate::api::{Payload, Task, TaskStatus};
use crate::archive::Record;
use crate::cluster::calls::{CallError, Calls, Reads};
use crate::core::attempt::job_name;
use crate::core::task::Recording;

/// The outcome of putting a record.
pub enum Kept {
    There,
    /// The archive does not take it now; try again after so long.
    NotNow(Duration),
    /// The task is no longer as it was decided on: the watch will show how it is.
    Outdated,
}

/// Puts the record into the archive, if that is up. `whole` is the task with the payload that its present spec has, where that
/// is known already.
pub async fn keep(
    task: &Task,
    whole: Option<Task>,
    recording: &Recording,
    calls: &Calls,
    records: &Records,
) -> Result<Kept, CallError> {
    let Recording { ended, log_of, log: handed_in, .. } = recording;
    if !records.is_up() {
        return Ok(Kept::NotNow(records.pause(task)));
    }
    let namespace = task.namespace().unwrap_or_default();
    let log = OptionFuture::from(log_of.as_ref().map(|log_of| log_tail::of(&namespace, log_of, &calls.reads)));
    let (whole, log) = futures::join!(as_it_ran(task, whole, ended, &calls.reads, records), log);
    let Some(whole) = whole? else { return Ok(Kept::Outdated) };
    let text = log.as_ref().and_then(LogTail::text).or(handed_in.as_deref());
    let record = Record::of(&whole, ended, text, Timestamp::now());
    // One who no longer leads may have decided on the past.
    let left = calls.remaining().ok_or(CallError::NotLeader)?;
    let taken = timeout(left, records.put(&record)).await.map_err(|_| CallError::NotLeader)?;
    if !taken {
        return Ok(Kept::NotNow(records.pause(task)));
    }
    // The end of a run waits for no log.
    if let Some(LogTail::BrokeOff(_)) = log {
        records.attempt_logs().missed(task);
    }
    records.taken(task);
    Ok(Kept::There)
}

/// The task as it was in the run that ended, payload included where that is known; `None` when it changed meanwhile.
async fn as_it_ran(
    task: &Task,
    whole: Option<Task>,
    ended: &TaskStatus,
    reads: &Reads,
    records: &Records,
) -> Result<Option<Task>, CallError> {
    if superseded::run(task).is_some() {
        let spec = superseded::spec(task, ended, records.superseded_spec(task), reads).await?;
        return Ok(Some(Task { spec, ..task.clone() }));
    }
    // One that is too large to run is told by its size alone.
    if task.spec.is_whole() || task.spec.payload.as_ref().is_some_and(Payload::is_too_large) {
        return Ok(Some(task.clone()));
    }
    if whole.is_some() {
        return Ok(whole);
    }
    let tasks = reads.namespaced::<Task>(&task.namespace().unwrap_or_default());
    // Not older than this version is enough, and the API server then answers from memory instead of etcd.
    let at_least = GetParams { resource_version: task.metadata.resource_version.clone() };
    match reads.read(tasks.get_with(&task.name_any(), &at_least)).await {
        Ok(whole) => Ok(Some(whole).filter(|whole| {
            (&whole.metadata.uid, whole.metadata.generation) == (&task.metadata.uid, task.metadata.generation)
        })),
        Err(CallError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The Job of a run that is being superseded is about to be deleted: nothing else would tell the run's spec soon.
pub async fn before_job_goes(task: &Task, job: &str, reads: &Reads, records: &Records) -> Result<(), CallError> {
    if superseded::run(task).is_none() || job != job_name(task) {
        return Ok(());
    }
    let spec = superseded::spec(task, task.status_or_default(), records.superseded_spec(task), reads).await?;
    records.remember_superseded(task, spec);
    Ok(())
}
