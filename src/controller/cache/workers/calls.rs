//! What workers say: that they ask for work, what they hand in, and that they are alive. Nothing here waits; who called does.

use std::sync::Arc;

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::{Notify, oneshot};

use super::super::{Cache, Inner, Uid, uid_of};
use super::{HandOut, OpenCall, Slot};
use crate::api::{Reason, Task};
use crate::core::attempt::facts::worker::{HandedOut, Outcome, Word};
use crate::core::attempt::id::AttemptId;
use crate::core::attempt::lease;
use crate::core::attempt::lease::{Kept, NotKept, OnAsk};
use crate::core::queue::Key;
use crate::live::{Done, Given, NotTaken, Reporter, ToStop};

/// What follows from a worker's asking for work.
pub enum Asked {
    /// It is answered by `call`; a task that was granted this slot already is looked at. It asks again at this time, when a process
    /// that has the task now may have fallen silent.
    Hangs { call: Hanging, wake: Option<ObjectRef<Task>>, again_at: Option<Timestamp> },
    /// It holds this lease: it is given the same task again.
    Again { task: ObjectRef<Task>, lease: String, first: Timestamp },
    /// It held a lease and asked for it too often: its task is looked at, and this is rung when the lease is over.
    TooOften { task: ObjectRef<Task>, lease: String, over: Arc<Notify> },
    /// It ends.
    Stop,
}

/// An open call of a worker.
pub struct Hanging {
    pub id: u64,
    pub answer: oneshot::Receiver<Given>,
}

/// What follows from a word on a lease.
pub enum HandedIn {
    /// It is known already what became of it.
    Told(Kept),
    /// Its task cannot be read, so nothing can be written to it.
    NotNow,
    /// It is told when the task's status says so: this is rung then.
    Waits { over: Arc<Notify>, task: ObjectRef<Task> },
}

impl Cache {
    /// A worker asks for work in one of its slots; `None` where nobody knows of such a worker.
    pub fn worker_asks(&self, worker: &Reporter, slot: u32, beats: bool) -> Option<Result<Asked, NotTaken>> {
        let mut inner = self.lock();
        let (uid, known) = inner.workers.workers.get_key_value(worker.uid.as_str())?;
        let uid = uid.clone();
        let slots = inner.workers.slots_of(&known.pool);
        // One that it had before the pool's slotsPerWorker was lowered stays its own, and is offered to nobody.
        let is_its_own = |slot: &u8| i32::from(*slot) < slots || known.slots.contains_key(slot);
        match u8::try_from(slot).ok().filter(is_its_own) {
            Some(slot) => {
                let asks = Asks { worker: uid, slot, process: worker.process.clone() };
                Some(Ok(inner.ask(&asks, beats, Timestamp::now())))
            }
            None if known.is_leaving() => Some(Ok(Asked::Stop)),
            None => Some(Err(NotTaken::NoSuchSlot(slots))),
        }
    }

    /// A call of a worker is over: it was answered, or its client has gone.
    pub fn call_over(&self, worker: &str, slot: u32, id: u64) {
        let mut inner = self.lock();
        let Some(uid) = inner.workers.workers.get_key_value(worker).map(|(uid, _)| uid.clone()) else { return };
        let slot = u8::try_from(slot).unwrap_or_default();
        let Some(known) = inner.workers.workers.get_mut(&uid) else { return };
        let state = known.slots.get_mut(&slot).filter(|state| state.call.as_ref().is_some_and(|call| call.id == id));
        let Some(state) = state else { return };
        state.call = None;
        known.heard(Timestamp::now());
        inner.offer(&uid, slot);
        inner.workers.changed.notify_one();
    }

    /// Gives the worker that the task was admitted to its task. `None` where no call of it hangs.
    pub fn hand_out(&self, task: &Task, given: Given) -> Option<HandOut> {
        let mut inner = self.lock();
        let now = Timestamp::now();
        let workers = &mut inner.workers;
        let uid = uid_of(task);
        if workers.leases.get(&uid).is_some_and(|lease| workers.waits_for_others(lease)) {
            return None;
        }
        let lease = workers.leases.get_mut(&uid)?;
        if lease.attempt != AttemptId::of(task) || lease.told_to_stop.is_some() {
            return None;
        }
        let known = workers.workers.get_mut(&lease.worker).filter(|known| !known.is_going())?;
        let call = known.slots.get_mut(&lease.slot)?.call.take()?;
        known.heard(now);
        // From now on its silence tells something.
        workers.changed.notify_one();
        // Its client may have gone a moment ago: then it was not given.
        call.answer.send(given).ok()?;
        lease.is_given_to(call.process, now);
        lease.handed_out = HandedOut::At { first: now, times: 1 };
        let took = now.duration_since(lease.admitted_at);
        Some(HandOut { pool: known.pool.clone(), took, was_free: lease.was_free })
    }

    /// The holder of this lease is given its task once more.
    pub fn handed_out_again(&self, lease: &str, first: Timestamp) {
        let mut inner = self.lock();
        let held = lease::task_uid(lease).and_then(|uid| inner.workers.leases.get_mut(uid));
        if let Some(held) = held.filter(|held| held.name == lease) {
            let times = match held.handed_out {
                HandedOut::At { times, .. } => times + 1,
                HandedOut::NotKnown | HandedOut::NotYet => 1,
            };
            held.handed_out = HandedOut::At { first, times };
        }
    }

    /// What a worker says of a lease: its last word. The first one counts.
    pub fn hand_in(&self, worker: &Reporter, done: Done) -> HandedIn {
        let Done { lease, outcome, log } = done;
        let lease = lease.as_str();
        let mut inner = self.lock();
        let now = Timestamp::now();
        if let Some(known) = inner.workers.workers.get_mut(&*worker.uid) {
            known.heard(now);
            known.outlived_oom |= outcome.ended_for() == Some(Reason::OOMKilled);
        }
        if let Some(kept) = inner.workers.past.get(lease) {
            return HandedIn::Told(*kept);
        }
        let uid: Uid = lease::task_uid(lease).unwrap_or_default().into();
        let reference = inner.known.get(&uid).map(|known| known.reference.clone());
        let held = inner.workers.leases.get_mut(&uid).filter(|held| held.name == lease && *held.worker == *worker.uid);
        let Some(held) = held else {
            return HandedIn::Told(self.late(reference.as_ref(), lease, &worker.uid, outcome.ended_for()));
        };
        if held.is_unreadable() {
            return HandedIn::NotNow;
        }
        let Some(task) = reference.filter(|_| held.orphan.is_none()) else {
            inner.end_lease(&uid, Kept::No(NotKept::Cancelled));
            inner.place_orphan(&uid);
            return HandedIn::Told(Kept::No(NotKept::Cancelled));
        };
        held.word.get_or_insert(Word { at: now, outcome, log });
        HandedIn::Waits { over: held.over.clone(), task }
    }

    /// What became of a lease that nobody remembers, by its task where that is there.
    fn late(&self, task: Option<&ObjectRef<Task>>, lease: &str, worker: &str, ended_for: Option<Reason>) -> Kept {
        let task = task.and_then(|task| self.task(task));
        let found = task.and_then(|task| lease::kept_by_name(&task, lease, worker, ended_for));
        found.unwrap_or(Kept::No(NotKept::Unknown))
    }

    /// What became of a lease, once it is known.
    pub fn past_lease(&self, lease: &str) -> Option<Kept> {
        self.lock().workers.past.get(lease).copied()
    }

    /// The task on whose lease a worker reports; it counts as heard. `None` where it is no worker.
    pub fn lease_of(&self, reporter: &Reporter) -> Option<Result<Arc<Task>, NotTaken>> {
        let mut inner = self.lock();
        let now = Timestamp::now();
        let known = inner.workers.workers.get_mut(&*reporter.uid)?;
        known.heard(now);
        let mut held = known.slots.values().filter_map(|slot| slot.task.as_ref());
        let uid = match &reporter.lease {
            Some(named) => lease::task_uid(named)
                .map(Uid::from)
                .filter(|uid| known.slots.values().any(|slot| slot.task.as_ref() == Some(uid))),
            None => held.next().cloned().filter(|_| held.next().is_none()),
        };
        let Some(uid) = uid else { return Some(Err(NotTaken::Over)) };
        let named = |name: &String| reporter.lease.as_ref().is_none_or(|named| named == name);
        let lease = inner.workers.leases.get_mut(&uid).filter(|lease| named(&lease.name) && lease.word.is_none());
        let lease = lease.filter(|lease| lease.orphan.is_none() || lease.told_to_stop.is_some());
        let process = reporter.process.as_deref();
        let Some(lease) = lease.and_then(|lease| lease.is_reported_by(process, now).then_some(lease)) else {
            return Some(Err(NotTaken::Over));
        };
        let attempt = lease.attempt.clone();
        let reference = inner.known.get(&uid).map(|known| known.reference.clone());
        let task = reference.and_then(|reference| self.task(&reference));
        Some(match task {
            Some(task) if AttemptId::of(&task) == attempt => Ok(task),
            // Its status was written a moment ago, and the watch has not shown it.
            Some(_) if inner.workers.leases.contains_key(&uid) => {
                Err(NotTaken::NotNow("its task is not known well enough yet"))
            }
            _ => Err(NotTaken::Over),
        })
    }

    /// The stop that a worker is to be told of when it is heard, for the lease that it names or has alone.
    pub fn fetch_stop(&self, reporter: &Reporter) -> Option<ToStop> {
        let mut inner = self.lock();
        let workers = &mut inner.workers;
        let grace_seconds = workers.workers.get(&*reporter.uid)?.pod.grace_seconds.max(0);
        let is_meant = |name: &String| reporter.lease.as_ref().is_none_or(|named| named == name);
        let lease =
            workers.leases.values_mut().find(|lease| *lease.worker == *reporter.uid && is_meant(&lease.name))?;
        let told = lease.told_to_stop.as_mut()?;
        told.fetched_at.get_or_insert(Timestamp::now());
        Some(ToStop { reason: told.why, grace_seconds })
    }

    /// How often a worker is heard by its pool's heartbeat, in seconds.
    pub fn heartbeat_of(&self, worker: &str) -> i64 {
        let inner = self.lock();
        let pool = inner.workers.workers.get(worker).map(|known| known.pool.clone());
        pool.and_then(|pool: Key| inner.workers.pools.get(&pool).map(|pool| pool.pool.spec.heartbeat())).unwrap_or(10)
    }
}

/// A process of a worker that asks for work in a slot.
struct Asks {
    worker: Uid,
    slot: u8,
    process: Option<String>,
}

impl Inner {
    fn ask(&mut self, asks: &Asks, beats: bool, now: Timestamp) -> Asked {
        let Some(known) = self.workers.workers.get_mut(&asks.worker) else { return Asked::Stop };
        known.calls.first.get_or_insert(now);
        known.heard(now);
        let state = known.slots.entry(asks.slot).or_insert_with(|| Slot::new(now));
        state.beats = beats;
        if let Some(before) = state.call.take() {
            // Fails where that call is over too.
            let _ = before.answer.send(Given::Nothing);
        }
        let is_leaving = known.is_leaving();
        match known.slots.get(&asks.slot).and_then(|state| state.task.clone()) {
            Some(task) => self.ask_again(asks, &task, now),
            None if is_leaving => Asked::Stop,
            None => self.hang(asks, None, None),
        }
    }

    /// It asks though it holds a lease, or a task is just being admitted to it.
    fn ask_again(&mut self, asks: &Asks, task: &Uid, now: Timestamp) -> Asked {
        let reference = self.known.get(task).map(|known| known.reference.clone());
        let silence = self.workers.silence_of(&asks.worker);
        let Some(lease) = self.workers.leases.get_mut(task) else { return self.hang(asks, None, None) };
        let task_is_there = reference.filter(|_| lease.orphan.is_none());
        match (lease::on_ask(&lease.held(asks.process.as_deref(), silence), now), task_is_there) {
            (OnAsk::Again { first }, Some(task)) => {
                lease.is_given_to(asks.process.clone(), now);
                Asked::Again { task, lease: lease.name.clone(), first }
            }
            (OnAsk::IsAtWork { until }, _) => self.hang(asks, None, Some(until)),
            (OnAsk::TooOften(handed_out), Some(task)) => {
                lease.handed_out = handed_out;
                Asked::TooOften { task, lease: lease.name.clone(), over: lease.over.clone() }
            }
            (OnAsk::Dropped(why), task) => {
                lease.word = Some(Word { at: now, outcome: Outcome::dropped(why), log: None });
                self.hang(asks, task, None)
            }
            (OnAsk::Over, _) => {
                self.end_lease(task, Kept::No(NotKept::Cancelled));
                self.place_orphan(task);
                self.hang(asks, None, None)
            }
            (OnAsk::Waits | OnAsk::Again { .. } | OnAsk::TooOften(_), task) => self.hang(asks, task, None),
        }
    }

    fn hang(&mut self, asks: &Asks, wake: Option<ObjectRef<Task>>, again_at: Option<Timestamp>) -> Asked {
        let (answer, receiver) = oneshot::channel();
        self.workers.calls += 1;
        let id = self.workers.calls;
        let state = self.workers.workers.get_mut(&asks.worker).and_then(|known| known.slots.get_mut(&asks.slot));
        if let Some(state) = state {
            state.call = Some(OpenCall { id, process: asks.process.clone(), answer });
        }
        self.offer(&asks.worker, asks.slot);
        self.workers.changed.notify_one();
        Asked::Hangs { call: Hanging { id, answer: receiver }, wake, again_at }
    }
}
