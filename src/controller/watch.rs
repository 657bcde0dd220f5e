//! Watches everything that matters and brings it into the cache, one change after another; tells which tasks
//! to look at.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures::SinkExt;
use futures::channel::mpsc;
use futures::stream::{self, BoxStream, Stream, StreamExt, select_all};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::core::NamespaceResourceScope;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::Context;
use super::cache::key_of;
use super::readable::Readable;
use crate::api::{Task, TaskQueue, TaskType};
use crate::core::names;

/// The version is no more known.
const GONE: u16 = 410;

type Wake = mpsc::Sender<ObjectRef<Task>>;

/// One change of one kind of object.
#[allow(clippy::large_enum_variant, reason = "one exists at a time, and only until it is taken in")]
enum Change {
    Task(Event<Task>),
    Type(Event<TaskType>),
    Queue(Event<TaskQueue>),
    Job(Event<Job>),
    Pod(Event<Pod>),
}

/// Runs for ever. `ready` is told when all initial lists are complete.
pub async fn run(context: Arc<Context>, writer: Writer<Task>, wake: Wake, ready: tokio::sync::watch::Sender<bool>) {
    // Each list shows what is so when it is asked for. A streamed one may come from the past, out of an API server
    // that lags, and what is not on it yet would be taken to be gone: its attempt for lost, while its pod runs.
    let all = watcher::Config::default();
    let ours = all.clone().labels(names::LABEL_TASK_UID);
    let mut changes = select_all([
        watch(&context, &all, Change::Task),
        watch(&context, &all, Change::Type),
        watch(&context, &all, Change::Queue),
        watch(&context, &ours, Change::Job),
        watch(&context, &ours, Change::Pod),
    ]);
    let mut intake = Intake { context, writer, wake, lists: Lists::default(), ready };
    while let Some(change) = changes.next().await {
        intake.take(change).await;
    }
}

/// One kind of object, watched without end: errors are told and the watch begins anew after a pause.
fn watch<K>(context: &Context, config: &watcher::Config, change: fn(Event<K>) -> Change) -> BoxStream<'static, Change>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let client = context.client.clone();
    let api = match &context.namespace {
        Some(namespace) => Api::<Readable<K>>::namespaced(client, namespace),
        None => Api::all(client),
    };
    let metrics = context.metrics.clone();
    endless(api, config.clone())
        .default_backoff()
        .filter_map(move |event| {
            let event = match event {
                Ok(event) => readable(event).map(change),
                Err(error) => {
                    metrics.watch_failed(&K::kind(&()));
                    tracing::warn!(kind = %K::kind(&()), %error, "watch failed; begins anew");
                    None
                }
            };
            std::future::ready(event)
        })
        .boxed()
}

/// kube's watcher asks for the same version for ever where a watch is refused outright for its age. Such a one is
/// replaced by a new one, which begins with a list.
fn endless<K>(api: Api<K>, config: watcher::Config) -> impl Stream<Item = watcher::Result<Event<K>>>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let begin = move || watcher(api.clone(), config.clone()).boxed();
    stream::unfold((begin(), begin), async |(mut watch, begin)| {
        let event = watch.next().await?;
        if matches!(&event, Err(watcher::Error::WatchStartFailed(kube::Error::Api(why))) if why.code == GONE) {
            watch = begin();
        }
        Some((event, (watch, begin)))
    })
}

/// An object that cannot be read hurts only itself: it is told of, and passed over.
fn readable<K: Resource<DynamicType = ()>>(event: Event<Readable<K>>) -> Option<Event<K>> {
    let read = |object: Readable<K>| match object.0 {
        Ok(object) => Some(object),
        Err(error) => {
            let name = error.metadata.name.as_deref().unwrap_or_default();
            tracing::error!(kind = %K::kind(&()), namespace = error.metadata.namespace, name, error = error.error, "cannot be read; passed over");
            None
        }
    };
    Some(match event {
        Event::Apply(object) => Event::Apply(read(object)?),
        Event::Delete(object) => Event::Delete(read(object)?),
        Event::InitApply(object) => Event::InitApply(read(object)?),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    })
}

/// Brings changes into the cache.
struct Intake {
    context: Arc<Context>,
    writer: Writer<Task>,
    wake: Wake,
    lists: Lists,
    ready: tokio::sync::watch::Sender<bool>,
}

/// What the initial list of each kind has held so far, and which kinds were listed at all.
#[derive(Default)]
struct Lists {
    types: HashSet<crate::core::queue::Key>,
    queues: HashSet<crate::core::queue::Key>,
    jobs: HashSet<String>,
    pods: HashSet<String>,
    complete: HashSet<&'static str>,
}

const KINDS: usize = 5;

impl Intake {
    async fn take(&mut self, change: Change) {
        let woken = match change {
            Change::Task(event) => self.task(event),
            Change::Type(event) => self.kind(event),
            Change::Queue(event) => self.queue(event),
            Change::Job(event) => self.job(event),
            Change::Pod(event) => self.pod(event),
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
            // The store shows the list only when it is complete, and so do we.
            Event::Init | Event::InitApply(_) => {
                self.writer.apply_watcher_event(&event);
                vec![]
            }
            Event::InitDone => {
                let before = cache.tasks();
                self.writer.apply_watcher_event(&event);
                before.iter().filter(|task| !cache.is_there(task)).for_each(|task| records.gone(task));
                let all = cache.tasks_listed();
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
