//! What the operator knows of the cluster, kept up to date by the watches and by the answers to its own requests. Every
//! method is short and none waits or asks anybody, so one plain lock is enough.
//!
//! | what is remembered | since | until |
//! | --- | --- | --- |
//! | tasks, without payload | the watch shows them | they are gone, or cannot be read any more |
//! | `known`: in which versions a task was seen, written and placed | it is seen | the same; or the cluster was restored |
//! | `passed_over`: tasks that cannot be read | the watch shows one | it can be read, or is gone |
//! | `assumed`: admissions that are being written | a pass gives a slot | what became of the write is known |
//! | `admission`: who waits and who holds a slot | with each of these | the task holds nothing, nor does a child of it |
//! | `types`, `kinds`, `queues` | the watch shows them | they are gone, or cannot be read any more |
//! | `children`: the facts of Jobs and pods | the watch, or an answer, shows them | they are gone and no slot is held for them |
//! | of these, who owns what is called ours and is not | the API server said so | nothing of it is there |
//! | of these, Jobs that we made, and pods that we asked for, and nobody has shown | our request is answered | the watch shows it, a list that began later does not, or there is no such Job to delete |
//! | of these, that a launch was refused or not answered | the answer, or that there is none | the slot is given back |
//! | `reporters`: whose pods these are | a pod is shown | it is gone |
//! | `ending`: namespaces that are being deleted | the watch shows it | they are gone |

pub mod children;
pub mod jobs_and_pods;
pub mod just_admitted;
mod tasks;
pub mod types_and_queues;
pub mod versions;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::Notify;

use crate::api::{Priority, State, Task, TaskQueue, TaskType};
use crate::core::attempt;
use crate::core::attempt::needs::Answered;
use crate::core::attempt::others;
use crate::core::queue::{AdmissionQueue, Key, Pass, PendingTask, QueueState, Quota, queue_state};
use crate::core::task::{Earlier, asks_the_archive};
use crate::core::{Input, ParsedType, Settings};
use children::Children;
use versions::{Known, version};

pub use jobs_and_pods::ReportOf;

pub type Uid = Arc<str>;

pub struct Cache {
    tasks: Store<Task>,
    settings: Arc<Settings>,
    inner: Mutex<Inner>,
    /// Rung when admission may find something to do.
    admission: Arc<Notify>,
}

struct Inner {
    admission: AdmissionQueue,
    parsed_types: HashMap<Key, Arc<ParsedType>>,
    types: HashMap<Key, Arc<TaskType>>,
    queues: HashMap<Key, Arc<TaskQueue>>,
    known: HashMap<Uid, Known>,
    children: HashMap<Uid, Children>,
    /// Tasks that are there and cannot be read, and in which version that was found.
    passed_over: HashMap<Uid, u64>,
    /// Whose pods these are, by the pods' uids.
    reporters: HashMap<String, Uid>,
    /// Tasks whose admission is being written: until it is known what became of that, each is a holder,
    /// whatever else changes.
    assumed: HashSet<Uid>,
    /// Namespaces that are being deleted.
    ending: HashSet<String>,
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

pub fn key_of(object: &impl ResourceExt) -> Key {
    (object.namespace().unwrap_or_default().into(), object.name_any().into())
}

fn namespace_of(task: &Task) -> String {
    task.namespace().unwrap_or_default()
}

fn key_beside(task: &Task, name: &str) -> Key {
    (namespace_of(task).into(), name.into())
}

impl Cache {
    pub fn new(tasks: Store<Task>, settings: Settings) -> Self {
        let inner = Inner {
            admission: AdmissionQueue::new(settings.max_running_tasks)
                .with_default_queue(Quota::of_tasks(settings.default_queue_tasks)),
            parsed_types: HashMap::new(),
            types: HashMap::new(),
            queues: HashMap::new(),
            known: HashMap::new(),
            children: HashMap::new(),
            passed_over: HashMap::new(),
            reporters: HashMap::new(),
            assumed: HashSet::new(),
            ending: HashSet::new(),
        };
        Self { tasks, settings: Arc::new(settings), inner: Mutex::new(inner), admission: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when admission may find something to do.
    pub async fn admission_may_go_on(&self) {
        self.admission.notified().await;
    }

    pub fn ring_admission(&self) {
        self.admission.notify_one();
    }

    pub fn task(&self, task: &ObjectRef<Task>) -> Option<Arc<Task>> {
        self.tasks.get(task)
    }

    /// All tasks, as the watch shows them.
    pub fn tasks(&self) -> Vec<Arc<Task>> {
        self.tasks.state()
    }

    /// Tells admission the state of a task, and wakes it where that is news: a slot may have become free.
    fn stand(&self, inner: &mut Inner, uid: &Uid, state: QueueState) {
        if inner.admission.set(uid, state) {
            self.ring_admission();
        }
    }

    /// Puts a task where it stands.
    fn place(&self, inner: &mut Inner, task: &Task) {
        let uid = uid_of(task);
        // One whose admission is being written is not placed, so that the answer to that is news whatever it says.
        if inner.assumed.contains(&uid) || inner.known.get_mut(&uid).is_some_and(|known| !known.is_news(task)) {
            return;
        }
        // Admission keeps the copy that is kept here.
        let uid = inner.known.get_key_value(&uid).map_or(uid, |(known, _)| known.clone());
        let state = inner.queue_state(task, &self.settings);
        self.stand(inner, &uid, state);
        if !is_processing(task) {
            inner.forget_gone_children(&uid);
        }
    }

    /// Nothing is known of this task but what its children say.
    fn forget_task(&self, inner: &mut Inner, uid: &Uid) {
        inner.known.remove(uid);
        inner.assumed.remove(uid);
        inner.forget_gone_children(uid);
        self.place_orphan(inner, uid);
    }

    /// A slot is held until the pod has ended or is gone, also when its task is no more.
    fn place_orphan(&self, inner: &mut Inner, uid: &Uid) {
        let reservation = inner.children.get(uid).and_then(Children::reservation);
        self.stand(inner, uid, reservation.map_or(QueueState::Inactive, QueueState::Admitted));
    }

    fn place_if_current(&self, inner: &mut Inner, task: &Task) {
        if inner.known.get(&uid_of(task)).is_some_and(|known| known.is_current(task)) {
            self.place(inner, task);
        }
    }

    /// What the watches have shown of `task` and beside it; `None` while they still show the past.
    pub fn gather(&self, task: &Arc<Task>) -> Option<Input> {
        let inner = self.lock();
        let uid = uid_of(task);
        let known = inner.known.get(&uid).filter(|known| known.is_current(task))?;
        let children = inner.children.get(&uid);
        Some(Input {
            task: task.clone(),
            task_type: inner.parsed_types.get(&key_beside(task, &task.spec.type_)).cloned(),
            queue: inner.admission.quota(&key_beside(task, &task.spec.queue)).cloned(),
            observed: children.map(|children| children.observed(task)).unwrap_or_default(),
            earlier: Earlier::NotAsked,
            record_in_doubt: false,
            first_seen: known.first_seen(task),
            namespace_ends: inner.ending.contains(&*namespace_of(task)),
            settings: self.settings.clone(),
            answered: Answered::default(),
        })
    }

    /// Nothing stands against this task's beginning that the archive would have to be asked for.
    pub fn may_begin(&self, task: &Task) -> bool {
        self.lock().may_begin(task)
    }

    /// The archive knows of no earlier task that has had this run: it is admitted like any other task.
    pub fn never_ran(&self, task: &Task) {
        let mut inner = self.lock();
        let Some(known) = inner.known.get_mut(&uid_of(task)) else { return };
        known.never_ran(task);
        if known.is_current(task) {
            self.place(&mut inner, task);
        }
    }

    /// The entry of `task` in admission, where it is pending.
    pub fn pending(&self, task: &Task) -> Option<PendingTask> {
        let inner = self.lock();
        inner.known.get(&uid_of(task))?;
        match inner.queue_state(task, &self.settings) {
            QueueState::Pending(pending) => Some(pending),
            QueueState::Admitted(_) | QueueState::Inactive => None,
        }
    }

    pub fn admit(&self, now: Timestamp) -> Pass {
        let mut inner = self.lock();
        let pass = inner.admission.admit(now);
        inner.assumed.extend(pass.admitted.iter().map(|pending| pending.order.uid().clone()));
        pass
    }

    pub fn reference(&self, uid: &str) -> Option<ObjectRef<Task>> {
        self.lock().known.get(uid).map(|known| known.reference.clone())
    }

    /// How many wait, by priority, and how many hold a slot.
    pub fn depth(&self) -> ([usize; Priority::COUNT], usize) {
        let inner = self.lock();
        (inner.admission.depth(), inner.admission.running())
    }
}

impl Inner {
    /// Where a task stands with admission, by all that is known beside it.
    fn queue_state(&self, task: &Task, settings: &Settings) -> QueueState {
        let kind = self.parsed_types.get(&key_beside(task, &task.spec.type_)).map(Arc::as_ref);
        let first_seen = self.known.get(&uid_of(task)).map_or_else(|| version(task), |known| known.first_seen(task));
        let held_until = self.known.get(&uid_of(task)).and_then(Known::held_until);
        let state = queue_state(task, kind, first_seen, settings).not_before(held_until);
        // What holds the slot of a task that is left alone is not among the children that are known here.
        if task.metadata.deletion_timestamp.is_some() && !attempt::is_left_alone(task) {
            return state.of_deleted_task(self.children.get(&uid_of(task)).and_then(Children::reservation));
        }
        let begins = self.may_begin(task) && !self.ending.contains(&*namespace_of(task));
        if begins && !self.is_forestalled(task, first_seen) { state } else { state.in_deleted_namespace() }
    }

    fn is_forestalled(&self, task: &Task, first_seen: u64) -> bool {
        let children = self.children.get(&uid_of(task)).filter(|_| is_queued(task));
        children.is_some_and(|children| others::is_forestalled(task, &children.observed(task), first_seen))
    }

    fn may_begin(&self, task: &Task) -> bool {
        !asks_the_archive(task) || self.known.get(&uid_of(task)).is_some_and(|known| known.is_first_of_its_run(task))
    }

    /// What was and is gone matters only while its task holds a slot.
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
