//! Reads everything that a decision depends on, beforehand, into one value. The core says what else must be asked of
//! the API server; here it is asked.

use std::fmt::Debug;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::{label, pod_events};
use crate::api::Task;
use crate::cluster::calls::CallError;
use crate::cluster::rights::Right;
use crate::controller::Context;
use crate::controller::cache::Cache;
use crate::controller::record::once;
use crate::core::attempt::Child;
use crate::core::attempt::facts;
use crate::core::attempt::facts::worker::WorkerFacts;
use crate::core::attempt::facts::{JobFacts, NodeState, PodEvent, PodFacts};
use crate::core::attempt::needs::Needs;
use crate::core::launch::names;
use crate::core::task::is_batch;
use crate::core::{Input, needs};

/// `None` while the watch still shows the task as it was before our own last write.
pub async fn gather(task: &Arc<Task>, context: &Context, now: Timestamp) -> Result<Option<Input>, CallError> {
    let earlier = once::earlier(task, &context.cache, &context.records).await;
    let Some(known) = context.cache.gather(task) else { return Ok(None) };
    let mut input = Input { earlier, record_in_doubt: context.records.is_in_doubt(task), ..known };
    input.recall_events(now);
    input.observed.reports = context.live.reports(task.metadata.uid.as_deref().unwrap_or_default());
    if is_batch(task) {
        let (chunks, away) = (context.cache.chunks_of(task), context.records.is_away());
        input.batch = Some(context.batches.facts(task, chunks, away, now));
    }
    for _ in 0..Needs::MOST {
        match ask(&needs(&input, now), task, context).await? {
            Answer::Nothing => break,
            answer => {
                remember(&answer, &context.cache);
                fold_in(answer, &mut input, task, &context.cache, now);
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
    /// Nobody else's either.
    BarePod(Option<Box<Pod>>),
    Pod(Option<Box<Pod>>),
    /// The worker that holds the task, as far as it is known by now.
    Worker(Option<Box<WorkerFacts>>),
    Events {
        of: String,
        events: Vec<PodEvent>,
    },
    Node {
        name: String,
        is: NodeState,
    },
}

/// Takes an answer into the input. The events of a pod are not asked for again at once.
fn fold_in(answer: Answer, input: &mut Input, task: &Task, cache: &Cache, now: Timestamp) {
    let of = match &answer {
        Answer::Events { of, .. } => Some(of.clone()),
        _ => None,
    };
    let before = of.as_deref().and_then(|of| input.events_of(of)).cloned();
    answer.fold_into(input, now);
    if let Some((of, read)) = of.as_deref().and_then(|of| Some((of, input.events_of(of)?.clone()))) {
        cache.events_read(task, of, before.as_ref(), read);
    }
}

impl Answer {
    fn fold_into(self, input: &mut Input, now: Timestamp) {
        match self {
            Self::Nothing => {}
            Self::Pods(pods) => input.pods_are(pods.iter().map(|pod| PodFacts::of(pod).first_seen(now)).collect()),
            Self::Job(job) => input.job_is(job.map(|job| JobFacts::of(&job).first_seen(now))),
            Self::BarePod(pod) => input.bare_pod_is(pod.map(|pod| PodFacts::of(&pod).first_seen(now))),
            Self::Pod(pod) => input.pod_is(pod.map(|pod| PodFacts::of(&pod).first_seen(now))),
            Self::Worker(worker) => input.worker_is(worker.map(|worker| *worker)),
            Self::Events { of, events } => input.events_are(&of, &events, now),
            Self::Node { name, is } => input.node_is(&name, is),
        }
    }
}

async fn ask(needs: &Needs, task: &Task, context: &Context) -> Result<Answer, CallError> {
    match needs {
        Needs::Nothing => Ok(Answer::Nothing),
        Needs::PodsOf(job) => pods_of(task, job, context).await.map(Answer::Pods),
        Needs::Launched { kind: Child::Job, name } => launched(task, name, context).await.map(Answer::Job),
        Needs::Launched { kind: Child::Pod, name } => launched(task, name, context).await.map(Answer::BarePod),
        Needs::Worker { name, uid } => worker(task, name, uid, context).await.map(Answer::Worker),
        Needs::Pod { name, uid } => pod(task, name, uid, context).await.map(Answer::Pod),
        Needs::EventsOf(uid) => {
            Ok(Answer::Events { of: uid.clone(), events: pod_events::of(task, uid, context).await? })
        }
        Needs::EventsOfEnd(uid) => {
            Ok(Answer::Events { of: uid.clone(), events: pod_events::if_they_come(task, uid, context).await? })
        }
        Needs::Node(name) => Ok(Answer::Node { name: name.clone(), is: node_state(name, context).await? }),
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
        Answer::BarePod(Some(pod)) => {
            cache.pod_found(pod);
        }
        Answer::Job(None) | Answer::BarePod(None) | Answer::Nothing => {}
        Answer::Pod(_) | Answer::Worker(_) | Answer::Events { .. } | Answer::Node { .. } => {}
    }
}

async fn pods_of(task: &Task, job: &str, context: &Context) -> Result<Vec<Pod>, CallError> {
    let pods = Api::<Pod>::namespaced(context.client.clone(), &task.namespace().unwrap_or_default());
    let uid = task.metadata.uid.as_deref().unwrap_or_default();
    let of_job = format!("{}={job},{}={uid}", names::LABEL_JOB_NAME, names::LABEL_TASK_UID);
    Ok(context.calls.read(pods.list(&ListParams::default().labels(&of_job))).await?.items)
}

/// The Job or bare pod of this name. A Job that goes is waited for: its pod may still run. A stranger's is not this launch;
/// nor is one without our label, which may be a stranger's too.
async fn launched<K>(task: &Task, name: &str, context: &Context) -> Result<Option<Box<K>>, CallError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let children = Api::<K>::namespaced(context.client.clone(), &task.namespace().unwrap_or_default());
    let found = context.calls.read(children.get_opt(name)).await?;
    Ok(found.filter(|child| facts::belongs_to(task, child)).map(Box::new))
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

/// What is known of the worker of this uid once the API server was asked for its pod. The watch may not have shown it yet.
async fn worker(task: &Task, name: &str, uid: &str, context: &Context) -> Result<Option<Box<WorkerFacts>>, CallError> {
    let pods = Api::<Pod>::namespaced(context.client.clone(), &task.namespace().unwrap_or_default());
    let found = context.calls.read(pods.get_opt(name)).await?.filter(|pod| pod.metadata.uid.as_deref() == Some(uid));
    Ok(match found {
        Some(pod) if context.cache.worker_found(&pod) => context.cache.worker_of(task),
        _ => context.cache.worker_without_pod(task),
    }
    .map(Box::new))
}

/// Whether the node's Ready condition is True. An answer that did not come is asked for
/// again: a pod counts as lost only where its node does not answer.
async fn node_state(name: &str, context: &Context) -> Result<NodeState, CallError> {
    let nodes = Api::<Node>::all(context.client.clone());
    let answer = context.calls.read(nodes.get_opt(name)).await;
    context.calls.reads.rights.note(Right::GetNodes, "", &answer);
    match answer {
        Ok(Some(node)) => {
            let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
            let is_ready = conditions.iter().any(|seen| seen.type_ == "Ready" && seen.status == "True");
            Ok(if is_ready { NodeState::Answers } else { NodeState::Silent })
        }
        Ok(None) => Ok(NodeState::Silent),
        Err(CallError::Refused(_)) => Ok(NodeState::NotKnown),
        Err(error) => Err(error),
    }
}
