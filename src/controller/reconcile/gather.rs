//! Reads everything that a decision depends on, beforehand, into one value. The core says what else must be asked of
//! the API server; here it is asked.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::label;
use crate::api::Task;
use crate::cluster::calls::CallError;
use crate::controller::Context;
use crate::controller::cache::Cache;
use crate::controller::record::once;
use crate::core::attempt::facts;
use crate::core::attempt::facts::{JobFacts, PodEvent, PodFacts};
use crate::core::attempt::needs::Needs;
use crate::core::launch::names;
use crate::core::{Input, needs};

/// How many of an object's events are looked at.
const EVENTS: u32 = 100;

/// `None` while the watch still shows the task as it was before our own last write.
pub async fn gather(task: &Arc<Task>, context: &Context, now: Timestamp) -> Result<Option<Input>, CallError> {
    let earlier = once::earlier(task, &context.cache, &context.records).await;
    let Some(known) = context.cache.gather(task) else { return Ok(None) };
    let mut input = Input { earlier, record_in_doubt: context.records.is_in_doubt(task), ..known };
    input.observed.reports = context.live.reports(task.metadata.uid.as_deref().unwrap_or_default());
    for _ in 0..Needs::MOST {
        match ask(&needs(&input, now), task, context).await? {
            Answer::Nothing => break,
            answer => {
                remember(&answer, &context.cache);
                answer.fold_into(&mut input, now);
            }
        }
    }
    Ok(Some(input))
}

/// An answer of the API server.
enum Answer {
    /// It was not asked.
    Nothing,
    Pods(Vec<Pod>),
    /// Nobody else's.
    Job(Option<Box<Job>>),
    Pod(Option<Box<Pod>>),
    Events {
        of: String,
        events: Vec<PodEvent>,
    },
    /// Whether this node answers, where anybody could tell.
    Node {
        name: String,
        answers: Option<bool>,
    },
}

impl Answer {
    fn fold_into(self, input: &mut Input, now: Timestamp) {
        match self {
            Self::Nothing => {}
            Self::Pods(pods) => input.pods_are(pods.iter().map(|pod| PodFacts::of(pod).first_seen(now)).collect()),
            Self::Job(job) => input.job_is(job.map(|job| JobFacts::of(&job).first_seen(now))),
            Self::Pod(pod) => input.pod_is(pod.map(|pod| PodFacts::of(&pod).first_seen(now))),
            Self::Events { of, events } => input.events_are(&of, &events, now),
            Self::Node { name, answers } => input.node_is(&name, answers),
        }
    }
}

async fn ask(needs: &Needs, task: &Task, context: &Context) -> Result<Answer, CallError> {
    match needs {
        Needs::Nothing => Ok(Answer::Nothing),
        Needs::PodsOf(job) => pods_of(task, job, context).await.map(Answer::Pods),
        Needs::Job(name) => job(task, name, context).await.map(Answer::Job),
        Needs::Pod { name, uid } => pod(task, name, uid, context).await.map(Answer::Pod),
        Needs::EventsOf(uid) => Ok(Answer::Events { of: uid.clone(), events: events(task, uid, context).await? }),
        Needs::EventsOfEnd(uid) => {
            Ok(Answer::Events { of: uid.clone(), events: events_if_they_come(task, uid, context).await? })
        }
        Needs::Node(name) => Ok(Answer::Node { name: name.clone(), answers: node_answers(name, context).await? }),
    }
}

/// The cache learns of what was found: its slot is held while it runs, also when its task is deleted before the watch
/// shows it; and the next look need not ask again.
fn remember(answer: &Answer, cache: &Cache) {
    match answer {
        Answer::Pods(pods) => {
            for pod in pods {
                cache.pod_found(pod);
            }
        }
        Answer::Job(Some(job)) => cache.job_found(job),
        Answer::Job(None) | Answer::Pod(_) | Answer::Events { .. } | Answer::Node { .. } | Answer::Nothing => {}
    }
}

async fn pods_of(task: &Task, job: &str, context: &Context) -> Result<Vec<Pod>, CallError> {
    let pods = Api::<Pod>::namespaced(context.client.clone(), &task.namespace().unwrap_or_default());
    let uid = task.metadata.uid.as_deref().unwrap_or_default();
    let of_job = format!("{}={job},{}={uid}", names::LABEL_JOB_NAME, names::LABEL_TASK_UID);
    Ok(context.calls.read(pods.list(&ListParams::default().labels(&of_job))).await?.items)
}

/// The Job of this name. One that goes is waited for: its pod may still run. A stranger's is not this launch.
async fn job(task: &Task, name: &str, context: &Context) -> Result<Option<Box<Job>>, CallError> {
    let jobs = Api::<Job>::namespaced(context.client.clone(), &task.namespace().unwrap_or_default());
    let found = context.calls.read(jobs.get_opt(name)).await?;
    Ok(found.filter(|job| facts::belongs_to(task, job)).map(Box::new))
}

/// The pod of this name. One of ours that somebody took our label from gets it again, so that the watch shows it.
async fn pod(task: &Task, name: &str, uid: &str, context: &Context) -> Result<Option<Box<Pod>>, CallError> {
    let pods = Api::<Pod>::namespaced(context.client.clone(), &task.namespace().unwrap_or_default());
    let found = context.calls.read(pods.get_opt(name)).await?.filter(|pod| pod.metadata.uid.as_deref() == Some(uid));
    if let Some(pod) = found.as_ref().filter(|pod| !pod.labels().contains_key(names::LABEL_TASK_UID)) {
        label::restore(task, pod, context).await;
    }
    Ok(found.map(Box::new))
}

/// Where events may not be read, the task goes on without an explanation. An answer that did not come is asked for again:
/// an event may tell that the work has begun.
async fn events(task: &Task, uid: &str, context: &Context) -> Result<Vec<PodEvent>, CallError> {
    let namespace = task.namespace().unwrap_or_default();
    let events = Api::<Event>::namespaced(context.client.clone(), &namespace);
    let of_this = ListParams::default().fields(&format!("involvedObject.uid={uid}")).limit(EVENTS);
    match context.calls.read(events.list(&of_this)).await {
        Ok(found) => Ok(found.items.into_iter().filter_map(event).collect()),
        Err(error @ CallError::Refused(_)) => {
            tracing::debug!(namespace, %error, "events may not be read");
            Ok(vec![])
        }
        Err(error) => Err(error),
    }
}

/// The same where nothing depends on them but words.
async fn events_if_they_come(task: &Task, uid: &str, context: &Context) -> Result<Vec<PodEvent>, CallError> {
    match events(task, uid, context).await {
        Err(CallError::NotLeader) => Err(CallError::NotLeader),
        Err(error) => {
            tracing::debug!(namespace = task.namespace(), task = task.name_any(), %error, "events did not come");
            Ok(vec![])
        }
        found => found,
    }
}

/// Whether the node's Ready condition is True; `None` where nodes may not be read. An answer that did not come is asked for
/// again: a pod counts as lost only where its node does not answer.
async fn node_answers(name: &str, context: &Context) -> Result<Option<bool>, CallError> {
    let nodes = Api::<Node>::all(context.client.clone());
    match context.calls.read(nodes.get_opt(name)).await {
        Ok(Some(node)) => {
            let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
            Ok(Some(conditions.iter().any(|seen| seen.type_ == "Ready" && seen.status == "True")))
        }
        Ok(None) => Ok(Some(false)),
        Err(error @ CallError::Refused(_)) => {
            tracing::debug!(node = name, %error, "nodes may not be read");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn event(event: Event) -> Option<PodEvent> {
    let (last_seen, first_seen) = (last_seen(&event), event.first_timestamp.as_ref().map(|time| time.0));
    let reported_by = event.reporting_component.filter(|component| !component.is_empty());
    Some(PodEvent {
        component: reported_by.or(event.source.and_then(|source| source.component)).unwrap_or_default(),
        is_warning: event.type_.as_deref() == Some("Warning"),
        container: event.involved_object.field_path.as_deref().and_then(container).map(str::to_owned),
        reason: event.reason.unwrap_or_default(),
        message: event.message?,
        first_seen: first_seen.or(last_seen),
        last_seen,
    })
}

/// `spec.containers{work}` names a container.
fn container(field_path: &str) -> Option<&str> {
    field_path.split_once('{')?.1.strip_suffix('}')
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
