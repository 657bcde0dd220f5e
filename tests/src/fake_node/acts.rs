//! The actions of the fake components: each reacts to one kind of change.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{BoxStream, select_all};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event as Change};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use task_manager::api::Task;
use tokio::task::JoinSet;

use super::{Outcome, Stage, Start, pods};

const TASK_UID: &str = "taskmanager.dev/task-uid";
const ITEMS: &str = "taskmanager.dev/items";
const BATCH: &str = "taskmanager.dev/batch";
const JOB_NAME: &str = "batch.kubernetes.io/job-name";

enum Seen {
    Job(Box<Change<Job>>),
    Pod(Box<Change<Pod>>),
    Task(Box<Change<Task>>),
}

/// Runs until it is aborted, and then takes all acts along.
pub async fn play(stage: Arc<Stage>) {
    let mut seen = changes(&stage);
    let mut players = Players {
        stage,
        acts: JoinSet::new(),
        jobs: HashSet::new(),
        bare: HashSet::new(),
        ending: HashSet::new(),
        deadlines: HashSet::new(),
    };
    while let Some(change) = seen.next().await {
        match change {
            Seen::Job(change) => players.job(*change),
            Seen::Pod(change) => players.pod(*change),
            Seen::Task(change) => players.task(*change),
        }
        while players.acts.try_join_next().is_some() {}
    }
}

/// The running actions, and the objects that they have handled already.
struct Players {
    stage: Arc<Stage>,
    acts: JoinSet<()>,
    jobs: HashSet<Option<String>>,
    bare: HashSet<Option<String>>,
    ending: HashSet<Option<String>>,
    /// Pods whose deadlines are kept, each with its deadline.
    deadlines: HashSet<(Option<String>, i64)>,
}

impl Players {
    fn job(&mut self, change: Change<Job>) {
        match change {
            Change::Apply(job) | Change::InitApply(job) => self.job_seen(job),
            Change::Delete(job) => drop(self.acts.spawn(take_pods_along(self.stage.clone(), job))),
            Change::Init | Change::InitDone => {}
        }
    }

    fn job_seen(&mut self, job: Job) {
        if is_suspended(&job) {
            self.jobs.remove(&job.uid());
            self.acts.spawn(take_pods_along(self.stage.clone(), job));
        } else if self.jobs.insert(job.uid()) && job.metadata.deletion_timestamp.is_none() {
            self.acts.spawn(run(self.stage.clone(), job));
        }
    }

    fn pod(&mut self, change: Change<Pod>) {
        let (Change::Apply(pod) | Change::InitApply(pod)) = change else { return };
        let is_deleted = pod.metadata.deletion_timestamp.is_some();
        if let Some((due, seconds)) = pods::deadline(&pod).filter(|_| !is_deleted)
            && self.deadlines.insert((pod.uid(), seconds))
        {
            self.acts.spawn(keep_deadline(self.stage.clone(), pod.clone(), due, seconds));
        }
        if is_deleted && self.ending.insert(pod.uid()) {
            self.acts.spawn(end(self.stage.clone(), pod));
        } else if pods::is_bare(&pod) && !is_deleted && !pods::is_over(&pod) && self.bare.insert(pod.uid()) {
            self.acts.spawn(run_bare(self.stage.clone(), pod));
        }
    }

    fn task(&mut self, change: Change<Task>) {
        let Change::Delete(task) = change else { return };
        self.acts.spawn(take_children_along(self.stage.clone(), task));
    }
}

fn changes(stage: &Stage) -> futures::stream::SelectAll<BoxStream<'static, Seen>> {
    let ours = watcher::Config::default().labels(TASK_UID);
    let namespace = &stage.namespace;
    let all = watcher::Config::default();
    select_all([
        told(watcher::watcher(namespace.jobs(), ours.clone()), Seen::Job),
        told(watcher::watcher(namespace.pods(), ours), Seen::Pod),
        told(watcher::watcher(namespace.tasks(), all), Seen::Task),
    ])
}

fn told<K: Send + 'static>(
    stream: impl futures::Stream<Item = watcher::Result<Change<K>>> + Send + 'static,
    seen: fn(Box<Change<K>>) -> Seen,
) -> BoxStream<'static, Seen> {
    stream.filter_map(move |change| std::future::ready(change.ok().map(Box::new).map(seen))).boxed()
}

/// The Job controller makes the pod, the kubelet runs it, and the Job controller sees its end.
async fn run(stage: Arc<Stage>, job: Job) {
    let task = job.owner_references().first().map(|owner| owner.name.clone()).unwrap_or_default();
    let of_pod = job.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref()?.annotations.as_ref());
    let outcome = stage.next_outcome(&task, of_pod.and_then(|annotations| annotations.get(ITEMS)));
    if let Outcome::NoPod(why) = &outcome {
        return cannot_make_pod(&stage, &job, why).await;
    }
    let unscheduled = outcome == Outcome::Unschedulable;
    let mut pod = pods::of_job(&job, !unscheduled);
    pod.spec.iter_mut().for_each(|spec| spec.containers.extend(stage.script().injected.clone()));
    let Ok(pod) = stage.namespace.pods().create(&PostParams::default(), &pod).await else { return };
    if let Some(succeeded) = live(&stage, &task, &job.name_any(), &pod, outcome).await {
        finish(&stage, &job.name_any(), job.uid(), succeeded).await;
    }
}

/// The scheduler binds a bare pod, and the kubelet runs it.
async fn run_bare(stage: Arc<Stage>, pod: Pod) {
    let (task, name) = (pods::task_of(&pod), pod.name_any());
    let outcome = stage.next_outcome(&task, pod.annotations().get(ITEMS));
    if outcome != Outcome::Unschedulable {
        let (all, how) = (stage.namespace.pods(), PostParams::default());
        if all.create_subresource::<_, Value>("binding", &name, &how, &pods::binding(&pod)).await.is_err() {
            return;
        }
    }
    live(&stage, &task, &name, &pod, outcome).await;
}

/// A pod lives to its end; whether it succeeded, where the script told of that end.
async fn live(stage: &Stage, task: &str, launched_as: &str, pod: &Pod, outcome: Outcome) -> Option<bool> {
    let (task_name, job, pod_name) = (task.to_owned(), launched_as.to_owned(), pod.name_any());
    stage.script().starts.push(Start { task: task_name, job, pod: pod_name, at: Timestamp::now() });
    let outcome = perform(stage, task, pod, outcome).await;
    let now = stage.namespace.pods().get_opt(&pod.name_any()).await.ok().flatten();
    let is_over = now.as_ref().is_none_or(|now| pods::is_over(now) || now.uid() != pod.uid());
    let is_told = !is_over && report(stage, pod, pods::ended(pod, &outcome)).await;
    is_told.then_some(matches!(outcome, Outcome::Succeed(_)))
}

/// Plays everything before the end; returns the end.
async fn perform(stage: &Stage, task: &str, pod: &Pod, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Hold => {
            report(stage, pod, pods::running(pod)).await;
            stage.told(task).await
        }
        Outcome::HelperStays(code) => {
            report(stage, pod, pods::running(pod)).await;
            report(stage, pod, pods::work_ended(pod, code)).await;
            stage.told(task).await
        }
        Outcome::After(time, then) => {
            report(stage, pod, pods::running(pod)).await;
            tokio::time::sleep(time).await;
            *then
        }
        Outcome::Waiting(reason) => {
            report(stage, pod, pods::waiting(pod, &reason)).await;
            stage.told(task).await
        }
        Outcome::Unschedulable => {
            report(stage, pod, pods::unschedulable()).await;
            stage.told(task).await
        }
        outcome => outcome,
    }
}

/// The kubelet writes a pod's status; false when the pod is gone or another of its name.
async fn report(stage: &Stage, pod: &Pod, status: Value) -> bool {
    let patch = json!({"metadata": {"uid": pod.uid()}, "status": status});
    stage.namespace.pods().patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await.is_ok()
}

/// The Job controller writes its verdict.
async fn finish(stage: &Stage, job: &str, uid: Option<String>, succeeded: bool) {
    let patch = json!({"metadata": {"uid": uid}, "status": pods::job_status(succeeded)});
    let _ = stage.namespace.jobs().patch_status(job, &PatchParams::default(), &Patch::Merge(patch)).await;
}

async fn cannot_make_pod(stage: &Stage, job: &Job, why: &str) {
    let event: Event = serde_json::from_value(json!({
        "metadata": {"name": format!("{}.no-pod", job.name_any()), "namespace": stage.namespace.name},
        "involvedObject": {"apiVersion": "batch/v1", "kind": "Job", "name": job.name_any(), "uid": job.uid(),
            "namespace": stage.namespace.name},
        "reason": "FailedCreate", "message": why, "type": "Warning",
        "firstTimestamp": pods::now(), "lastTimestamp": pods::now(), "count": 1,
        "source": {"component": "job-controller"},
    }))
    .expect("an event");
    let _ = stage.namespace.api::<Event>().create(&PostParams::default(), &event).await;
}

/// The kubelet ends a pod whose deadline is over, unless it has ended or is deleted; the Job controller counts it as failed.
async fn keep_deadline(stage: Arc<Stage>, pod: Pod, due: Timestamp, seconds: i64) {
    let left = due.duration_since(Timestamp::now());
    tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
    stage.no_longer_lingering(&pods::task_of(&pod)).await;
    let Ok(Some(now)) = stage.namespace.pods().get_opt(&pod.name_any()).await else { return };
    let is_lowered = pods::deadline(&now).is_some_and(|(_, in_force)| in_force < seconds);
    if now.uid() != pod.uid() || is_lowered || pods::is_over(&now) || now.metadata.deletion_timestamp.is_some() {
        return;
    }
    if report(&stage, &now, pods::ended_by_its_deadline(&now)).await
        && let Some(job) = pods::job_of(&now)
    {
        finish(&stage, &job.name, Some(job.uid.clone()), false).await;
    }
}

/// The kubelet ends a pod that was deleted, and removes it; the Job controller counts it as failed.
async fn end(stage: Arc<Stage>, pod: Pod) {
    stage.no_longer_lingering(&pods::task_of(&pod)).await;
    let phase = pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
    match phase.as_str() {
        "Running" => drop(report(&stage, &pod, pods::ended(&pod, &Outcome::exit(143))).await),
        // One that nobody keeps is gone before anybody reads how it ended.
        "Pending" if !pod.finalizers().is_empty() => drop(report(&stage, &pod, json!({"phase": "Failed"})).await),
        _ => {}
    }
    let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    let _ = stage.namespace.pods().delete(&pod.name_any(), &at_once).await;
    let job = pods::job_of(&pod).filter(|_| !matches!(phase.as_str(), "Succeeded" | "Failed"));
    if let Some(job) = job
        && !is_suspended_now(&stage, &job.name).await
    {
        finish(&stage, &job.name, Some(job.uid.clone()), false).await;
    }
}

fn is_suspended(job: &Job) -> bool {
    job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true))
}

async fn is_suspended_now(stage: &Stage, job: &str) -> bool {
    stage.namespace.jobs().get_opt(job).await.ok().flatten().is_some_and(|job| is_suspended(&job))
}

/// The garbage collector; and the Job controller, of a Job that is suspended.
async fn take_pods_along(stage: Arc<Stage>, job: Job) {
    let of_job = ListParams::default().labels(&format!("{JOB_NAME}={}", job.name_any()));
    let Ok(pods) = stage.namespace.pods().list(&of_job).await else { return };
    for pod in pods.items.iter().filter(|pod| is_owned_by(*pod, &job)) {
        let _ = stage.namespace.pods().delete(&pod.name_any(), &DeleteParams::default()).await;
    }
}

async fn take_children_along(stage: Arc<Stage>, task: Task) {
    let of_task = ListParams::default().labels(&format!("{TASK_UID}={}", task.uid().unwrap_or_default()));
    let chunks = stage.namespace.tasks().list(&ListParams::default().labels(BATCH)).await;
    for chunk in chunks.iter().flatten().filter(|chunk| is_owned_by(*chunk, &task)) {
        let _ = stage.namespace.tasks().delete(&chunk.name_any(), &DeleteParams::background()).await;
    }
    let (jobs, pods) = (stage.namespace.jobs(), stage.namespace.pods());
    let (Ok(of_jobs), Ok(of_pods)) = (jobs.list(&of_task).await, pods.list(&of_task).await) else { return };
    for job in of_jobs.items.iter().filter(|job| is_owned_by(*job, &task)) {
        let _ = jobs.delete(&job.name_any(), &DeleteParams::background()).await;
    }
    for pod in of_pods.items.iter().filter(|pod| is_owned_by(*pod, &task)) {
        let _ = pods.delete(&pod.name_any(), &DeleteParams::default()).await;
    }
}

fn is_owned_by(child: &impl Resource, owner: &impl Resource) -> bool {
    let mut owners = child.meta().owner_references.iter().flatten();
    owners.any(|reference| Some(&reference.uid) == owner.meta().uid.as_ref())
}
