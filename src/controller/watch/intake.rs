//! Brings what the watches show into the cache, and tells which tasks to look at. What cannot be read hurts only
//! itself: it is there all the same, and nothing of it is taken to be gone. Never asks the API server for anything.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
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

use crate::api::{Task, TaskQueue, TaskType};
use crate::controller::cache::{Cache, key_of};
use crate::controller::record::Records;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Watched {
    Tasks,
    Types,
    Queues,
    Jobs,
    Pods,
}

/// As many kinds there are.
const KINDS: usize = 5;

impl Change {
    /// The kind of which a whole list has been shown with this.
    fn completes(&self) -> Option<Watched> {
        match self {
            Self::Task(Event::InitDone) => Some(Watched::Tasks),
            Self::Type(Event::InitDone) => Some(Watched::Types),
            Self::Queue(Event::InitDone) => Some(Watched::Queues),
            Self::Job(Event::InitDone) => Some(Watched::Jobs),
            Self::Pod(Event::InitDone) => Some(Watched::Pods),
            _ => None,
        }
    }
}

pub(super) type Woken = Vec<ObjectRef<Task>>;

/// Brings changes into the cache.
pub struct Intake {
    pub(super) cache: Arc<Cache>,
    pub(super) records: Arc<Records>,
    pub(super) writer: Writer<Task>,
    pub(super) wake: Wake,
    pub(super) lists: Lists,
    pub(super) ready: tokio::sync::watch::Sender<bool>,
}

/// What the initial list of each kind has held so far, and which kinds were listed at all.
#[derive(Default)]
pub(super) struct Lists {
    /// Tasks that cannot be read.
    pub(super) unread: Vec<ObjectMeta>,
    pub(super) types: HashSet<Key>,
    pub(super) queues: HashSet<Key>,
    pub(super) jobs: HashSet<String>,
    pub(super) pods: HashSet<String>,
    pub(super) complete: HashSet<Watched>,
}

impl Intake {
    pub fn new(
        cache: Arc<Cache>,
        records: Arc<Records>,
        writer: Writer<Task>,
        wake: Wake,
        ready: tokio::sync::watch::Sender<bool>,
    ) -> Self {
        Self { cache, records, writer, wake, lists: Lists::default(), ready }
    }

    pub async fn take(&mut self, change: Change) {
        let complete = change.completes();
        let woken = match change {
            Change::Task(event) => self.task(event),
            Change::Type(event) => self.kind(event),
            Change::Queue(event) => self.queue(event),
            Change::Job(event) => self.job(event),
            Change::Pod(event) => self.pod(event),
            Change::Unread(watched, event) => self.unread(watched, event),
        };
        if let Some(watched) = complete {
            self.listed(watched);
        }
        for task in woken {
            // Fails only when the reconciler has ended, and then nobody need be woken.
            let _ = self.wake.send(task).await;
        }
    }

    fn listed(&mut self, watched: Watched) {
        self.lists.complete.insert(watched);
        if self.lists.complete.len() == KINDS && !*self.ready.borrow() {
            tracing::info!("knows the cluster");
            self.ready.send_replace(true);
            self.cache.ring_admission();
        }
    }

    fn task(&mut self, event: Event<Task>) -> Woken {
        // Its last version is whole here, payload included.
        if let Event::Delete(task) = &event {
            self.records.gone(task);
        }
        let event = event.modify(slim);
        if let Event::InitDone = event {
            return self.tasks_listed();
        }
        let cache = &self.cache;
        // Of what is seen one after another, the store shows the latest; a list only when it is complete.
        if let Event::Apply(task) = &event {
            self.records.seen(cache.task(&ObjectRef::from_obj(task)).as_deref(), task);
        }
        self.writer.apply_watcher_event(&event);
        match event {
            Event::Apply(task) => {
                cache.task_seen(&task);
                vec![ObjectRef::from_obj(&task)]
            }
            Event::Delete(task) => {
                cache.task_gone(&task.uid().unwrap_or_default().into());
                vec![]
            }
            Event::Init => {
                self.lists.unread.clear();
                vec![]
            }
            Event::InitApply(_) | Event::InitDone => vec![],
        }
    }

    /// The store shows a list only when it is complete, and so do we.
    fn tasks_listed(&mut self) -> Woken {
        let (cache, records) = (&self.cache, &self.records);
        let before = cache.tasks();
        self.writer.apply_watcher_event(&Event::InitDone);
        let is_unread = |task: &Task| self.lists.unread.iter().any(|unread| unread.uid == task.metadata.uid);
        let gone = before.iter().filter(|task| !cache.is_there(task) && !is_unread(task));
        gone.for_each(|task| records.gone(task));
        let before: HashMap<_, _> = before.iter().map(|task| (&task.metadata.uid, task)).collect();
        for task in cache.tasks() {
            records.seen(before.get(&task.metadata.uid).map(|before| before.as_ref()), &task);
        }
        cache.tasks_listed(&std::mem::take(&mut self.lists.unread))
    }

    fn kind(&mut self, event: Event<TaskType>) -> Woken {
        let cache = &self.cache;
        let changed = |kind: &TaskType, there: bool| cache.type_changed(key_of(kind), there.then_some(kind));
        beside(event, &mut self.lists.types, key_of, changed, |listed| cache.types_listed(listed))
    }

    fn queue(&mut self, event: Event<TaskQueue>) -> Woken {
        let cache = &self.cache;
        let changed = |queue: &TaskQueue, there: bool| cache.queue_changed(key_of(queue), there.then_some(queue));
        beside(event, &mut self.lists.queues, key_of, changed, |listed| cache.queues_listed(listed))
    }

    fn job(&mut self, event: Event<Job>) -> Woken {
        let cache = &self.cache;
        if matches!(event, Event::Init) {
            // The list is asked for only when this was taken in.
            cache.jobs_list_begins();
        }
        let changed = |job: &Job, there| if there { cache.job_seen(job) } else { cache.job_gone(job) };
        beside(event, &mut self.lists.jobs, uid_of, changed, |listed| cache.jobs_listed(listed))
    }

    fn pod(&mut self, event: Event<Pod>) -> Woken {
        let cache = &self.cache;
        if matches!(event, Event::Init) {
            cache.pods_list_begins();
        }
        let changed = |pod: &Pod, there| if there { cache.pod_seen(pod) } else { cache.pod_gone(pod) };
        beside(event, &mut self.lists.pods, uid_of, changed, |listed| cache.pods_listed(listed))
    }
}

/// Takes in a change of what is kept beside the tasks: `changed` for each object that is there, or no more, and
/// `listed` for a whole list.
fn beside<K, Name: Eq + Hash, W: IntoIterator<Item = ObjectRef<Task>>>(
    event: Event<K>,
    list: &mut HashSet<Name>,
    name: impl Fn(&K) -> Name,
    changed: impl Fn(&K, bool) -> W,
    listed: impl FnOnce(&HashSet<Name>) -> Woken,
) -> Woken {
    match event {
        Event::Apply(object) => changed(&object, true).into_iter().collect(),
        Event::Delete(object) => changed(&object, false).into_iter().collect(),
        Event::Init => {
            list.clear();
            vec![]
        }
        Event::InitApply(object) => {
            list.insert(name(&object));
            changed(&object, true).into_iter().collect()
        }
        Event::InitDone => listed(&std::mem::take(list)),
    }
}

fn uid_of(object: &impl ResourceExt) -> String {
    object.uid().unwrap_or_default()
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
