//! Tasks, as the watch shows them and as the answers to our own writes do. Never decides about one.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use kube::api::ObjectMeta;
use kube::runtime::reflector::ObjectRef;

use super::known_task::{KnownTask, version};
use super::{Cache, Inner, Uid, uid_of};
use crate::api::{Reason, Task};
use crate::cluster;
use crate::core::queue::QueueState;

impl Cache {
    /// The watch shows this task, in whichever version.
    pub fn is_there(&self, task: &Task) -> bool {
        self.task(&ObjectRef::from_obj(task)).is_some_and(|seen| seen.metadata.uid == task.metadata.uid)
    }

    /// The watch has shown this task, or a later version of it, whether that could be read or not.
    pub fn has_reached(&self, task: &ObjectMeta) -> bool {
        let passed_over = self.lock().passed_over.get(task.uid.as_deref().unwrap_or_default()).copied();
        if passed_over.is_some_and(|seen| seen >= cluster::version(task)) {
            return true;
        }
        let mut reference = ObjectRef::new(task.name.as_deref().unwrap_or_default());
        reference.namespace = task.namespace.clone();
        self.task(&reference).is_some_and(|seen| version(&seen) >= cluster::version(task))
    }

    /// A task as the watch shows it.
    pub fn task_seen(&self, task: &Task) {
        let mut inner = self.lock();
        let uid = uid_of(task);
        inner.passed_over.remove(&uid);
        inner.highest_seen = inner.highest_seen.max(version(task));
        inner.chunk_seen(task);
        let known = inner.known.entry(uid).or_insert_with(|| KnownTask::of(task));
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
        inner.highest_seen = inner.highest_seen.max(version(task));
        if let Some(known) = inner.known.get_mut(&uid_of(task)) {
            known.written(task);
            self.place(inner, task);
        }
    }

    /// The task changed since it was seen so. Until the watch shows how, it is not admitted; and it keeps the
    /// slot that it may hold: the refused write may have been a repetition of one that took place.
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
            None if !inner.admission.is_admitted(&uid) => self.stand(inner, &uid, QueueState::Inactive),
            None => {}
        }
    }

    /// It is known that the admission of this task took place: here it is as the API server has it.
    pub fn admission_written(&self, task: &Task) {
        let mut inner = self.lock();
        inner.assumed.remove(&uid_of(task));
        if let Some(known) = inner.known.get_mut(&uid_of(task)) {
            known.taken();
        }
        self.take_written(&mut inner, task);
        // The watch may have shown the task's end before this answer was taken in, when the task was not placed.
        let reference = inner.known.get(&uid_of(task)).map(|known| known.reference.clone());
        let seen = reference.and_then(|reference| self.task(&reference));
        if let Some(seen) = seen.filter(|seen| uid_of(seen) == uid_of(task) && version(seen) > version(task)) {
            self.place(&mut inner, &seen);
        }
    }

    /// The admission of this task was refused, for the task had changed.
    pub fn admission_outdated(&self, task: &Task) {
        let mut inner = self.lock();
        inner.assumed.remove(&uid_of(task));
        self.take_outdated(&mut inner, task);
    }

    /// The API server refused the admission of this task itself: it gives its slot back, and others come first for
    /// a while.
    pub fn admission_refused(&self, task: &Task, now: Timestamp) {
        if let Some(known) = self.lock().known.get_mut(&uid_of(task)) {
            known.refused(now);
        }
        self.not_admitted(task);
    }

    /// The admission of this task did not take place: it stands where it stood.
    pub fn not_admitted(&self, task: &Task) {
        let mut inner = self.lock();
        let uid = uid_of(task);
        inner.assumed.remove(&uid);
        let Some(known) = inner.known.get(&uid) else { return self.place_orphan(&mut inner, &uid) };
        // As it is by now: what changed meanwhile was not taken in.
        let seen = self.task(&known.reference);
        self.place(&mut inner, seen.as_deref().unwrap_or(task));
    }

    pub fn task_gone(&self, uid: &Uid) {
        let mut inner = self.lock();
        inner.passed_over.remove(uid);
        self.forget_task(&mut inner, uid);
        inner.orphan_lease(uid, Some(Reason::Deleted));
        inner.place_orphan(uid);
    }

    /// A task that is there and cannot be read: nothing is decided about it until it can be, and it holds what its
    /// children hold by their own word.
    pub fn task_passed_over(&self, task: &ObjectMeta) {
        let uid: Uid = task.uid.as_deref().unwrap_or_default().into();
        let mut inner = self.lock();
        self.forget_task(&mut inner, &uid);
        inner.passed_over.insert(uid, cluster::version(task));
    }

    /// A task went, or can no longer be read, while it was being admitted.
    pub fn admission_void(&self, uid: &Uid) {
        let mut inner = self.lock();
        inner.assumed.remove(uid);
        self.place_orphan(&mut inner, uid);
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
    /// a backup: the versions that are remembered are of no use.
    fn forget_if_restored(&self, listed: &[Arc<Task>]) {
        let mut inner = self.lock();
        let went_back = |task: &Task| inner.known.get(&uid_of(task)).is_some_and(|known| known.went_back(task));
        if listed.iter().any(|task| went_back(task)) {
            tracing::warn!("resource versions went backwards: the cluster was restored; forgets what it remembered");
            inner.known.clear();
            inner.chunks.clear();
            inner.highest_seen = 0;
            inner.assumed.clear();
            inner.told.clear();
        }
    }

    /// A look at this task failed; returns how many have, one after another.
    pub fn look_failed(&self, task: &Task) -> u32 {
        self.lock().known.get_mut(&uid_of(task)).map_or(1, KnownTask::look_failed)
    }

    pub fn look_went_well(&self, task: &Task) {
        if let Some(known) = self.lock().known.get_mut(&uid_of(task)) {
            known.look_went_well();
        }
    }
}
