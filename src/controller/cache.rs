//! What the operator knows of the cluster, kept up to date by the watches.
//!
//! Whole Tasks (without their payloads) are in the reflector's store; here are the facts about their
//! children, the types and queues, and the admission board. Every method is short and none waits, so one
//! plain lock is enough.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::Notify;

use super::children::{Child, Children};
use super::known::{Known, version, version_of};
use crate::api::{Priority, State, Task, TaskQueue, TaskType};
use crate::core::observe::{JobFacts, Observed, PodFacts, Trouble};

use crate::core::lifecycle::{self, Hearing};
use crate::core::queue::{Board, Candidate, Capacity, Key, Pass, Standing, Summary, standing};
use crate::core::{Kind, Settings, Surroundings, names, policy};
use crate::live::Speaker;

pub type Uid = Arc<str>;

pub struct Cache {
    tasks: Store<Task>,
    settings: Settings,
    inner: Mutex<Inner>,
    /// Rung when admission may find something to do.
    admission: Arc<Notify>,
}

struct Inner {
    board: Board,
    kinds: HashMap<Key, Arc<Kind>>,
    types: HashMap<Key, Arc<TaskType>>,
    queues: HashMap<Key, Arc<TaskQueue>>,
    known: HashMap<Uid, Known>,
    children: HashMap<Uid, Children>,
    /// Tasks that are there and cannot be read, and in which version that was found.
    passed_over: HashMap<Uid, u64>,
    /// Whose pods these are, by the pods' uids.
    speakers: HashMap<String, Uid>,
    /// Tasks whose admission is being written: until it is known what became of that, each is a holder,
    /// whatever else changes.
    assumed: HashSet<Uid>,
    /// Namespaces that are being deleted.
    ending: HashSet<String>,
}

/// Whose word it is.
pub enum Heard {
    /// It is at work on this task.
    Present(Arc<Task>),
    /// Its attempt is over, or its task is gone.
    Over,
    Stranger,
    /// It was not seen yet.
    Unknown,
    /// The watch still shows the past.
    TooSoon,
}

/// What a decision about a task is based on.
pub struct Gathered {
    pub kind: Option<Arc<Kind>>,
    pub queue: Option<Capacity>,
    pub observed: Observed,
    pub record_in_doubt: bool,
    first_seen: u64,
    namespace_ends: bool,
}

impl Gathered {
    pub fn surroundings<'a>(&'a self, settings: &'a Settings) -> Surroundings<'a> {
        Surroundings {
            kind: self.kind.as_deref(),
            queue: self.queue.as_ref(),
            observed: &self.observed,
            record_in_doubt: self.record_in_doubt,
            first_seen: self.first_seen,
            namespace_ends: self.namespace_ends,
            settings,
        }
    }
}

fn is_final(task: &Task) -> bool {
    task.status.as_ref().is_some_and(|status| status.state.is_final())
}

fn is_processing(task: &Task) -> bool {
    task.status.as_ref().is_some_and(|status| status.state == State::Processing)
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

/// The task that a Job or pod belongs to, by the label that we put there.
pub fn task_uid(child: &impl ResourceExt) -> Option<Uid> {
    child.labels().get(names::LABEL_TASK_UID).map(|uid| uid.as_str().into())
}

impl Cache {
    pub fn new(tasks: Store<Task>, settings: Settings) -> Self {
        let inner = Inner {
            board: Board::new(settings.max_running_tasks)
                .with_default_queue(Capacity::of_tasks(settings.default_queue_tasks)),
            kinds: HashMap::new(),
            types: HashMap::new(),
            queues: HashMap::new(),
            known: HashMap::new(),
            children: HashMap::new(),
            passed_over: HashMap::new(),
            speakers: HashMap::new(),
            assumed: HashSet::new(),
            ending: HashSet::new(),
        };
        Self { tasks, settings, inner: Mutex::new(inner), admission: Arc::default() }
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

    /// The watch shows this task, in whichever version.
    pub fn is_there(&self, task: &Task) -> bool {
        self.task(&ObjectRef::from_obj(task)).is_some_and(|seen| seen.metadata.uid == task.metadata.uid)
    }

    /// The watch has shown this task, or a later version of it, whether that could be read or not.
    pub fn has_reached(&self, task: &ObjectMeta) -> bool {
        let passed_over = self.lock().passed_over.get(task.uid.as_deref().unwrap_or_default()).copied();
        if passed_over.is_some_and(|seen| seen >= version_of(task)) {
            return true;
        }
        let mut reference = ObjectRef::new(task.name.as_deref().unwrap_or_default());
        reference.namespace = task.namespace.clone();
        self.task(&reference).is_some_and(|seen| version(&seen) >= version_of(task))
    }

    /// A task as the watch shows it.
    pub fn task_seen(&self, task: &Task) {
        let mut inner = self.lock();
        let uid = uid_of(task);
        inner.passed_over.remove(&uid);
        let known = inner.known.entry(uid).or_insert_with(|| Known::of(task));
        known.seen(task);
        if known.is_current(task) {
            self.place(&mut inner, task);
        }
    }

    /// A task as the API server returned it from a write of ours: the watch will show it later.
    pub fn task_written(&self, task: &Task) {
        self.take_written(&mut self.lock(), task);
    }

    fn take_written(&self, inner: &mut Inner, task: &Task) {
        if let Some(known) = inner.known.get_mut(&uid_of(task)) {
            known.written(task);
            self.place(inner, task);
        }
    }

    /// The task changed since it was seen so. Until the watch shows how, it is no candidate; and it keeps the
    /// slot that it may hold, for the write that was refused may have been the echo of one that took place.
    pub fn task_outdated(&self, task: &Task) {
        self.take_outdated(&mut self.lock(), task);
    }

    fn take_outdated(&self, inner: &mut Inner, task: &Task) {
        let uid = uid_of(task);
        let Some(known) = inner.known.get_mut(&uid) else { return };
        known.outdated(task);
        let seen = self.task(&known.reference).filter(|seen| version(seen) > version(task));
        match seen {
            Some(seen) => self.place(inner, &seen),
            None if !inner.board.holds(&uid) => inner.board.place(&uid, Standing::Neither),
            None => {}
        }
    }

    /// It is known that the admission of this task took place: here it is as the API server has it.
    pub fn admission_written(&self, task: &Task) {
        let mut inner = self.lock();
        inner.assumed.remove(&uid_of(task));
        self.take_written(&mut inner, task);
    }

    /// The admission of this task was refused, for the task had changed.
    pub fn admission_outdated(&self, task: &Task) {
        let mut inner = self.lock();
        inner.assumed.remove(&uid_of(task));
        self.take_outdated(&mut inner, task);
    }

    /// The admission of this task did not take place: it stands where it stood.
    pub fn not_admitted(&self, task: &Task) {
        let mut inner = self.lock();
        let uid = uid_of(task);
        inner.assumed.remove(&uid);
        let Some(known) = inner.known.get(&uid) else { return inner.place_orphan(&uid) };
        // As it is by now: what changed meanwhile was not taken in.
        let seen = self.task(&known.reference);
        self.place(&mut inner, seen.as_deref().unwrap_or(task));
    }

    pub fn task_gone(&self, uid: &Uid) {
        let mut inner = self.lock();
        inner.passed_over.remove(uid);
        inner.forget_task(uid);
        self.ring_admission();
    }

    /// A task that is there and cannot be read: nothing is decided about it until it can be, and it holds what its
    /// children hold by their own word.
    pub fn task_passed_over(&self, task: &ObjectMeta) {
        let uid: Uid = task.uid.as_deref().unwrap_or_default().into();
        let mut inner = self.lock();
        inner.forget_task(&uid);
        inner.passed_over.insert(uid, version_of(task));
        self.ring_admission();
    }

    /// A task went, or could not be read any more, while it was being admitted.
    pub fn admission_void(&self, uid: &Uid) {
        let mut inner = self.lock();
        inner.assumed.remove(uid);
        inner.place_orphan(uid);
        self.ring_admission();
    }

    /// The list of tasks is complete and in the store: all on it are placed, and what is not on it is gone.
    pub fn tasks_listed(&self, passed_over: &[ObjectMeta]) -> Vec<ObjectRef<Task>> {
        let tasks = self.tasks.state();
        let unread = passed_over.iter().map(|task| task.uid.as_deref().unwrap_or_default().into());
        let listed: HashSet<Uid> = tasks.iter().map(|task| uid_of(task)).chain(unread).collect();
        let gone: Vec<Uid> = {
            let inner = self.lock();
            let all = inner.known.keys().chain(inner.children.keys()).chain(inner.passed_over.keys());
            all.filter(|uid| !listed.contains(*uid)).cloned().collect()
        };
        gone.iter().for_each(|uid| self.task_gone(uid));
        passed_over.iter().for_each(|task| self.task_passed_over(task));
        self.forget_if_restored(&tasks);
        tasks.iter().for_each(|task| self.task_seen(task));
        tasks.iter().map(|task| ObjectRef::from_obj(task.as_ref())).collect()
    }

    /// A whole list that shows a task older than it was seen before comes from a cluster that was restored from
    /// a backup: what is remembered of versions speaks of a future that never was.
    fn forget_if_restored(&self, listed: &[Arc<Task>]) {
        let mut inner = self.lock();
        let went_back = |task: &Task| inner.known.get(&uid_of(task)).is_some_and(|known| known.went_back(task));
        if listed.iter().any(|task| went_back(task)) {
            tracing::warn!("resource versions went backwards: the cluster was restored; forgets what it remembered");
            inner.known.clear();
            inner.assumed.clear();
        }
    }

    /// Puts a task where it stands, and rings admission where that may open a door.
    fn place(&self, inner: &mut Inner, task: &Task) {
        let uid = uid_of(task);
        // One whose admission is being written is not placed, so that the answer to that is news whatever it says.
        if inner.assumed.contains(&uid) || inner.known.get_mut(&uid).is_some_and(|known| !known.is_news(task)) {
            return;
        }
        // The board keeps the copy that is kept here.
        let uid = inner.known.get_key_value(&uid).map_or(uid, |(known, _)| known.clone());
        let standing = inner.standing(task, &self.settings);
        inner.board.place(&uid, standing);
        if !is_processing(task) {
            inner.forget_gone_children(&uid);
        }
        self.ring_admission();
    }

    fn place_if_current(&self, inner: &mut Inner, task: &Task) {
        if inner.known.get(&uid_of(task)).is_some_and(|known| known.is_current(task)) {
            self.place(inner, task);
        }
    }

    /// What a decision about `task` is based on; `None` while the watch still shows the past.
    pub fn gather(&self, task: &Task) -> Option<Gathered> {
        let inner = self.lock();
        let uid = uid_of(task);
        let known = inner.known.get(&uid).filter(|known| known.is_current(task))?;
        let children = inner.children.get(&uid);
        Some(Gathered {
            kind: inner.kinds.get(&key_beside(task, &task.spec.type_)).cloned(),
            queue: inner.board.capacity(&key_beside(task, &task.spec.queue)).cloned(),
            observed: children.map(|children| children.observed(&uid)).unwrap_or_default(),
            record_in_doubt: false,
            first_seen: known.first_seen(),
            namespace_ends: inner.ending.contains(&*namespace_of(task)),
        })
    }

    /// Takes in a type as it is now; returns the tasks to look at for it. A change of its status alone
    /// concerns nobody.
    pub fn type_changed(&self, key: Key, kind: Option<&TaskType>) -> Vec<ObjectRef<Task>> {
        let mut inner = self.lock();
        let read = kind.map(|kind| Arc::new(Kind::of(kind)));
        let before = match (&read, kind) {
            (Some(read), Some(kind)) => {
                inner.types.insert(key.clone(), Arc::new(kind.clone()));
                inner.kinds.insert(key.clone(), read.clone())
            }
            _ => {
                inner.types.remove(&key);
                inner.kinds.remove(&key)
            }
        };
        if before == read {
            return vec![];
        }
        match read.as_ref().map(|kind| &kind.spec) {
            Some(spec) => inner.board.bound_type(key.clone(), spec.max_concurrent, spec.max_concurrent_per_kb_id),
            None => inner.board.forget_type(key.clone()),
        }
        self.place_concerned(&mut inner, |task| key == key_beside(task, &task.spec.type_))
    }

    /// Takes in a queue as it is now; returns the tasks to look at for it.
    pub fn queue_changed(&self, key: Key, queue: Option<&TaskQueue>) -> Vec<ObjectRef<Task>> {
        let mut inner = self.lock();
        match queue {
            Some(queue) => inner.queues.insert(key.clone(), Arc::new(queue.clone())),
            None => inner.queues.remove(&key),
        };
        let before = inner.board.capacity(&key).cloned();
        inner.board.bound_queue(key.clone(), queue.map(|queue| Capacity::of(&queue.spec)));
        if inner.board.capacity(&key) == before.as_ref() {
            return vec![];
        }
        self.place_concerned(&mut inner, |task| key == key_beside(task, &task.spec.queue))
    }

    /// Takes in that a namespace is being deleted, or is gone.
    pub fn namespace_changed(&self, name: String, ends: bool) {
        let mut inner = self.lock();
        let changed = if ends { inner.ending.insert(name.clone()) } else { inner.ending.remove(&name) };
        if changed {
            tracing::info!(
                namespace = name,
                ends,
                "a namespace is being deleted, or gone: nothing is begun while it ends"
            );
            self.place_concerned(&mut inner, |task| namespace_of(task) == name);
        }
    }

    /// The list of namespaces is complete, and these of them are being deleted.
    pub fn namespaces_listed(&self, ending: &HashSet<String>) {
        let known: Vec<_> = self.lock().ending.difference(ending).cloned().collect();
        known.into_iter().for_each(|name| self.namespace_changed(name, false));
        ending.iter().for_each(|name| self.namespace_changed(name.clone(), true));
    }

    /// The candidate that `task` is now, if it is one.
    pub fn candidate(&self, task: &Task) -> Option<Candidate> {
        let inner = self.lock();
        inner.known.get(&uid_of(task))?;
        match inner.standing(task, &self.settings) {
            Standing::Candidate(candidate) => Some(candidate),
            Standing::Holder(_) | Standing::Neither => None,
        }
    }

    /// The types or queues that exist, after their initial list; for finding out which are gone.
    pub fn known_types(&self) -> Vec<Key> {
        self.lock().kinds.keys().cloned().collect()
    }

    pub fn known_queues(&self) -> Vec<Key> {
        self.lock().queues.keys().cloned().collect()
    }

    pub fn types(&self) -> Vec<Arc<TaskType>> {
        self.lock().types.values().cloned().collect()
    }

    /// Each queue with what waits in it and what runs from it.
    pub fn queues(&self) -> Vec<(Arc<TaskQueue>, Summary)> {
        let inner = self.lock();
        let mut summaries: HashMap<Key, Summary> = HashMap::new();
        for task in self.tasks.state().iter().filter(|task| !inner.queues.is_empty() && !is_final(task)) {
            let kind = inner.kinds.get(&key_beside(task, &task.spec.type_)).map(|kind| &kind.spec);
            summaries
                .entry(key_beside(task, &task.spec.queue))
                .or_default()
                .count(task, policy::priority(&task.spec, kind));
        }
        let queues = inner.queues.iter();
        queues.map(|(key, queue)| (queue.clone(), summaries.remove(key).unwrap_or_default())).collect()
    }

    /// Places anew all unfinished tasks that something they depend on has changed for.
    fn place_concerned(&self, inner: &mut Inner, concerned: impl Fn(&Task) -> bool) -> Vec<ObjectRef<Task>> {
        let tasks = self.tasks.state();
        let concerned: Vec<_> = tasks.iter().filter(|task| !is_final(task) && concerned(task)).collect();
        concerned.iter().for_each(|task| self.place_if_current(inner, task));
        self.ring_admission();
        concerned.into_iter().map(|task| ObjectRef::from_obj(task.as_ref())).collect()
    }

    pub fn job_seen(&self, job: &Job) -> Option<ObjectRef<Task>> {
        let facts = JobFacts::of(job);
        self.child_changed(job, |children| children.job_seen(facts))
    }

    /// A Job that we have just made, or that the API server was asked for.
    pub fn job_found(&self, job: &Job) {
        let facts = JobFacts::of(job);
        self.child_changed(job, |children| children.job_found(facts));
    }

    /// A Job that can be read in part only, or could before it went.
    pub fn job_in_part(&self, job: &Job, gone: bool) -> Option<ObjectRef<Task>> {
        let facts = JobFacts { gone, ..JobFacts::of(job) };
        self.child_changed(job, |children| children.job_in_part(facts))
    }

    pub fn pod_in_part(&self, pod: &Pod, gone: bool) -> Option<ObjectRef<Task>> {
        let facts = PodFacts { gone_at: gone.then(Timestamp::now), ..PodFacts::of(pod) };
        if gone {
            self.lock().speakers.remove(&facts.uid);
        }
        self.child_changed(pod, |children| children.pod_in_part(facts))
    }

    pub fn pod_seen(&self, pod: &Pod) -> Option<ObjectRef<Task>> {
        let facts = PodFacts::of(pod);
        self.may_speak(pod);
        self.child_changed(pod, |children| children.pod_seen(facts))
    }

    /// A pod that the API server was asked for; false when it is none of ours.
    pub fn pod_found(&self, pod: &Pod) -> bool {
        let facts = PodFacts::of(pod);
        self.child_changed(pod, |children| children.pod_found(facts));
        self.may_speak(pod)
    }

    fn may_speak(&self, pod: &Pod) -> bool {
        let whose = pod.uid().zip(task_uid(pod));
        whose.map(|(pod, task)| self.lock().speakers.insert(pod, task)).is_some()
    }

    /// Whether a pod may speak, and of which task.
    pub fn heard(&self, speaker: &Speaker) -> Heard {
        let inner = self.lock();
        let Some(uid) = inner.speakers.get(&speaker.uid) else { return Heard::Unknown };
        let Some(known) = inner.known.get(uid) else { return Heard::Over };
        let task = self.task(&known.reference).filter(|task| known.is_current(task) && uid_of(task) == *uid);
        let Some(task) = task else { return Heard::TooSoon };
        // Whoever may make pods elsewhere may call them ours.
        if namespace_of(&task) != speaker.namespace {
            return Heard::Stranger;
        }
        let observed = inner.children.get(uid).map(|children| children.observed(uid)).unwrap_or_default();
        match lifecycle::hearing(&task, &observed, &speaker.uid) {
            Hearing::Present => Heard::Present(task),
            Hearing::Over => Heard::Over,
            Hearing::Stranger => Heard::Stranger,
        }
    }

    pub fn job_gone(&self, job: &Job) -> Option<ObjectRef<Task>> {
        let facts = JobFacts { gone: true, ..JobFacts::of(job) };
        self.child_changed(job, |children| children.job_seen(facts))
    }

    pub fn pod_gone(&self, pod: &Pod) -> Option<ObjectRef<Task>> {
        let facts = PodFacts { gone_at: Some(Timestamp::now()), ..PodFacts::of(pod) };
        self.lock().speakers.remove(&facts.uid);
        self.child_changed(pod, |children| children.pod_seen(facts))
    }

    /// A list of Jobs begins: what is found from here on may not be on it.
    pub fn jobs_list_begins(&self) {
        self.lock().children.values_mut().for_each(Children::jobs_list_begins);
    }

    /// The initial list of Jobs is complete: what is not on it is gone.
    pub fn jobs_listed(&self, listed: &HashSet<String>) -> Vec<ObjectRef<Task>> {
        self.children_listed(|children| children.jobs_listed(listed))
    }

    pub fn pods_listed(&self, listed: &HashSet<String>) -> Vec<ObjectRef<Task>> {
        let now = Timestamp::now();
        self.lock().speakers.retain(|pod, _| listed.contains(pod));
        self.children_listed(|children| children.pods_listed(listed, now))
    }

    fn children_listed(&self, change: impl Fn(&mut Children) -> bool) -> Vec<ObjectRef<Task>> {
        let mut inner = self.lock();
        let changed: Vec<Uid> =
            inner.children.iter_mut().filter_map(|(uid, children)| change(children).then(|| uid.clone())).collect();
        changed.iter().filter_map(|uid| self.after_child(&mut inner, uid)).collect()
    }

    fn child_changed(&self, child: &impl ResourceExt, change: impl FnOnce(&mut Children)) -> Option<ObjectRef<Task>> {
        let uid = task_uid(child)?;
        let mut inner = self.lock();
        change(inner.children.entry(uid.clone()).or_default());
        self.after_child(&mut inner, &uid)
    }

    fn after_child(&self, inner: &mut Inner, uid: &Uid) -> Option<ObjectRef<Task>> {
        match inner.known.get(uid).map(|known| known.reference.clone()) {
            Some(reference) => {
                let task = self.task(&reference);
                if !task.as_deref().is_some_and(is_processing) && !inner.board.holds(uid) {
                    inner.forget_gone_children(uid);
                }
                // What holds the slot of a task that is being deleted is its children.
                let deleted = task.filter(|task| task.metadata.deletion_timestamp.is_some());
                deleted.inspect(|task| self.place_if_current(inner, task));
                Some(reference)
            }
            None => {
                inner.forget_gone_children(uid);
                inner.place_orphan(uid);
                self.ring_admission();
                None
            }
        }
    }

    /// We had this Job of the task's deleted; the watch will show it later.
    pub fn job_deleted(&self, task: &Task, uid: &str) {
        let mut inner = self.lock();
        if let Some(children) = inner.children.get_mut(&uid_of(task)) {
            children.job_deleted(uid);
        }
    }

    /// There is no such Job of the task's any more.
    pub fn job_not_there(&self, task: &Task, uid: &str) {
        let mut inner = self.lock();
        if let Some(children) = inner.children.get_mut(&uid_of(task)) {
            children.job_not_there(uid);
        }
        self.after_child(&mut inner, &uid_of(task));
    }

    /// The API server refused the Job of the task's present attempt.
    pub fn launch_refused(&self, task: &Task, why: Trouble) {
        self.launched(task, |children| children.launch_refused(why));
    }

    /// It did not say whether it made that Job.
    pub fn launch_unanswered(&self, task: &Task, why: Trouble) {
        self.launched(task, |children| children.launch_unanswered(why, Timestamp::now()));
    }

    fn launched(&self, task: &Task, outcome: impl FnOnce(&mut Children)) {
        let mut inner = self.lock();
        let uid = uid_of(task);
        // Of one that is gone meanwhile nobody would ever forget it.
        if inner.known.contains_key(&uid) {
            outcome(inner.children.entry(uid).or_default());
        }
    }

    /// A look at this task failed; returns how many have, one after another.
    pub fn look_failed(&self, task: &Task) -> u32 {
        self.lock().known.get_mut(&uid_of(task)).map_or(1, Known::look_failed)
    }

    pub fn look_went_well(&self, task: &Task) {
        if let Some(known) = self.lock().known.get_mut(&uid_of(task)) {
            known.look_went_well();
        }
    }

    pub fn admit(&self, now: Timestamp) -> Pass {
        let mut inner = self.lock();
        let pass = inner.board.admit(now);
        inner.assumed.extend(pass.admitted.iter().map(|candidate| candidate.order.uid().clone()));
        pass
    }

    pub fn kind_of(&self, task: &Task) -> Option<Arc<Kind>> {
        self.lock().kinds.get(&key_beside(task, &task.spec.type_)).cloned()
    }

    pub fn reference(&self, uid: &str) -> Option<ObjectRef<Task>> {
        self.lock().known.get(uid).map(|known| known.reference.clone())
    }

    /// How many wait, by priority, and how many hold a slot.
    pub fn depth(&self) -> ([usize; Priority::COUNT], usize) {
        let inner = self.lock();
        (inner.board.depth(), inner.board.running())
    }

    /// Jobs and pods of ours that are there and whose task is not, as far as it was seen.
    pub fn orphans(&self) -> HashSet<Child> {
        let inner = self.lock();
        let is_there = |uid: &Uid| inner.known.contains_key(uid) || inner.passed_over.contains_key(uid);
        let strangers = inner.children.iter().filter(|(uid, _)| !is_there(uid));
        strangers.flat_map(|(_, children)| children.present()).collect()
    }
}

impl Inner {
    /// Where a task stands with admission, by all that is known beside it.
    fn standing(&self, task: &Task, settings: &Settings) -> Standing {
        let kind = self.kinds.get(&key_beside(task, &task.spec.type_)).map(Arc::as_ref);
        let first_seen = self.known.get(&uid_of(task)).map_or_else(|| version(task), Known::first_seen);
        let standing = standing(task, kind, first_seen, settings);
        if task.metadata.deletion_timestamp.is_some() {
            return standing.while_deleted(self.children.get(&uid_of(task)).and_then(Children::holding));
        }
        if self.ending.contains(&*namespace_of(task)) { standing.where_nothing_begins() } else { standing }
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

    /// Nothing is known of this task but what its children say.
    fn forget_task(&mut self, uid: &Uid) {
        self.known.remove(uid);
        self.assumed.remove(uid);
        self.forget_gone_children(uid);
        self.place_orphan(uid);
    }

    /// A slot is held until the pod has ended or is gone, also when its task is no more.
    fn place_orphan(&mut self, uid: &Uid) {
        let holding = self.children.get(uid).and_then(Children::holding);
        self.board.place(uid, holding.map_or(Standing::Neither, Standing::Holder));
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
