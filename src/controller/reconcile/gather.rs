//! Reads everything that a decision depends on, beforehand.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::api::{State, Task};
use crate::cluster::calls::CallError;
use crate::controller::Context;
use crate::controller::cache::Gathered;
use crate::controller::record::once;
use crate::core::attempt::facts;
use crate::core::attempt::facts::{Puzzle, Why};
use crate::core::launch::names;
use crate::core::task;
use crate::core::task::Earlier;

/// How many of an object's warnings are looked at for the last one.
const EVENTS: u32 = 20;

/// `None` while the watch still shows the task as it was before our own last write.
pub async fn gather(task: &Task, context: &Context, now: Timestamp) -> Result<Option<Gathered>, CallError> {
    let job = task::job_name(task);
    let is_processing = task.status.as_ref().is_some_and(|status| status.state == State::Processing);
    let earlier = once::earlier(task, &context.cache, &context.records).await;
    let known = || known(task, &earlier, context);
    if is_processing && known().is_some_and(|known| known.observed.lacks_the_pod_of(&job)) {
        find_pods(task, &job, context).await?;
    }
    let doubts = |known: Gathered| task::doubts_the_launch(task, &known.surroundings(&context.settings), now);
    if is_processing && known().is_some_and(doubts) {
        find_job(task, &job, context).await?;
    }
    let Some(mut gathered) = known() else { return Ok(None) };
    gathered.observed.explained = match gathered.observed.puzzle(&job, now) {
        Some(puzzle) => explain(task, puzzle, context).await,
        None => None,
    };
    Ok(Some(gathered))
}

/// What is at hand, without asking anybody.
fn known(task: &Task, earlier: &Earlier, context: &Context) -> Option<Gathered> {
    let mut known = context.cache.gather(task)?;
    known.earlier = earlier.clone();
    known.record_in_doubt = context.records.is_in_doubt(task);
    known.observed.said = context.live.said(task.metadata.uid.as_deref().unwrap_or_default());
    Some(known)
}

/// The watch of the pods may be far behind that of the Jobs, and only a pod tells how its attempt ended, or that it
/// has not: before it is taken to be gone, the API server is asked.
async fn find_pods(task: &Task, job: &str, context: &Context) -> Result<(), CallError> {
    let pods = Api::<Pod>::namespaced(context.client.clone(), &task.namespace().unwrap_or_default());
    let of_job = ListParams::default().labels(&format!("{}={job}", names::LABEL_JOB_NAME));
    for pod in context.calls.read(pods.list(&of_job)).await? {
        context.cache.pod_found(&pod);
    }
    Ok(())
}

/// Nobody knows of a Job, and that proves nothing: before the slot is given back, the API server is asked.
async fn find_job(task: &Task, name: &str, context: &Context) -> Result<(), CallError> {
    let jobs = Api::<Job>::namespaced(context.client.clone(), &task.namespace().unwrap_or_default());
    match context.calls.read(jobs.get(name)).await {
        // One that goes is waited for: its pod may still run.
        Ok(job) if facts::belongs_to(task, &job) => context.cache.job_found(&job),
        // A stranger's is not this launch.
        Ok(_) | Err(CallError::NotFound) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Job controller and kubelet tell only in events why they cannot make a pod or a container.
/// Where events cannot be read, the task goes on without an explanation.
async fn explain(task: &Task, puzzle: Puzzle<'_>, context: &Context) -> Option<Why> {
    let namespace = task.namespace().unwrap_or_default();
    let events = Api::<Event>::namespaced(context.client.clone(), &namespace);
    let fields = format!("involvedObject.uid={},type=Warning", puzzle.uid());
    let warnings = ListParams::default().fields(&fields).limit(EVENTS);
    match context.calls.read(events.list(&warnings)).await {
        Ok(found) => {
            let says_why = |event: &Event| event.message.as_deref().is_some_and(facts::is_a_sentence);
            let answers = |event: &Event| puzzle.is_answered_by(event.reason.as_deref().unwrap_or_default());
            let warnings = found.items.into_iter().filter(answers);
            let last = warnings.max_by_key(|event| (says_why(event), last_seen(event)));
            last.and_then(|event| event.message).map(|words| puzzle.explained(&words))
        }
        Err(error) => {
            tracing::debug!(namespace, %error, "events could not be read");
            None
        }
    }
}

/// When an event was last seen: one that repeats itself keeps its creationTimestamp.
fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    series.max(last).or(event.event_time.as_ref().map(|time| time.0)).or(event
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|time| time.0))
}
