//! The leases of workers, as the statuses of tasks say who has which; and what is known of a worker for the decision about its task.

use std::sync::Arc;

use jiff::Timestamp;

use super::super::known_task::KnownTask;
use super::super::{Cache, Inner, Uid, is_processing, uid_of};
use super::{Granted, KnownWorker, Lease, Slot, Workers};
use crate::api::{AdmittedWorker, AttemptOutcome, Reason, Task};
use crate::core::attempt::admitted_at;
use crate::core::attempt::facts::worker::{HandedOut, ToldToStop, WorkerFacts};
use crate::core::attempt::id::AttemptId;
use crate::core::attempt::lease;
use crate::core::attempt::lease::{Kept, NotKept};
use crate::core::queue::{Key, Pass, Reservation};

/// The lease that the task's status names.
fn named(task: &Task) -> Option<&AdmittedWorker> {
    is_processing(task).then_some(())?;
    task.status.as_ref()?.admitted.as_ref()?.worker.as_ref()
}

pub(in crate::controller::cache) fn names_a_lease(task: &Task) -> bool {
    named(task).is_some()
}

impl Inner {
    /// Takes in who holds the task's lease by its status. What waits for the end of a lease goes on.
    pub(in crate::controller::cache) fn take_in_lease(&mut self, uid: &Uid, task: &Task) {
        let attempt = AttemptId::of(task);
        let present = named(task);
        self.workers.note_ended_with_several(task);
        let is_it =
            |lease: &Lease| lease.attempt == attempt && present.is_some_and(|named| *named.uid == *lease.worker);
        if let Some(lease) = self.workers.leases.get_mut(uid).filter(|lease| is_it(lease)) {
            lease.orphan = None;
            self.workers.granted.remove(uid);
            return;
        }
        if let Some(before) = self.workers.leases.get(uid) {
            let kept =
                lease::kept(task, &before.attempt, before.word.as_ref().and_then(|word| word.outcome.ended_for()))
                    .unwrap_or(Kept::No(NotKept::Over));
            let outcome = ended(task, before.attempt.attempt);
            self.workers.note_outcome(uid, outcome);
            self.end_lease(uid, kept);
        }
        match present {
            Some(named) => {
                self.workers.begin_lease(uid, attempt, named, task);
                self.offer_slots_of(&Uid::from(named.uid.as_str()));
            }
            None => self.release_grant(uid),
        }
    }

    /// The admission of this task did not take place: its worker is free for others.
    pub(in crate::controller::cache) fn release_grant(&mut self, uid: &Uid) {
        let Some(Granted { worker, slot, .. }) = self.workers.granted.remove(uid) else { return };
        self.workers.empty(&worker, slot, uid, None);
        self.offer(&worker, slot);
    }

    /// The lease of this task is over. Its worker is free for others once it asks.
    pub(super) fn end_lease(&mut self, uid: &Uid, kept: Kept) {
        let Some(ended) = self.workers.leases.remove(uid) else { return };
        self.workers.past.insert(ended.name, kept);
        ended.over.notify_waiters();
        self.workers.empty(&ended.worker, ended.slot, uid, Some(Timestamp::now()));
        self.workers.forget_if_gone(&ended.worker);
        match ended.is_alone {
            true => self.offer_slots_of(&ended.worker),
            false => self.offer(&ended.worker, ended.slot),
        }
        self.workers.changed.notify_one();
    }

    /// Offers each slot of a worker that is free, and withdraws the others.
    pub(super) fn offer_slots_of(&mut self, worker: &Uid) {
        let Some(known) = self.workers.workers.get(worker) else { return };
        let slots: Vec<u8> = known.slots.keys().copied().collect();
        slots.into_iter().for_each(|slot| self.offer(worker, slot));
    }

    /// The task of a lease is gone. Its slot in the queue is held until the worker has dropped it, unless it never got it.
    pub(in crate::controller::cache) fn orphan_lease(&mut self, uid: &Uid, told: Option<Reason>) {
        let Some(lease) = self.workers.leases.get_mut(uid) else { return self.release_grant(uid) };
        if lease.handed_out == HandedOut::NotYet {
            return self.end_lease(uid, Kept::No(NotKept::Cancelled));
        }
        if let Some(why) = told {
            lease.told_to_stop.get_or_insert(ToldToStop { why, since: Timestamp::now(), fetched_at: None });
        }
        let worker = lease.worker.clone();
        let held = lease.orphan.take().or_else(|| self.admission.reservation(uid));
        if let Some(lease) = self.workers.leases.get_mut(uid) {
            lease.orphan = held;
        }
        if self.workers.workers.get(&worker).is_none_or(|worker| worker.pod.is_gone()) {
            self.end_lease(uid, Kept::No(NotKept::Over));
        }
        self.workers.changed.notify_one();
    }

    /// The slot that a lease holds whose task is gone.
    pub(in crate::controller::cache) fn orphan_reservation(&self, uid: &Uid) -> Option<Reservation> {
        self.workers.leases.get(uid)?.orphan.clone()
    }

    /// The slot of a task that is being deleted, while a worker holds it.
    pub(in crate::controller::cache) fn held_by_a_worker(&self, task: &Task) -> Option<Reservation> {
        self.workers.leases.get(&uid_of(task)).and_then(|_| self.admission.reservation(&uid_of(task)))
    }

    /// Offers a worker's slot to admission where it is free, and withdraws it where it is not.
    pub(super) fn offer(&mut self, worker: &Uid, slot: u8) {
        match self.workers.free(worker, slot) {
            Some((pool, offered, idle_since)) => {
                self.admission.worker_is_free(&pool, offered, idle_since);
                self.bell.notify_one();
            }
            None => self.withdraw(worker, slot),
        }
    }

    fn withdraw(&mut self, worker: &Uid, slot: u8) {
        if let Some(known) = self.workers.workers.get(worker) {
            self.admission.worker_is_not_free(&known.pool, worker, slot);
        }
    }

    /// The slots that a pass gave are no longer free.
    pub(in crate::controller::cache) fn take_in_grants(&mut self, pass: &Pass) {
        for grant in &pass.admitted {
            let Some((_, slot)) = &grant.worker else { continue };
            let task = grant.task.order.uid().clone();
            let seen_at = self.known.get(&task).map(KnownTask::seen_at);
            let came_at = seen_at.max(grant.task.ready_at);
            let state = self.workers.workers.get_mut(&slot.uid).and_then(|known| known.slots.get_mut(&slot.slot));
            let was_free = state.as_ref().is_some_and(|state| came_at.is_some_and(|came| state.idle_since <= came));
            state.into_iter().for_each(|state| state.task = Some(task.clone()));
            let granted = Granted { worker: slot.uid.clone(), slot: slot.slot, was_free };
            self.workers.granted.insert(task, granted);
        }
    }

    /// What is known of the worker that holds the task; `None` where the task has none, or where nobody has looked for it yet.
    pub(in crate::controller::cache) fn worker_facts(&self, task: &Task) -> Option<WorkerFacts> {
        let named = named(task)?;
        let lease = self.workers.leases.get(&*uid_of(task)).filter(|lease| *lease.worker == *named.uid)?;
        let known = self.workers.workers.get(&lease.worker)?;
        Some(WorkerFacts { pod: Some(known.pod.clone()), ..self.workers.facts(lease) })
    }
}

impl Cache {
    /// What is known of the worker that holds the task.
    pub fn worker_of(&self, task: &Task) -> Option<WorkerFacts> {
        self.lock().worker_facts(task)
    }

    /// The API server was asked for the worker of this task, and has no such pod.
    pub fn worker_without_pod(&self, task: &Task) -> Option<WorkerFacts> {
        let inner = self.lock();
        inner.workers.leases.get(&uid_of(task)).map(|lease| inner.workers.facts(lease))
    }

    /// The log that the worker handed in with the end of the task's present attempt.
    pub fn handed_in_log(&self, task: &Task) -> Option<String> {
        let inner = self.lock();
        let lease = inner.workers.leases.get(&uid_of(task)).filter(|lease| lease.attempt == AttemptId::of(task))?;
        lease.word.as_ref()?.log.clone()
    }

    /// The task is to be alone on its worker, or another one there is, and it is handed out later.
    pub fn waits_for_others(&self, task: &Task) -> bool {
        let inner = self.lock();
        inner.workers.leases.get(&uid_of(task)).is_some_and(|lease| inner.workers.waits_for_others(lease))
    }

    /// The worker that holds the task is to be told to stop, when it is heard next.
    pub fn tell_worker(&self, task: &Task, why: Reason) {
        let mut inner = self.lock();
        if let Some(lease) = inner.workers.leases.get_mut(&uid_of(task)) {
            lease.told_to_stop.get_or_insert(ToldToStop { why, since: Timestamp::now(), fetched_at: None });
        }
    }
}

/// How this attempt ended.
fn ended(task: &Task, attempt: i32) -> Option<AttemptOutcome> {
    let attempts = &task.status.as_ref()?.attempts;
    attempts.iter().rev().find(|ended| ended.number == attempt).map(|ended| ended.outcome)
}

impl Workers {
    fn begin_lease(&mut self, uid: &Uid, attempt: AttemptId, named: &AdmittedWorker, task: &Task) {
        let worker: Uid = named.uid.as_str().into();
        let slot = u8::try_from(named.slot).unwrap_or_default();
        // Nobody was given a task before this operator has written who gets it.
        let granted = self.granted.remove(uid).filter(|granted| granted.worker == worker && granted.slot == slot);
        let is_ours = granted.is_some();
        let admitted_at = admitted_at(task.status_or_default());
        if let Some(known) = self.workers.get_mut(&worker) {
            if known.has_ended() && !is_ours {
                *known.at_work_when_it_ended.get_or_insert(0) += 1;
            }
            let state = known.slots.entry(slot).or_insert_with(|| Slot::new(admitted_at));
            state.task = Some(uid.clone());
            state.beats |= named.beats;
        }
        let lease = Lease {
            name: lease::name(&attempt, &worker),
            attempt,
            worker,
            slot,
            admitted_at,
            beats: named.beats,
            was_free: granted.is_some_and(|granted| granted.was_free),
            handed_out: if is_ours { HandedOut::NotYet } else { HandedOut::NotKnown },
            holder: None,
            heard_at: None,
            word: None,
            told_to_stop: None,
            is_alone: lease::runs_alone(task.status_or_default()),
            orphan: None,
            over: Arc::default(),
        };
        self.leases.insert(uid.clone(), lease);
        self.changed.notify_one();
    }

    /// What is known beside the worker's pod.
    fn facts(&self, lease: &Lease) -> WorkerFacts {
        let known = self.workers.get(&lease.worker);
        let pool = known.and_then(|known| self.pools.get(&known.pool));
        WorkerFacts {
            pod: None,
            holds_others: known.is_some_and(|known| self.ran_several(known)),
            handed_out: lease.handed_out,
            word: lease.word.clone(),
            told_to_stop: lease.told_to_stop,
            replaced_for: known.and_then(|known| known.replaced_for.clone()),
            outlived_oom: known.is_some_and(|known| known.outlived_oom),
            heartbeat: pool.map_or(0, |pool| pool.pool.spec.heartbeat()),
        }
    }

    /// A worker that ended: how many tasks it was at work on is not to be forgotten when the first of them is judged.
    pub(super) fn note_end(&mut self, worker: &Uid) {
        let Some(known) = self.workers.get(worker) else { return };
        let at_work = self.at_work(known);
        if let Some(known) = self.workers.get_mut(worker) {
            known.at_work_when_it_ended.get_or_insert(at_work);
        }
    }

    /// Another operator may have judged one of a worker's tasks, and not the others.
    fn note_ended_with_several(&mut self, task: &Task) {
        let last = task.status.as_ref().and_then(|status| status.attempts.last());
        let pod = last.filter(|last| lease::ended_among_others(last)).and_then(|last| last.pod.as_deref());
        if let Some((namespace, pod)) = task.metadata.namespace.as_deref().zip(pod) {
            self.ended_with_several.insert((namespace.into(), pod.into()), ());
        }
    }

    fn ran_several(&self, known: &KnownWorker) -> bool {
        let pod: Key = (known.pod.namespace.as_str().into(), known.pod.name.as_str().into());
        let at_work = known.at_work_when_it_ended.unwrap_or_else(|| self.at_work(known));
        at_work > 1 || self.ended_with_several.get(&pod).is_some()
    }

    /// The task no longer has this slot; it is idle since then, where it was at work.
    fn empty(&mut self, worker: &Uid, slot: u8, task: &Uid, idle_since: Option<Timestamp>) {
        let state = self.workers.get_mut(worker).and_then(|known| known.slots.get_mut(&slot));
        if let Some(state) = state.filter(|state| state.task.as_ref() == Some(task)) {
            state.task = None;
            state.idle_since = idle_since.unwrap_or(state.idle_since);
        }
    }

    /// A worker that fails what others then do has a fault of its own; one that has done something has none.
    fn note_outcome(&mut self, task: &Uid, outcome: Option<AttemptOutcome>) {
        let Some(lease) = self.leases.get(task) else { return };
        let worker = lease.worker.clone();
        match outcome {
            Some(AttemptOutcome::Succeeded) => {
                let failed_on = self.failed.remove(task).filter(|before| *before != worker);
                if let Some(other) = failed_on.and_then(|before| self.workers.get_mut(&before)) {
                    other.failed_alone += 1;
                }
                if let Some(known) = self.workers.get_mut(&worker) {
                    (known.failed_alone, known.tasks) = (0, known.tasks + 1);
                    let pool = self.pools.get_mut(&known.pool);
                    pool.into_iter().for_each(|pool| pool.faults.in_a_row = 0);
                }
            }
            Some(AttemptOutcome::Failed) => {
                self.failed.insert(task.clone(), worker.clone());
                self.workers.get_mut(&worker).into_iter().for_each(|known| known.tasks += 1);
            }
            _ => {}
        }
    }

    /// A worker that is gone is forgotten once it holds nothing.
    pub(super) fn forget_if_gone(&mut self, worker: &Uid) {
        if self.workers.get(worker).is_some_and(|known| known.pod.is_gone() && known.holds() == 0) {
            self.workers.remove(worker);
        }
    }
}
