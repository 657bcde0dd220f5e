//! Keeps the status of the types: whether the API server would take their Jobs and pods, by its own dry runs, or whether their
//! pool is there. The answers go into the cache, for queues count by them.

use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::stream::FuturesUnordered;
use futures::{SinkExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use serde_json::Value;

use super::type_schedule::{Outcome, Schedule};
use crate::api::{Executor, Task, TaskType};
use crate::cluster::calls::{CallError, Calls};
use crate::cluster::create::{Run, create};
use crate::cluster::rights::Right;
use crate::controller::cache::Cache;
use crate::controller::status::StatusWriter;
use crate::core::Settings;
use crate::core::launch::dry_run::{DryRun, Probe};
use crate::core::launch::refusal::{is_a_limit_ranges, is_about_the_template, is_above_the_limit, of_no_dry_run};
use crate::core::launch::task_type;
use crate::core::launch::task_type::Usable;

/// How often it is looked which types are to be checked.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// How many types are checked at once.
const AT_ONCE: usize = 8;
/// An error of the API server itself, or of a webhook that it must ask.
const INTERNAL_ERROR: u16 = 500;

/// Tasks that are to be looked at.
type Wake = mpsc::Sender<ObjectRef<Task>>;

/// Where types are tried out, and by which settings.
pub struct Checks {
    pub calls: Calls,
    pub status: Arc<StatusWriter>,
    pub settings: Settings,
}

/// Checks types, so many at once; one that takes long holds up no other.
pub async fn run(cache: Arc<Cache>, checks: Checks, wake: Wake) {
    let mut schedule = Schedule::default();
    let mut running = FuturesUnordered::new();
    loop {
        schedule.at_once(cache.types_learned());
        for kind in schedule.due(cache.types(), AT_ONCE - running.len()) {
            running.push(check(kind, &cache, &checks, wake.clone()));
        }
        let has_room = running.len() < AT_ONCE;
        tokio::select! {
            Some((kind, outcome)) = running.next(), if !running.is_empty() => schedule.ended(&kind, outcome),
            () = tokio::time::sleep(BETWEEN_LOOKS), if has_room => {}
            () = cache.type_is_untried(), if has_room => {}
        }
    }
}

/// Checks a type and says so in its status.
async fn check(kind: Arc<TaskType>, cache: &Cache, checks: &Checks, mut wake: Wake) -> (Arc<TaskType>, Outcome) {
    let (usable, answer) = match kind.spec.executor {
        Executor::Pool => (task_type::usable_by_pool(&kind.spec, cache.has_pool_of(&kind)), None),
        Executor::Job | Executor::Pod => try_out(&kind, checks).await,
    };
    let refused = match &usable {
        Usable::No(why) => Some(why.clone()),
        _ => None,
    };
    for task in cache.type_tried(&kind, refused, answer) {
        // It fails only where nobody listens any more.
        let _ = wake.send(task).await;
    }
    let status = task_type::status(&kind, &usable, &cache.parsed_type(&kind), Timestamp::now());
    let written = match kind.status.as_ref() == Some(&status) {
        true => Ok(()),
        false => checks.status.write_type(&kind, status).await.map(drop),
    };
    let outcome = match (written, usable) {
        (Ok(()), Usable::Yes) => Outcome::Usable,
        (Ok(()), Usable::No(_)) => Outcome::NotUsable,
        (Ok(()), Usable::Hindered(_)) => Outcome::Hindered,
        (Ok(()), Usable::NotKnown(_)) => Outcome::NotKnown,
        (Err(CallError::Conflict | CallError::NotFound | CallError::NotLeader), _) => Outcome::NotWritten,
        (Err(error), _) => {
            tracing::warn!(namespace = kind.namespace(), type_ = kind.name_any(), %error, "failed to write a type's status; will try again");
            Outcome::NotWritten
        }
    };
    (kind, outcome)
}

/// Asks the API server to make a Job of this type and the Job's pod, or a bare pod, without making them.
async fn try_out(kind: &TaskType, checks: &Checks) -> (Usable, Option<DryRun>) {
    let probe = match Probe::new(kind, &checks.settings) {
        Ok(probe) => probe,
        Err(error) => return (Usable::No(error.to_string()), None),
    };
    let of_job = match probe.job() {
        Some(job) => match ask::<Job>(&job, Right::CreateJobs, checks).await {
            Ok(answered) => probe.dropped_of_job(&answered).map_or(Usable::Yes, Usable::No),
            Err(obstacle) => obstacle,
        },
        None => Usable::Yes,
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
    let without = ask_pod(probe, false, checks).await;
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
    let refusal = match ask_pod(probe, true, checks).await {
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

async fn ask_pod(probe: &Probe<'_>, with_defaults: bool, checks: &Checks) -> Result<Value, Usable> {
    let answered = ask::<Pod>(&probe.pod(with_defaults), Right::CreatePods, checks).await?;
    probe.dropped_of_pod(&answered).map_or(Ok(answered), |dropped| Err(Usable::No(dropped)))
}

/// The API server's answer to a dry run, or what stands in the way.
async fn ask<K>(manifest: &Value, right: Right, checks: &Checks) -> Result<Value, Usable>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    let reads = &checks.calls.reads;
    let answer = reads.read(create::<K, Value>(&reads.client(), manifest, Run::Dry)).await;
    let namespace = manifest.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    reads.rights.note(right, namespace, &answer);
    match answer {
        Ok(answer) => Ok(answer),
        Err(CallError::Refused(status)) if is_about_the_template(status.code, &status.message) => {
            let whose = if is_above_the_limit(&status.message) {
                "; a limit that the type does not name is given by a LimitRange of the namespace"
            } else {
                ""
            };
            Err(Usable::No(format!("{}{whose}", status.message)))
        }
        Err(CallError::Refused(status)) => {
            Err(Usable::Hindered(of_no_dry_run(&status.message).unwrap_or(status.message)))
        }
        Err(CallError::Failed(error)) => Err(match *error {
            kube::Error::Api(status) if status.code == INTERNAL_ERROR => Usable::Hindered(status.message),
            error => Usable::NotKnown(CallError::Failed(Box::new(error)).to_string()),
        }),
        Err(error) => Err(Usable::NotKnown(error.to_string())),
    }
}
