//! Tells admission the state of each task: whether it waits, holds a slot, or neither. `core` says which.

use std::sync::Arc;

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;

use super::children::Children;
use super::known_task::{KnownTask, version};
use super::{Cache, Inner, Uid, is_processing, is_queued, key_beside, namespace_of, uid_of};
use crate::api::{Priority, Task};
use crate::core::Settings;
use crate::core::attempt;
use crate::core::attempt::others;
use crate::core::queue::{Pass, PendingTask, QueueState, queue_state};
use crate::core::task::asks_the_archive;

fn is_final(task: &Task) -> bool {
    task.status.as_ref().is_some_and(|status| status.state.is_final())
}

impl Cache {
    /// Resolves when admission may find something to do.
    pub async fn admission_may_go_on(&self) {
        self.admission.notified().await;
    }

    pub fn ring_admission(&self) {
        self.admission.notify_one();
    }

    /// Tells admission the state of a task, and wakes it where that is news: a slot may have become free.
    pub(super) fn stand(&self, inner: &mut Inner, uid: &Uid, state: QueueState) {
        if inner.admission.set(uid, state) {
            self.ring_admission();
            // Its pool may need another worker.
            inner.workers.pools_changed();
        }
    }

    /// Puts a task where it stands.
    pub(super) fn place(&self, inner: &mut Inner, task: &Task) {
        let uid = uid_of(task);
        // While its admission is being written it is not placed, so that the answer to that is news whatever it says.
        if inner.assumed.contains(&uid) || inner.known.get_mut(&uid).is_some_and(|known| !known.is_news(task)) {
            return;
        }
        // Admission keeps the copy that is kept here.
        let uid = inner.known.get_key_value(&uid).map_or(uid, |(known, _)| known.clone());
        let state = inner.queue_state(task, &self.settings);
        self.stand(inner, &uid, state);
        inner.take_in_lease(&uid, task);
        inner.see_what_it_says(&uid, task);
        if !is_processing(task) {
            inner.forget_gone_children(&uid);
        }
    }

    /// Nothing is known of this task but what its children say.
    pub(super) fn forget_task(&self, inner: &mut Inner, uid: &Uid) {
        if let Some(KnownTask { reference, chunk_of: Some(batch), .. }) = inner.known.remove(uid) {
            inner.chunk_gone(&batch, &reference);
        }
        inner.assumed.remove(uid);
        inner.told.remove(uid);
        inner.forget_gone_children(uid);
        inner.orphan_lease(uid, None);
        self.place_orphan(inner, uid);
    }

    /// A slot is held until the pod has ended or is gone, also when its task is gone.
    pub(super) fn place_orphan(&self, inner: &mut Inner, uid: &Uid) {
        inner.release_grant(uid);
        inner.place_orphan(uid);
    }

    pub(super) fn place_if_current(&self, inner: &mut Inner, task: &Task) {
        if inner.known.get(&uid_of(task)).is_some_and(|known| known.is_current(task)) {
            self.place(inner, task);
        }
    }

    /// Places anew all unfinished tasks that something they depend on has changed for.
    pub(super) fn place_concerned(&self, inner: &mut Inner, concerned: impl Fn(&Task) -> bool) -> Vec<ObjectRef<Task>> {
        let tasks = self.tasks.state();
        let concerned: Vec<_> = tasks.iter().filter(|task| !is_final(task) && concerned(task)).collect();
        concerned.iter().for_each(|task| self.place_if_current(inner, task));
        self.ring_admission();
        inner.workers.pools_changed();
        concerned.into_iter().map(|task| ObjectRef::from_obj(task.as_ref())).collect()
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
        inner.take_in_grants(&pass);
        if pass.promoted {
            inner.workers.pools_changed();
        }
        inner.assumed.extend(pass.admitted.iter().map(|grant| grant.task.order.uid().clone()));
        pass
    }

    /// How many wait, by priority, and how many hold a slot.
    pub fn depth(&self) -> ([usize; Priority::COUNT], usize) {
        let inner = self.lock();
        (inner.admission.depth(), inner.admission.running())
    }
}

impl Inner {
    /// A slot is held until the pod has ended or is gone, or the worker has dropped the task, also when its task is gone.
    pub(super) fn place_orphan(&mut self, uid: &Uid) {
        let of_children = self.children.get(uid).and_then(Children::reservation);
        let reservation = of_children.or_else(|| self.orphan_reservation(uid));
        if self.admission.set(uid, reservation.map_or(QueueState::Inactive, QueueState::Admitted)) {
            self.bell.notify_one();
        }
    }

    /// Where a task stands with admission, by all that is known beside it.
    fn queue_state(&self, task: &Task, settings: &Settings) -> QueueState {
        let task_type = self.parsed_types.get(&key_beside(task, &task.spec.type_)).map(Arc::as_ref);
        let first_seen = self.known.get(&uid_of(task)).map_or_else(|| version(task), |known| known.first_seen(task));
        let held_until = self.known.get(&uid_of(task)).and_then(KnownTask::held_until);
        let held_until = held_until.max(self.dry_runs.awaited_until(&key_beside(task, &task.spec.type_)));
        let state = queue_state(task, task_type, first_seen, settings).not_before(held_until);
        let surplus = self.children.get(&uid_of(task)).and_then(|children| children.surplus(task));
        let state = surplus.into_iter().fold(state, |state, surplus| state.with_surplus(&surplus));
        // The holder of the slot of a task that is left alone is not among the children that are known here.
        if task.metadata.deletion_timestamp.is_some() && !attempt::is_left_alone(task) {
            let of_children = self.children.get(&uid_of(task)).and_then(Children::reservation);
            return state.of_deleted_task(of_children.or_else(|| self.held_by_a_worker(task)));
        }
        let begins = self.may_begin(task) && !self.ending.contains_key(&*namespace_of(task));
        if begins && !self.is_forestalled(task, first_seen) { state } else { state.in_deleted_namespace() }
    }

    fn is_forestalled(&self, task: &Task, first_seen: u64) -> bool {
        let children = self.children.get(&uid_of(task)).filter(|_| is_queued(task));
        children.is_some_and(|children| others::is_forestalled(task, &children.observed(task), first_seen))
    }

    fn may_begin(&self, task: &Task) -> bool {
        !asks_the_archive(task) || self.known.get(&uid_of(task)).is_some_and(|known| known.is_first_of_its_run(task))
    }
}
