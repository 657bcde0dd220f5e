//! Brings what the watches show into the cache, and tells which tasks to look at. What cannot be read hurts only
//! itself: it is there all the same, and nothing of it is taken to be gone. Never asks the API server for anything.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::SinkExt;
use futures::channel::mpsc;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;

use super::Context;
use super::cache::key_of;
use crate::api::{Task, TaskQueue, TaskSpec, TaskType};
use crate::core::queue::Key;

pub type Wake = mpsc::Sender<ObjectRef<Task>>;

/// One change of one kind of object.
#[allow(clippy::large_enum_variant, reason = "one exists at a time, and only until it is taken in")]
pub enum Change {
    Task(Event<Task>),
    Type(Event<TaskType>),
    Queue(Event<TaskQueue>),
    Job(Event<Job>),
    Pod(Event<Pod>),
    /// Something that cannot be read, by its metadata.
    Unread(Watched, Event<Box<ObjectMeta>>),
}

/// What is watched.
#[derive(Clone, Copy, Debug)]
pub enum Watched {
    Tasks,
    Types,
    Queues,
    Jobs,
    Pods,
}

/// Brings changes into the cache.
pub struct Intake {
    context: Arc<Context>,
    writer: Writer<Task>,
    wake: Wake,
    lists: Lists,
    ready: tokio::sync::watch::Sender<bool>,
}

/// What the initial list of each kind has held so far, and which kinds were listed at all.
#[derive(Default)]
struct Lists {
    /// Tasks that cannot be read.
    unread: Vec<ObjectMeta>,
    types: HashSet<Key>,
    queues: HashSet<Key>,
    jobs: HashSet<String>,
    pods: HashSet<String>,
    complete: HashSet<&'static str>,
}

const KINDS: usize = 5;

impl Intake {
    pub fn new(
        context: Arc<Context>,
        writer: Writer<Task>,
        wake: Wake,
        ready: tokio::sync::watch::Sender<bool>,
    ) -> Self {
        Self { context, writer, wake, lists: Lists::default(), ready }
    }

    pub async fn take(&mut self, change: Change) {
        let woken = match change {
            Change::Task(event) => self.task(event),
            Change::Type(event) => self.kind(event),
            Change::Queue(event) => self.queue(event),
            Change::Job(event) => self.job(event),
            Change::Pod(event) => self.pod(event),
            Change::Unread(watched, event) => self.unread(watched, event),
        };
        for task in woken {
            // Fails only when the reconciler has ended, and then nobody need be woken.
            let _ = self.wake.send(task).await;
        }
    }

    fn listed(&mut self, kind: &'static str) {
        self.lists.complete.insert(kind);
        if self.lists.complete.len() == KINDS && !*self.ready.borrow() {
            tracing::info!("knows the cluster");
            self.ready.send_replace(true);
            self.context.cache.ring_admission();
        }
    }

    fn task(&mut self, event: Event<Task>) -> Vec<ObjectRef<Task>> {
        let (cache, records) = (&self.context.cache, &self.context.records);
        // Its last version is whole here, payload included.
        if let Event::Delete(task) = &event {
            records.gone(task);
        }
        let event = event.modify(slim);
        match event {
            Event::Apply(ref task) => {
                let reference = ObjectRef::from_obj(task);
                records.seen(cache.task(&reference).as_deref(), task);
                self.writer.apply_watcher_event(&event);
                cache.task_seen(task);
                vec![reference]
            }
            Event::Delete(ref task) => {
                self.writer.apply_watcher_event(&event);
                cache.task_gone(&task.uid().unwrap_or_default().into());
                vec![]
            }
            Event::Init => {
                self.lists.unread.clear();
                self.writer.apply_watcher_event(&event);
                vec![]
            }
            // The store shows the list only when it is complete, and so do we.
            Event::InitApply(_) => {
                self.writer.apply_watcher_event(&event);
                vec![]
            }
            Event::InitDone => {
                let before = cache.tasks();
                self.writer.apply_watcher_event(&event);
                let is_unread = |task: &Task| self.lists.unread.iter().any(|unread| unread.uid == task.metadata.uid);
                let gone = before.iter().filter(|task| !cache.is_there(task) && !is_unread(task));
                gone.for_each(|task| records.gone(task));
                let before: HashMap<_, _> = before.iter().map(|task| (&task.metadata.uid, task)).collect();
                for task in cache.tasks() {
                    records.seen(before.get(&task.metadata.uid).map(|before| before.as_ref()), &task);
                }
                let all = cache.tasks_listed(&std::mem::take(&mut self.lists.unread));
                self.listed("Task");
                all
            }
        }
    }

    fn kind(&mut self, event: Event<TaskType>) -> Vec<ObjectRef<Task>> {
        let cache = &self.context.cache;
        match event {
            Event::Apply(kind) => cache.type_changed(key_of(&kind), Some(&kind)),
            Event::Delete(kind) => cache.type_changed(key_of(&kind), None),
            Event::Init => {
                self.lists.types.clear();
                vec![]
            }
            Event::InitApply(kind) => {
                self.lists.types.insert(key_of(&kind));
                cache.type_changed(key_of(&kind), Some(&kind))
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.lists.types);
                let gone = cache.known_types().into_iter().filter(|key| !listed.contains(key));
                let woken = gone.flat_map(|key| cache.type_changed(key, None)).collect();
                self.listed("TaskType");
                woken
            }
        }
    }

    fn queue(&mut self, event: Event<TaskQueue>) -> Vec<ObjectRef<Task>> {
        let cache = &self.context.cache;
        match event {
            Event::Apply(queue) => cache.queue_changed(key_of(&queue), Some(&queue)),
            Event::Delete(queue) => cache.queue_changed(key_of(&queue), None),
            Event::Init => {
                self.lists.queues.clear();
                vec![]
            }
            Event::InitApply(queue) => {
                self.lists.queues.insert(key_of(&queue));
                cache.queue_changed(key_of(&queue), Some(&queue))
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.lists.queues);
                let gone = cache.known_queues().into_iter().filter(|key| !listed.contains(key));
                let woken = gone.flat_map(|key| cache.queue_changed(key, None)).collect();
                self.listed("TaskQueue");
                woken
            }
        }
    }

    fn job(&mut self, event: Event<Job>) -> Vec<ObjectRef<Task>> {
        let cache = &self.context.cache;
        match event {
            Event::Apply(job) => cache.job_seen(&job).into_iter().collect(),
            Event::Delete(job) => cache.job_gone(&job).into_iter().collect(),
            Event::Init => {
                self.lists.jobs.clear();
                // It is asked for only when this was taken in.
                cache.jobs_list_begins();
                vec![]
            }
            Event::InitApply(job) => {
                self.lists.jobs.extend(job.uid());
                cache.job_seen(&job).into_iter().collect()
            }
            Event::InitDone => {
                let woken = cache.jobs_listed(&std::mem::take(&mut self.lists.jobs));
                self.listed("Job");
                woken
            }
        }
    }

    fn pod(&mut self, event: Event<Pod>) -> Vec<ObjectRef<Task>> {
        let cache = &self.context.cache;
        match event {
            Event::Apply(pod) => cache.pod_seen(&pod).into_iter().collect(),
            Event::Delete(pod) => cache.pod_gone(&pod).into_iter().collect(),
            Event::Init => {
                self.lists.pods.clear();
                // As for Jobs.
                cache.pods_list_begins();
                vec![]
            }
            Event::InitApply(pod) => {
                self.lists.pods.extend(pod.uid());
                cache.pod_seen(&pod).into_iter().collect()
            }
            Event::InitDone => {
                let woken = cache.pods_listed(&std::mem::take(&mut self.lists.pods));
                self.listed("Pod");
                woken
            }
        }
    }
}

/// What is there of an object, by an event about it.
enum Presence {
    There,
    OnTheList,
    Gone,
}

impl Intake {
    fn unread(&mut self, watched: Watched, event: Event<Box<ObjectMeta>>) -> Vec<ObjectRef<Task>> {
        let (metadata, presence) = match event {
            Event::Apply(metadata) => (metadata, Presence::There),
            Event::InitApply(metadata) => (metadata, Presence::OnTheList),
            Event::Delete(metadata) => (metadata, Presence::Gone),
            Event::Init | Event::InitDone => return vec![],
        };
        let cache = &self.context.cache;
        let is_gone = matches!(presence, Presence::Gone);
        match watched {
            Watched::Tasks => self.unread_task(*metadata, presence),
            // Whoever needs it waits, as for one that does not exist.
            Watched::Types => cache.type_changed(key_of(&bare(*metadata)), None),
            Watched::Queues => cache.queue_changed(key_of(&bare(*metadata)), None),
            Watched::Jobs => {
                self.lists.jobs.extend(metadata.uid.clone());
                let job = Job { metadata: *metadata, ..Job::default() };
                cache.job_in_part(&job, is_gone).into_iter().collect()
            }
            Watched::Pods => {
                self.lists.pods.extend(metadata.uid.clone());
                let pod = Pod { metadata: *metadata, ..Pod::default() };
                cache.pod_in_part(&pod, is_gone).into_iter().collect()
            }
        }
    }

    /// The store does not have it: it is not looked at until it can be read.
    fn unread_task(&mut self, metadata: ObjectMeta, presence: Presence) -> Vec<ObjectRef<Task>> {
        if matches!(presence, Presence::OnTheList) {
            self.lists.unread.push(metadata);
            return vec![];
        }
        let task = bare(metadata);
        self.writer.apply_watcher_event(&Event::Delete(task.clone()));
        match presence {
            Presence::Gone => {
                self.context.records.gone_unread(&task);
                self.context.cache.task_gone(&task.uid().unwrap_or_default().into());
            }
            Presence::There | Presence::OnTheList => self.context.cache.task_passed_over(&task.metadata),
        }
        vec![]
    }
}

fn bare(metadata: ObjectMeta) -> Task {
    Task { metadata, spec: TaskSpec::default(), status: None }
}

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Drops what no decision needs: the payload's content (its size stays), and two further copies of it.
fn slim(task: &mut Task) {
    task.metadata.managed_fields = None;
    if let Some(status) = &mut task.status {
        // Room for four was made when the first one was read.
        status.conditions.shrink_to_fit();
        status.attempts.shrink_to_fit();
    }
    task.annotations_mut().remove(LAST_APPLIED);
    task.spec.payload = task.spec.payload.take().map(|payload| payload.measured());
}
