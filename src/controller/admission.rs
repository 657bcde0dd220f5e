//! Gives out slots: passes over the board, one at a time, and a write-ahead for each slot given.

use std::sync::Arc;
use std::time::Duration;

use futures::SinkExt;
use jiff::{SignedDuration, Timestamp};
use kube::api::{ListParams, ObjectMeta};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::CONCURRENCY;
use super::cache::Cache;
use super::cache::just_admitted::JustAdmitted;
use super::context::Ready;
use super::status::StatusWriter;
use super::watch::Wake;
use crate::api::{Task, TaskStatus};
use crate::cluster::calls::{CallError, Reads};
use crate::cluster::watch::{Sight, Waiting, caught_up};
use crate::core::queue::Grant;
use crate::core::task;
use crate::core::task::Admission;
use crate::metrics::Metrics;

/// How long to wait before trying again what the API server did not answer.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// The values that admission uses.
pub struct Admitting {
    /// All tasks that are looked after.
    pub tasks: Api<Task>,
    pub reads: Reads,
    pub cache: Arc<Cache>,
    pub just_admitted: Arc<JustAdmitted>,
    pub status: Arc<StatusWriter>,
    pub metrics: Arc<Metrics>,
    pub sight: Arc<Sight>,
    pub ready: Ready,
    pub wake: Wake,
}

/// Runs until `shutdown`; then finishes the writes that have begun.
pub async fn run(admitting: Admitting, shutdown: CancellationToken) {
    let admitting = Arc::new(admitting);
    let in_flight = Arc::new(Semaphore::new(CONCURRENCY.into()));
    let writes = TaskTracker::new();
    // A term that is dropped takes the writes along which it has begun: the next one decides anew.
    let over = CancellationToken::new();
    let _dropped = over.clone().drop_guard();
    let passes = async {
        if !admitting.ready.wait().await {
            return;
        }
        catch_up(&admitting).await;
        loop {
            let wake = pass(&admitting, &in_flight, &writes, &over);
            tokio::select! {
                () = admitting.cache.admission_may_go_on() => {}
                () = sleep_until(wake) => {}
            }
        }
    };
    shutdown.run_until_cancelled(passes).await;
    writes.close();
    writes.wait().await;
}

/// Waits until the caches show every slot that a leader before us has given: its last write may have come after
/// our first lists. Queued tasks need no such care, for an admission is refused that was decided on the past.
async fn catch_up(admitting: &Admitting) {
    let holders = ListParams::default().fields("status.state=Processing");
    let has_reached = |task: &ObjectMeta| admitting.cache.has_reached(task);
    let waiting = Waiting { what_for: "admission", eye: admitting.sight.eye() };
    caught_up(&admitting.reads, &admitting.tasks, &holders, waiting, has_reached).await;
}

/// One pass; returns when the next one is due even if nothing rings.
fn pass(
    admitting: &Arc<Admitting>,
    in_flight: &Arc<Semaphore>,
    writes: &TaskTracker,
    over: &CancellationToken,
) -> Option<Timestamp> {
    let now = Timestamp::now();
    let pass = admitting.cache.admit(now);
    for (place, grant) in pass.admitted.into_iter().enumerate() {
        let admitting = admitting.clone();
        let in_flight = in_flight.clone();
        // A microsecond apart, so that the order in which slots were given can be read back.
        let at = now + SignedDuration::from_micros(place as i64);
        let writing = async move {
            admit(&admitting, &in_flight, &grant, at).await;
        };
        writes.spawn(over.clone().run_until_cancelled_owned(writing));
    }
    if pass.unfinished {
        admitting.cache.ring_admission();
    }
    let (queued, running) = admitting.cache.depth();
    admitting.metrics.depth(queued, running);
    pass.wake
}

async fn sleep_until(wake: Option<Timestamp>) {
    match wake {
        Some(wake) => {
            tokio::time::sleep(Duration::try_from(wake.duration_since(Timestamp::now())).unwrap_or_default()).await
        }
        None => std::future::pending().await,
    }
}

/// Writes one admission. The slot stays assumed until it is known whether the write took place.
async fn admit(admitting: &Admitting, in_flight: &Semaphore, grant: &Grant, now: Timestamp) {
    let mut permit = in_flight.acquire().await;
    let uid = grant.task.order.uid();
    let task = admitting.cache.reference(uid).and_then(|reference| admitting.cache.task(&reference));
    let Some(task) = task.filter(|task| task.metadata.uid.as_deref() == Some(uid)) else {
        // Its slot goes with it.
        return admitting.cache.admission_void(uid);
    };
    let kind = admitting.cache.type_of(&task).filter(|_| admitting.cache.pending(&task).as_ref() == Some(&grant.task));
    // It is no longer as it was when it got the slot: suspended, cancelled, of another size.
    let Some(kind) = kind else { return admitting.cache.not_admitted(&task) };
    let admission =
        Admission { arrival: grant.task.order.place(), holds: grant.admitted(), worker: grant.worker_pod() };
    let status = task::admitted(&task, &kind, &admission, now);
    while let Some(pause) = write(admitting, &task, status.clone()).await {
        // Others are admitted meanwhile.
        drop(permit);
        tokio::time::sleep(pause).await;
        permit = in_flight.acquire().await;
    }
    drop(permit);
    if grant.worker.is_some() {
        // The watch may have shown it before: then nobody would look again. Fails only when the reconciler has ended.
        let _ = admitting.wake.clone().send(ObjectRef::from_obj(&task)).await;
    }
}

/// Tries to write an admission; returns how long to wait before the same is tried again. A write whose outcome
/// is not known is repeated as it was: only its success or a conflict proves what became of it.
async fn write(admitting: &Admitting, task: &Task, status: TaskStatus) -> Option<Duration> {
    match admitting.status.write_and_read(task, status).await {
        Ok(written) => {
            admitting.cache.admission_written(&written);
            admitting.just_admitted.keep(written);
        }
        Err(CallError::Conflict | CallError::NotFound) => admitting.cache.admission_outdated(task),
        // Whoever leads now decides anew.
        Err(CallError::NotLeader) => admitting.cache.not_admitted(task),
        Err(error @ (CallError::Deadline | CallError::Failed(_) | CallError::NoConflict)) => {
            tracing::warn!(task = task.name_any(), namespace = task.namespace(), %error, "does not know whether it was admitted; tries again");
            return Some(TRY_AGAIN);
        }
        Err(error) => {
            tracing::error!(task = task.name_any(), namespace = task.namespace(), %error, "failed to admit; will try again");
            admitting.cache.admission_refused(task, Timestamp::now());
        }
    }
    None
}
