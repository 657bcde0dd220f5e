//! Keeps the status of the types: whether the API server would take their Jobs and pods, by its own dry runs. The answers
//! go into the cache, for queues count by them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::SinkExt;
use futures::channel::mpsc;
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use serde_json::Value;

use crate::api::{Task, TaskType};
use crate::cluster::calls::{CallError, Calls};
use crate::cluster::create::{Run, create};
use crate::controller::cache::Cache;
use crate::controller::status::StatusWriter;
use crate::core::Settings;
use crate::core::launch::dry_run::{DryRun, Probe};
use crate::core::launch::refusal::{is_a_limit_ranges, is_about_the_template, is_above_the_limit};
use crate::core::launch::task_type;
use crate::core::launch::task_type::Usable;

/// How often it is looked which types are to be checked.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// How many types are checked at once.
const AT_ONCE: usize = 8;
/// A type that can be used is checked again after so long, for what surrounds it changes...
const CONFIRMED_AGAIN: Duration = Duration::from_secs(600);
/// ...one that cannot, after so long, for the reason may lie outside of it...
const CHECKED_AGAIN: Duration = Duration::from_secs(120);
/// ...and one of which it is not known, or could not be written, after so long.
const TRIED_AGAIN: Duration = Duration::from_secs(10);
/// An error of the API server itself, or of a webhook that it must ask.
const INTERNAL_ERROR: u16 = 500;

/// Tasks that are to be looked at.
type Wake = mpsc::Sender<ObjectRef<Task>>;

/// In which version a type was last checked, and when it is to be checked again, by uid.
type Checked = HashMap<String, (Option<i64>, Instant)>;

/// Where types are tried out, and by which settings.
pub struct Checks {
    pub calls: Calls,
    pub status: Arc<StatusWriter>,
    pub settings: Settings,
}

pub async fn run(cache: Arc<Cache>, checks: Checks, wake: Wake) {
    let mut checked = Checked::new();
    loop {
        let due = due(&cache, &mut checked);
        let all = due.len() < AT_ONCE;
        let looks = due.iter().map(|kind| check(kind, &cache, &checks, wake.clone()));
        for (kind, pause) in due.iter().zip(join_all(looks).await) {
            checked.insert(kind.uid().unwrap_or_default(), (kind.metadata.generation, Instant::now() + pause));
        }
        if all {
            tokio::select! {
                () = tokio::time::sleep(BETWEEN_LOOKS) => {}
                () = cache.type_is_untried() => {}
            }
        }
    }
}

/// The types that are to be checked now: those that were not checked yet first, then those that were not found usable.
fn due(cache: &Cache, checked: &mut Checked) -> Vec<Arc<TaskType>> {
    let mut types = cache.types();
    checked.retain(|uid, _| types.iter().any(|kind| kind.metadata.uid.as_ref() == Some(uid)));
    types.retain(|kind| is_due(kind, checked));
    types.sort_by_key(|kind| (was_checked(kind, checked), task_type::is_checked(kind)));
    types.truncate(AT_ONCE);
    types
}

/// Whether this generation was checked, however that went.
fn was_checked(kind: &TaskType, checked: &Checked) -> bool {
    let last = checked.get(kind.metadata.uid.as_deref().unwrap_or_default());
    last.is_some_and(|(generation, _)| *generation == kind.metadata.generation)
}

fn is_due(kind: &TaskType, checked: &Checked) -> bool {
    let last = checked.get(kind.metadata.uid.as_deref().unwrap_or_default());
    !was_checked(kind, checked) || last.is_none_or(|(_, due)| *due <= Instant::now())
}

/// Checks a type and says so in its status; returns how long to wait before the next check.
async fn check(kind: &TaskType, cache: &Cache, checks: &Checks, mut wake: Wake) -> Duration {
    let (usable, answer) = try_out(kind, checks).await;
    let refused = match &usable {
        Usable::No(why) => Some(why.clone()),
        _ => None,
    };
    for task in cache.type_tried(kind, refused, answer) {
        // It fails only where nobody listens any more.
        let _ = wake.send(task).await;
    }
    let status = task_type::status(kind, &usable, Timestamp::now());
    let written = match kind.status.as_ref() == Some(&status) {
        true => Ok(()),
        false => checks.status.write_type(kind, status).await.map(drop),
    };
    match (written, usable) {
        (Ok(()), Usable::Yes) => CONFIRMED_AGAIN,
        (Ok(()), Usable::No(_)) => CHECKED_AGAIN,
        (Ok(()), Usable::Hindered(_) | Usable::NotKnown(_)) => TRIED_AGAIN,
        (Err(CallError::Conflict | CallError::NotFound | CallError::NotLeader), _) => TRIED_AGAIN,
        (Err(error), _) => {
            tracing::warn!(namespace = kind.namespace(), type_ = kind.name_any(), %error, "failed to write a type's status; will try again");
            TRIED_AGAIN
        }
    }
}

/// Asks the API server to make a Job of this type and the Job's pod, without making them.
async fn try_out(kind: &TaskType, checks: &Checks) -> (Usable, Option<DryRun>) {
    let probe = match Probe::new(kind, &checks.settings) {
        Ok(probe) => probe,
        Err(error) => return (Usable::No(error.to_string()), None),
    };
    let of_job = match ask::<Job>(&probe.job(true), checks).await {
        Ok(answered) => probe.dropped(&answered).map_or(Usable::Yes, Usable::No),
        Err(obstacle) => obstacle,
    };
    if matches!(of_job, Usable::No(_)) {
        return (of_job, None);
    }
    let (of_pod, answer) = try_pod(&probe, checks).await;
    match (of_job, of_pod) {
        (_, no @ Usable::No(_)) => (no, answer),
        (Usable::Yes, of_pod) => (of_pod, answer),
        (of_job, _) => (of_job, answer),
    }
}

/// Asks for the pod: where nobody names memory first without the operator's defaults, which apply only where the namespace
/// has none.
async fn try_pod(probe: &Probe<'_>, checks: &Checks) -> (Usable, Option<DryRun>) {
    let without = ask::<Pod>(&probe.pod(false), checks).await;
    match without {
        Ok(answered) if probe.names_memory() => (Usable::Yes, Some(DryRun::of(&answered, false))),
        Ok(answered) if probe.is_given_memory(&answered) => (Usable::Yes, Some(DryRun::of(&answered, true))),
        Err(obstacle) if probe.names_memory() || matches!(obstacle, Usable::No(_)) => (obstacle, None),
        without => try_with_defaults(probe, without.err(), checks).await,
    }
}

/// Asks for the pod with the operator's defaults for memory. `obstacle` stands in the way of one without them: a quota may
/// want every pod to name its memory.
async fn try_with_defaults(probe: &Probe<'_>, obstacle: Option<Usable>, checks: &Checks) -> (Usable, Option<DryRun>) {
    let refusal = match ask::<Pod>(&probe.pod(true), checks).await {
        Ok(answered) => return (Usable::Yes, Some(DryRun::of(&answered, false))),
        Err(refusal) => refusal,
    };
    match (refusal, obstacle) {
        // The namespace has values of its own for memory. With those, something else stands in the way.
        (Usable::No(why) | Usable::Hindered(why), Some(obstacle)) if is_a_limit_ranges(&why) => {
            (obstacle, Some(DryRun { pod: None, memory_is_set: true }))
        }
        (Usable::No(why) | Usable::Hindered(why), _) => (Usable::Hindered(probe.because_of_defaults(&why)), None),
        (refusal, _) => (refusal, None),
    }
}

/// The API server's answer to a dry run, or what stands in the way.
async fn ask<K>(manifest: &Value, checks: &Checks) -> Result<Value, Usable>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    let reads = &checks.calls.reads;
    match reads.read(create::<K, Value>(&reads.client(), manifest, Run::Dry)).await {
        Ok(answer) => Ok(answer),
        Err(CallError::Refused(status)) if is_about_the_template(status.code, &status.message) => {
            let whose = if is_above_the_limit(&status.message) {
                "; a limit that the type does not name is given by a LimitRange of the namespace"
            } else {
                ""
            };
            Err(Usable::No(format!("{}{whose}", status.message)))
        }
        Err(CallError::Refused(status)) => Err(Usable::Hindered(status.message)),
        Err(CallError::Failed(error)) => Err(match *error {
            kube::Error::Api(status) if status.code == INTERNAL_ERROR => Usable::Hindered(status.message),
            error => Usable::NotKnown(CallError::Failed(Box::new(error)).to_string()),
        }),
        Err(error) => Err(Usable::NotKnown(error.to_string())),
    }
}
