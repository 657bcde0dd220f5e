//! Carries out what was decided. Each effect may be repeated without harm: a stop right after it costs
//! nothing but a repetition.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::delete::{Removal, only, remove};
use super::launch;
use crate::api::{Task, TaskStatus};
use crate::cluster::calls::CallError;
use crate::controller::Context;
use crate::controller::batches::steps;
use crate::controller::record;
use crate::controller::record::Kept;
use crate::core::Reason;
use crate::core::attempt::{Child, Deletion, PodEnd};
use crate::core::launch::names;
use crate::core::pool::Fault;
use crate::core::task::{Action, Recording, keeps_handed_in_log};
use crate::core::telling::text;

/// When to look again after an effect whose trace the watches should show, in case they do not.
pub const TRACE_EXPECTED_WITHIN: Duration = Duration::from_secs(30);
/// When to look again after room was made in a quota.
const ROOM_WITHIN: Duration = Duration::from_secs(1);
/// The API server's words for a pod of this name that is another one.
const ANOTHER_POD: &str = "metadata.uid: Invalid value";
/// When to look again while the archive does not take the log of an attempt whose Job is to go.
const LOG_TAKEN_WITHIN: Duration = Duration::from_secs(5);
/// How much of a refusal is logged: the API server may put the whole pod into it.
const LOGGED: usize = 300;
/// When to look again at a large task that has to wait for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(1);
/// When to look again after a refusal that the watch may explain, or nobody.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// When to look again at the latest, after an effect that was carried out.
pub type Again = Result<Option<Duration>, CallError>;

/// Carries out `action`; returns when to look again at the latest.
pub async fn carry_out(task: &Task, action: Action, context: &Context) -> Again {
    if matches!(action, Action::Rest) {
        return Ok(None);
    }
    let Ok(_turn) = context.turn_of(task) else { return Ok(Some(TURN_WITHIN)) };
    match action {
        Action::Rest => Ok(None),
        Action::Write(status) => write(task, *status, context).await,
        Action::Record(recording) => record(task, *recording, context).await,
        Action::Launch => launch::launch(task, context).await,
        Action::Delete(deletion) => delete_child(task, deletion, context).await,
        Action::MakeRoom(otherwise) => make_room(task, *otherwise, context).await,
        Action::EndPod(end) => end_pod(task, end, context).await,
        Action::Batch(step) => steps::carry_out(task, step, context).await,
        Action::TellWorker(why) => {
            context.cache.tell_worker(task, why);
            Ok(Some(Duration::ZERO))
        }
        Action::DeleteTask => {
            // In the version that was decided on: somebody may just have asked for another run.
            let as_seen = Preconditions { uid: task.uid(), resource_version: task.resource_version() };
            let why = task.status_or_default().reason;
            delete::<Task>(task, &task.name_any(), as_seen, why, context).await.map(shown_by_the_watch)
        }
    }
}

/// The kubelet is told when to end the pod, and whoever judges it later what for; in one change, of this pod and no other of
/// its name.
async fn end_pod(task: &Task, PodEnd { name, uid, seconds, ended_for }: PodEnd, context: &Context) -> Again {
    let namespace = task.namespace().unwrap_or_default();
    tracing::info!(namespace, task = task.name_any(), pod = name, seconds, reason = %ended_for, "end the pod");
    let change = json!({
        "metadata": {"uid": uid, "annotations": {names::ANNOTATION_ENDED_FOR: ended_for}},
        "spec": {"activeDeadlineSeconds": seconds},
    });
    let pods = Api::<Pod>::namespaced(context.client.clone(), &namespace);
    let (how, change) = (PatchParams::default(), Patch::Merge(change));
    match context.calls.write("end_pod", pods.patch(&name, &how, &change)).await {
        Ok(_) => {
            context.cache.pod_ends(task, &uid, seconds, ended_for);
            Ok(Some(TRACE_EXPECTED_WITHIN))
        }
        Err(CallError::NotFound) => {
            context.cache.not_there(task, &uid);
            Ok(Some(Duration::ZERO))
        }
        Err(CallError::Conflict) => Ok(Some(LOOK_AGAIN)),
        Err(CallError::Refused(status)) if status.message.contains(ANOTHER_POD) => Ok(Some(LOOK_AGAIN)),
        Err(CallError::Refused(status)) => {
            let why = text::cut(&status.message, LOGGED);
            tracing::warn!(namespace, pod = name, why, "the pod may not be ended by its deadline; it will be deleted");
            context.cache.pod_end_refused(task, &uid);
            Ok(Some(Duration::ZERO))
        }
        Err(error) => Err(error),
    }
}

fn shown_by_the_watch(removal: Removal) -> Option<Duration> {
    match removal {
        Removal::Asked | Removal::NotThere => Some(TRACE_EXPECTED_WITHIN),
        Removal::Refused => Some(LOOK_AGAIN),
    }
}

/// A launch that was refused is tried again once there is room, and so does the Job controller with its pod.
async fn make_room(task: &Task, otherwise: TaskStatus, context: &Context) -> Again {
    if !context.finished_jobs.make_room(&task.namespace().unwrap_or_default()).await? {
        return write(task, otherwise, context).await;
    }
    context.cache.launch_again(task);
    Ok(Some(ROOM_WITHIN))
}

async fn delete_child(task: &Task, Deletion { child, name, uid, why }: Deletion, context: &Context) -> Again {
    if context.cache.is_worker(&uid) {
        return end_worker(task, &name, &uid, why, context).await;
    }
    record::record_run::before_job_goes(task, &name, &context.calls.reads, &context.records).await?;
    let observed = context.cache.observed(task);
    if !context.records.attempt_logs().keep(task, &name, &observed, &context.calls.reads).await {
        return Ok(Some(LOG_TAKEN_WITHIN));
    }
    let removal = match child {
        Child::Job => delete::<Job>(task, &name, only(&uid), why, context).await?,
        Child::Pod => delete::<Pod>(task, &name, only(&uid), why, context).await?,
    };
    if removal == Removal::Asked && child == Child::Job {
        context.cache.job_deleted(task, &uid);
    }
    Ok(gone_or_shown(removal, task, &uid, context))
}

/// The worker that holds the task does not stop: it is ended with its pod, and with whatever else it holds.
async fn end_worker(task: &Task, name: &str, uid: &str, why: Reason, context: &Context) -> Again {
    context.cache.give_up_worker(uid, Some(Fault::Deaf.why()));
    let removal = delete::<Pod>(task, name, only(uid), why, context).await?;
    if removal == Removal::NotThere {
        context.cache.worker_is_not_there(uid);
        return Ok(Some(Duration::ZERO));
    }
    Ok(shown_by_the_watch(removal))
}

/// A Job or pod that is not there is forgotten: no watch shows anything of it any longer.
fn gone_or_shown(removal: Removal, task: &Task, uid: &str, context: &Context) -> Option<Duration> {
    if removal == Removal::NotThere {
        context.cache.not_there(task, uid);
        return Some(Duration::ZERO);
    }
    shown_by_the_watch(removal)
}

async fn write(task: &Task, status: TaskStatus, context: &Context) -> Again {
    Ok(is_written(task, status, context).await?.then_some(TRACE_EXPECTED_WITHIN))
}

/// False where the task has changed: the watch will show how.
async fn is_written(task: &Task, status: TaskStatus, context: &Context) -> Result<bool, CallError> {
    // With the lease it is forgotten.
    let log = context.cache.handed_in_log(task);
    match context.status.write(task, status).await {
        Ok(written) => {
            context.cache.task_written(&written);
            let reads = &context.calls.reads;
            let log = log.filter(|_| keeps_handed_in_log(task, written.status_or_default()));
            log.into_iter().for_each(|log| context.records.attempt_logs().keep_handed_in(task, log));
            context.records.attempt_logs().keep_early(task, written, || context.cache.observed(task), reads);
            Ok(true)
        }
        Err(CallError::Conflict) => {
            context.cache.task_outdated(task);
            Ok(false)
        }
        Err(CallError::NotFound) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The record first. A stop right after it costs nothing: the same record is put again, or one of what came instead.
async fn record(task: &Task, recording: Recording, context: &Context) -> Again {
    let whole = context.just_admitted.take_spec(task);
    match record::keep(task, whole, &recording, &context.calls, &context.records).await? {
        Kept::There if task.status.as_ref() == Some(&recording.then) => {
            context.records.told(task);
            Ok(Some(Duration::ZERO))
        }
        // Only what was written together with the record tells that both say the same: an end that was written
        // before may be another than the record's.
        Kept::There => {
            let ended = Some(recording.ended).filter(|ended| ended.run_id != recording.then.run_id);
            let written = is_written(task, recording.then, context).await?;
            if written {
                context.records.told(task);
                ended.into_iter().for_each(|ended| context.status.tell_superseded(task, ended));
            }
            Ok(written.then_some(TRACE_EXPECTED_WITHIN))
        }
        Kept::NotNow(pause) => {
            if let Some(meanwhile) = recording.meanwhile {
                write(task, meanwhile, context).await?;
            }
            Ok(Some(pause))
        }
        Kept::Outdated => Ok(None),
    }
}

/// Deletes a child of this task, or the task itself, and says why.
async fn delete<K>(
    task: &Task,
    name: &str,
    only_this: Preconditions,
    why: Reason,
    context: &Context,
) -> Result<Removal, CallError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let namespace = task.namespace().unwrap_or_default();
    tracing::info!(namespace, task = task.name_any(), kind = %K::kind(&()), name, reason = %why, "delete");
    remove::<K>(&namespace, name, only_this, &context.calls).await
}
