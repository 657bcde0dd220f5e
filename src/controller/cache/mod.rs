//! All that is known of the cluster, kept up to date by the watches and by the answers to our own requests. Every
//! method is short and none waits or asks anybody, so one plain lock is enough.
//!
//! | what is remembered | since | until |
//! | --- | --- | --- |
//! | tasks, without payload | the watch shows them | they are gone, or can no longer be read |
//! | `known`: in which versions a task was seen, written and placed | it is seen | the same; or the cluster was restored |
//! | `chunks`: which tasks are chunks of which batch | a chunk is seen | it is gone |
//! | `highest_seen`: the end of every line | a task is seen or written | the cluster was restored |
//! | `passed_over`: tasks that cannot be read | the watch shows one | it can be read, or is gone |
//! | `assumed`: admissions that are being written | a pass gives a slot | what became of the write is known |
//! | `admission`: who waits and who holds a slot | with each of these | the task holds nothing, nor does a child of it |
//! | `types`, `parsed_types`, `queues` | the watch shows them | they are gone, or can no longer be read |
//! | `children`: the facts of Jobs and pods | the watch, or an answer, shows them | they are gone and no slot is held for them |
//! | `children`: owners of pods with our labels that are none of ours | the API server said so | nothing of theirs is there |
//! | `children`: Jobs that we made and pods that we asked for, before a watch shows them | our request is answered | the watch shows it, a list that began later does not, or there is no such Job to delete |
//! | `children`: the end of a pod that we asked for, or that was refused | the answer | the watch shows it; the pod is gone |
//! | `children`: a launch that was refused or not answered | the answer, or its absence | the slot is given back |
//! | `dry_runs`: what the API server makes of a type | it was asked | the type is gone, or of another generation |
//! | `dry_runs`: by how much a type's pods came out larger | a pod is shown | the same; or the answer changes |
//! | `reporters`: the task of each pod | a pod is shown | it is gone |
//! | `notices`: what statuses are to say of waits | a task has waited for a while | it no longer waits, or is not among the first |
//! | `told`: queued tasks whose status says why they wait | the watch, or an answer, shows it | it shows another reason, or they are gone |
//! | `ending`: namespaces that are being deleted | the watch shows it | they are gone |

mod admission;
pub mod children;
pub mod chunks;
mod dry_runs;
pub mod jobs_and_pods;
pub mod just_admitted;
mod known_task;
mod load;
mod namespaces;
mod queues;
mod tasks;
mod types;
mod waits;
pub mod workers;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::api::{State, Task, TaskQueue, TaskType};
use crate::core::attempt::facts::Observed;
use crate::core::attempt::needs::Answered;
use crate::core::queue::{AdmissionQueue, Key, Notices, Quota};
use crate::core::task::Earlier;
use crate::core::{Input, ParsedType, Settings};
use children::Children;
use dry_runs::DryRuns;
use known_task::KnownTask;
use workers::Workers;

pub use jobs_and_pods::ReportOf;

pub type Uid = Arc<str>;

pub struct Cache {
    tasks: Store<Task>,
    settings: Arc<Settings>,
    inner: Mutex<Inner>,
    /// Rung when admission may find something to do.
    admission: Arc<Notify>,
    /// Rung when there is a type that was not tried out.
    untried: Notify,
}

struct Inner {
    settings: Arc<Settings>,
    admission: AdmissionQueue,
    parsed_types: HashMap<Key, Arc<ParsedType>>,
    types: HashMap<Key, Arc<TaskType>>,
    dry_runs: DryRuns,
    queues: HashMap<Key, Arc<TaskQueue>>,
    known: HashMap<Uid, KnownTask>,
    /// The tasks that are chunks, by the uid of their batch.
    chunks: HashMap<Uid, HashSet<ObjectRef<Task>>>,
    /// The highest resourceVersion of a task that was seen.
    highest_seen: u64,
    children: HashMap<Uid, Children>,
    /// Tasks that are there and cannot be read, and in which version that was found.
    passed_over: HashMap<Uid, u64>,
    /// The task of each pod, by the pod's uid.
    reporters: HashMap<String, Uid>,
    /// Tasks whose admission is being written: until it is known what became of that, each is a holder,
    /// whatever else changes.
    assumed: HashSet<Uid>,
    /// Namespaces that are being deleted, and since when that is known.
    ending: HashMap<String, Timestamp>,
    /// What statuses are to say of waits.
    notices: Notices,
    /// Queued tasks whose status says why they wait.
    told: HashSet<Uid>,
    workers: Workers,
    /// The same as the cache's.
    bell: Arc<Notify>,
}

fn is_processing(task: &Task) -> bool {
    task.status.as_ref().is_some_and(|status| status.state == State::Processing)
}

fn is_queued(task: &Task) -> bool {
    task.status.as_ref().is_none_or(|status| status.state == State::Queued)
}

fn uid_of(task: &Task) -> Uid {
    task.metadata.uid.as_deref().unwrap_or_default().into()
}

/// Namespace and name of an object.
pub fn key(metadata: &ObjectMeta) -> Key {
    let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
    (text(&metadata.namespace), text(&metadata.name))
}

fn namespace_of(task: &Task) -> String {
    task.namespace().unwrap_or_default()
}

fn key_beside(task: &Task, name: &str) -> Key {
    (namespace_of(task).into(), name.into())
}

impl Cache {
    pub fn new(tasks: Store<Task>, settings: Settings) -> Self {
        let settings = Arc::new(settings);
        let (admission, untried): (Arc<Notify>, _) = (Arc::default(), Notify::new());
        let inner = Inner {
            settings: settings.clone(),
            admission: AdmissionQueue::new(settings.max_running_tasks)
                .with_default_queue(Quota::of_tasks(settings.default_queue_tasks)),
            parsed_types: HashMap::new(),
            types: HashMap::new(),
            dry_runs: DryRuns::default(),
            queues: HashMap::new(),
            known: HashMap::new(),
            chunks: HashMap::new(),
            highest_seen: 0,
            children: HashMap::new(),
            passed_over: HashMap::new(),
            reporters: HashMap::new(),
            assumed: HashSet::new(),
            ending: HashMap::new(),
            notices: Notices::default(),
            told: HashSet::new(),
            workers: Workers::default(),
            bell: admission.clone(),
        };
        Self { tasks, settings, inner: Mutex::new(inner), admission, untried }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    pub fn task(&self, task: &ObjectRef<Task>) -> Option<Arc<Task>> {
        self.tasks.get(task)
    }

    /// All tasks, as the watch shows them.
    pub fn tasks(&self) -> Vec<Arc<Task>> {
        self.tasks.state()
    }

    /// The input that the watches have shown for `task`; `None` while they still show the past, or show an admission to a worker
    /// whose answer has not been taken in: the lease begins with that, and the task is looked at again then.
    pub fn gather(&self, task: &Arc<Task>) -> Option<Input> {
        let inner = self.lock();
        let uid = uid_of(task);
        if inner.assumed.contains(&uid) && workers::names_a_lease(task) {
            return None;
        }
        let known = inner.known.get(&uid).filter(|known| known.is_current(task))?;
        let children = inner.children.get(&uid);
        Some(Input {
            task: task.clone(),
            task_type: inner.parsed_types.get(&key_beside(task, &task.spec.type_)).cloned(),
            dry_run_awaited: inner.dry_runs.awaited_until(&key_beside(task, &task.spec.type_)),
            queue: inner.admission.quota(&key_beside(task, &task.spec.queue)).cloned(),
            observed: Observed {
                worker: inner.worker_facts(task),
                ..children.map(|children| children.observed(task)).unwrap_or_default()
            },
            earlier: Earlier::NotAsked,
            record_in_doubt: false,
            first_seen: known.first_seen(task),
            highest_seen: inner.highest_seen,
            namespace_ends: inner.ending.get(&*namespace_of(task)).copied(),
            waits_for: inner.notices.of(&uid).cloned(),
            settings: self.settings.clone(),
            batch: None,
            answered: Answered::default(),
        })
    }

    pub fn reference(&self, uid: &str) -> Option<ObjectRef<Task>> {
        self.lock().known.get(uid).map(|known| known.reference.clone())
    }
}

impl Inner {
    /// Forgets the facts of children that are gone: they matter only while their task holds a slot.
    fn forget_gone_children(&mut self, uid: &Uid) {
        if let Some(children) = self.children.get_mut(uid) {
            children.forget_gone();
            if children.is_empty() {
                self.children.remove(uid);
            }
        }
    }
}

#[cfg(test)]
mod tests;
