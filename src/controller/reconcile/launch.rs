//! Creates what runs an attempt. A launch that came to nothing is a fact like any other: what follows is decided at the next look.

use std::fmt::Debug;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::apply::{Again, TRACE_EXPECTED_WITHIN};
use crate::api::{Executor, State, Task};
use crate::cluster::calls::CallError;
use crate::cluster::create::{Run, create};
use crate::cluster::rights::Right;
use crate::controller::Context;
use crate::controller::cache::Cache;
use crate::controller::cache::workers::HandOut;
use crate::controller::leased_task;
use crate::controller::leased_task::worker_uid;
use crate::core::attempt::facts::{self, Why};
use crate::core::attempt::{Child, executor, job_name};
use crate::core::launch::{Launch, bare_pod, holds, job};
use crate::core::{ParsedType, Reason};
use crate::live::Given;

/// When to look again while an old Job or pod of the same name is still being removed.
const NAME_FREE_WITHIN: Duration = Duration::from_secs(1);

/// When to look again at a task that is to be alone on its worker, while others there end.
const ALONE_WITHIN: Duration = Duration::from_secs(1);

/// A kind of object that an attempt is launched as.
trait Launched: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned {
    const KIND: Child;
    /// The name of its creation in metrics.
    const REQUEST: &'static str;
    const MANIFEST: Launch;
    const RIGHT: Right;

    /// The cache learns of it before the watch shows it.
    fn found(&self, cache: &Cache);
}

impl Launched for Job {
    const KIND: Child = Child::Job;
    const REQUEST: &'static str = "create_job";
    const MANIFEST: Launch = job::job;
    const RIGHT: Right = Right::CreateJobs;

    fn found(&self, cache: &Cache) {
        cache.job_found(self);
    }
}

impl Launched for Pod {
    const KIND: Child = Child::Pod;
    const REQUEST: &'static str = "create_pod";
    const MANIFEST: Launch = bare_pod::bare_pod;
    const RIGHT: Right = Right::CreatePods;

    fn found(&self, cache: &Cache) {
        cache.pod_found(self);
    }
}

/// Creates the present attempt's Job, or its bare pod.
pub async fn launch(task: &Task, context: &Context) -> Again {
    let launched = launch_admitted(task, context).await;
    launched.inspect_err(|error| unanswered(task, error, context))
}

async fn launch_admitted(task: &Task, context: &Context) -> Again {
    if context.cache.waits_for_others(task) {
        return Ok(Some(ALONE_WITHIN));
    }
    let Some(kind) = context.cache.type_of(task) else { return Ok(Some(Duration::ZERO)) };
    // The watch will show what changed meanwhile, and it is decided anew.
    let Some(whole) = whole(task, context).await? else { return Ok(None) };
    if !matches!(holds::is_what_was_admitted(&whole, &kind, &context.settings), Ok(true)) {
        // Another answer to its type's dry run changes how it is counted: it is decided anew.
        return Ok(Some(Duration::ZERO));
    }
    match executor(whole.status_or_default()).filter(|admitted| *admitted == kind.spec.executor) {
        Some(Executor::Job) => create_as::<Job>(&whole, &kind, context).await,
        Some(Executor::Pod) => create_as::<Pod>(&whole, &kind, context).await,
        Some(Executor::Pool) => Ok(hand_out(whole, &kind, context).await),
        // The type has changed since it was decided.
        None => Ok(Some(Duration::ZERO)),
    }
}

/// The task with its payload, which the cache does not hold; `None` when it is no longer what was decided on.
async fn whole(task: &Task, context: &Context) -> Result<Option<Task>, CallError> {
    if let Some(whole) = context.just_admitted.take(task) {
        return Ok(Some(whole));
    }
    let tasks = Api::<Task>::namespaced(context.client.clone(), &task.namespace().unwrap_or_default());
    match context.calls.read(tasks.get(&task.name_any())).await {
        Ok(whole) => Ok(Some(whole).filter(|whole| is_still(task, whole))),
        Err(CallError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The task that was decided on, and not one that meanwhile took another turn or its name.
fn is_still(decided_on: &Task, whole: &Task) -> bool {
    let turn = |task: &Task| task.status.as_ref().map(|status| (status.state, status.run_id.clone(), status.attempt));
    let version = |task: &Task| (task.metadata.uid.clone(), task.metadata.generation);
    let same = version(whole) == version(decided_on) && turn(whole) == turn(decided_on);
    same && whole.metadata.deletion_timestamp.is_none()
        && turn(whole).is_some_and(|(state, ..)| state == State::Processing)
}

/// Answers the call of the worker that the task was admitted to. Where none hangs, its next one has the task looked at again.
async fn hand_out(whole: Task, kind: &ParsedType, context: &Context) -> Option<Duration> {
    let heartbeat = context.cache.heartbeat_of(worker_uid(&whole).unwrap_or_default());
    // A first attempt finds none, and costs no question.
    let is_later = whole.status_or_default().attempt > 1;
    let checkpoint = is_later && context.records.may_have_checkpoint(&whole).await;
    let leased = leased_task::of(&whole, kind, heartbeat, Timestamp::now(), checkpoint);
    let Some(leased) = leased else { return Some(Duration::ZERO) };
    let Some(HandOut { pool, took, was_free }) = context.cache.hand_out(&whole, Given::Task(Box::new(leased))) else {
        return Some(TRACE_EXPECTED_WITHIN);
    };
    context.metrics.handed_out(&pool, took.unsigned_abs(), was_free);
    // Most warm tasks are over soon: then their record needs no read.
    context.just_admitted.keep(whole);
    Some(Duration::ZERO)
}

async fn create_as<K: Launched>(whole: &Task, kind: &ParsedType, context: &Context) -> Again {
    let classes = context.priority_classes().await;
    let manifest = match (K::MANIFEST)(whole, whole.status_or_default(), kind, &context.settings, &classes) {
        Ok(manifest) => manifest,
        Err(error) => return refused(whole, Why::new(Reason::TypeNotReady, error.to_string()), context),
    };
    let made = |left| create::<K, K>(&context.client, &manifest, Run::Real(left));
    let answer = context.calls.write_within(K::REQUEST, made).await;
    context.calls.reads.rights.note(K::RIGHT, &whole.namespace().unwrap_or_default(), &answer);
    match answer {
        Ok(created) => {
            created.found(&context.cache);
            Ok(Some(TRACE_EXPECTED_WITHIN))
        }
        Err(CallError::AlreadyExists) => already_there::<K>(whole, context).await,
        Err(CallError::Refused(status)) => refused(whole, facts::no_pod(&status.message), context),
        // The namespace takes its tasks along.
        Err(CallError::Terminating | CallError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// One of that name exists: ours from an earlier try, an old one of ours that is being removed, or a stranger's, which
/// is left alone.
async fn already_there<K: Launched>(task: &Task, context: &Context) -> Again {
    let children = Api::<K>::namespaced(context.client.clone(), &task.namespace().unwrap_or_default());
    let name = job_name(task);
    let child = match context.calls.read(children.get(&name)).await {
        Ok(child) => child,
        Err(CallError::NotFound) => return Ok(Some(NAME_FREE_WITHIN)),
        Err(error) => return Err(error),
    };
    if !facts::belongs_to(task, &child) {
        let message = format!("a {} {name} exists that belongs to somebody else: delete it", K::KIND.word());
        return refused(task, Why { reason: Reason::LaunchRefused, message }, context);
    }
    if child.meta().deletion_timestamp.is_some() {
        return Ok(Some(NAME_FREE_WITHIN));
    }
    child.found(&context.cache);
    Ok(Some(TRACE_EXPECTED_WITHIN))
}

/// A launch that failed is a fact too: it is tried again, and what follows when it keeps failing is decided.
fn unanswered(task: &Task, error: &CallError, context: &Context) {
    if !matches!(error, CallError::NotLeader) {
        let why = Why { reason: Reason::LaunchFailed, message: error.to_string() };
        context.cache.launch_unanswered(task, why);
    }
}

/// The refusal is a fact like any other: the next look decides what follows from it.
fn refused(task: &Task, why: Why, context: &Context) -> Again {
    context.cache.launch_refused(task, why);
    Ok(Some(Duration::ZERO))
}
