//! The worker pools: their workers, what these were heard to say, and the leases that they hold. Never decides which worker gets a
//! task, nor which one is made or ended.
//!
//! | what is remembered | since | until |
//! | --- | --- | --- |
//! | a pool | the watch shows it | it is gone, or can no longer be read |
//! | a worker, with its open calls | the watch, or an answer, shows its pod | the pod is gone and holds no lease |
//! | a slot that was granted | a pass gives it | the lease is there, or the admission did not take place |
//! | a lease | its task's status names the worker | the status says how the attempt ended; a task that is gone: the worker dropped it |
//! | what became of a lease | the same | there are ten thousand younger ones |

mod calls;
mod leases;
mod pods;
mod pools;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, oneshot};

use super::Uid;
use crate::api::WorkerPool;
use crate::bounded::Bounded;
use crate::core::attempt::facts::worker::{HandedOut, ToldToStop, Word};
use crate::core::attempt::facts::{PodFacts, Why};
use crate::core::attempt::id::AttemptId;
use crate::core::attempt::lease::{Held, Kept};
use crate::core::pool::{Calls, Worker, silence};
use crate::core::queue::{Key, Reservation, WorkerSlot};
use crate::live::Given;

pub use calls::{Asked, HandedIn, Hanging};
pub(super) use leases::names_a_lease;
pub use pools::{PoolLook, key_of};

/// What became of so many leases is remembered.
const PAST: usize = 10_000;
/// On which workers so many tasks failed is remembered.
const FAILED: usize = 10_000;

pub struct Workers {
    pools: HashMap<Key, KnownPool>,
    /// A whole list of pools was shown.
    are_pools_listed: bool,
    /// By the uid of the pod.
    workers: HashMap<Uid, KnownWorker>,
    /// By the uid of the task.
    leases: HashMap<Uid, Lease>,
    /// The slots that tasks were granted whose admission is being written.
    granted: HashMap<Uid, Granted>,
    past: Bounded<String, Kept, PAST>,
    /// The workers on which a task failed last, by the task's uid.
    failed: Bounded<Uid, Uid, FAILED>,
    /// Namespaces and pods of workers that ended by themselves with several tasks, by what a status says.
    ended_with_several: Bounded<Key, (), FAILED>,
    calls: u64,
    /// From when this operator has listened.
    since: Timestamp,
    /// Rung when the pools are to be looked at.
    changed: Arc<Notify>,
}

struct KnownPool {
    pool: Arc<WorkerPool>,
    faults: Faults,
}

/// The faults of a pool's workers, one after another, until a task has succeeded on one.
#[derive(Clone, Debug, Default)]
struct Faults {
    in_a_row: u32,
    last: Option<Timestamp>,
    /// The fault of the worker that was replaced last.
    replaced_for: Option<String>,
    /// How many workers were replaced for a fault since this operator leads, and are not yet counted in the pool's status.
    uncounted: i64,
    /// Why no worker could be made.
    refused: Option<String>,
}

struct KnownWorker {
    pool: Key,
    pod: PodFacts,
    /// The digest of what it was made from.
    template: String,
    calls: Calls,
    slots: BTreeMap<u8, Slot>,
    tasks: u64,
    failed_alone: u32,
    /// The kernel killed some work for its use of memory, and not the worker.
    outlived_oom: bool,
    stopping: bool,
    replaced_for: Option<Why>,
    /// We had its pod deleted.
    asked_to_go: bool,
    /// How many tasks it was at work on when its pod was seen to have ended.
    at_work_when_it_ended: Option<usize>,
}

struct Slot {
    call: Option<OpenCall>,
    idle_since: Timestamp,
    /// The task that has it, by its uid.
    task: Option<Uid>,
    /// The worker promised to be heard while it is at work on that.
    beats: bool,
}

struct OpenCall {
    id: u64,
    /// The process whose call it is, where it names itself.
    process: Option<String>,
    answer: oneshot::Sender<Given>,
}

struct Granted {
    worker: Uid,
    slot: u8,
    was_free: bool,
}

/// A task was given to a worker of this pool.
#[derive(Clone, Debug, PartialEq)]
pub struct HandOut {
    pub pool: Key,
    /// From the admission until the worker had it.
    pub took: SignedDuration,
    /// The worker was idle already when the task came.
    pub was_free: bool,
}

struct Lease {
    attempt: AttemptId,
    name: String,
    worker: Uid,
    slot: u8,
    admitted_at: Timestamp,
    beats: bool,
    /// The worker was idle already when the task came.
    was_free: bool,
    handed_out: HandedOut,
    /// The process of the worker that was given the task, where it names itself.
    holder: Option<String>,
    /// When that was last heard.
    heard_at: Option<Timestamp>,
    word: Option<Word>,
    told_to_stop: Option<ToldToStop>,
    /// Nothing else runs on its worker meanwhile.
    is_alone: bool,
    /// Its task is gone; the slot in the queue is held until the worker drops it.
    orphan: Option<Reservation>,
    /// Rung when it is over.
    over: Arc<Notify>,
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            pools: HashMap::new(),
            are_pools_listed: false,
            workers: HashMap::new(),
            leases: HashMap::new(),
            granted: HashMap::new(),
            past: Bounded::default(),
            failed: Bounded::default(),
            ended_with_several: Bounded::default(),
            calls: 0,
            since: Timestamp::now(),
            changed: Arc::default(),
        }
    }
}

impl Slot {
    fn new(idle_since: Timestamp) -> Self {
        Self { call: None, idle_since, task: None, beats: false }
    }
}

impl Lease {
    /// Its task is there and cannot be read: nobody told the worker to drop it.
    fn is_unreadable(&self) -> bool {
        self.orphan.is_some() && self.told_to_stop.is_none()
    }

    /// As the core judges it when this process of its worker asks for work.
    fn held(&self, process: Option<&str>, silence: SignedDuration) -> Held {
        Held {
            is_holder: process.is_some() && process == self.holder.as_deref(),
            heard_at: self.heard_at,
            silence,
            without_task: self.orphan.is_some(),
            told_to_stop: self.told_to_stop.map(|told| told.why),
            has_word: self.word.is_some(),
            handed_out: self.handed_out,
            admitted_at: self.admitted_at,
        }
    }

    /// This process of its worker was given the task.
    fn is_given_to(&mut self, process: Option<String>, now: Timestamp) {
        self.heard_at = process.as_ref().map(|_| now);
        self.holder = process;
    }

    /// A report of this process is one on the lease: another one than was given the task is told that it has none.
    fn is_reported_by(&mut self, process: Option<&str>, now: Timestamp) -> bool {
        if self.holder.is_some() && process.is_some() && self.holder.as_deref() != process {
            return false;
        }
        if let Some(process) = process {
            self.is_given_to(Some(process.to_owned()), now);
        }
        true
    }

    /// Its worker may have the task, and has not said what came of it.
    fn is_at_work(&self) -> bool {
        self.handed_out != HandedOut::NotYet && self.word.is_none()
    }
}

impl KnownWorker {
    /// Its slot of this number, as admission knows it.
    fn slot(&self, uid: &Uid, slot: u8) -> WorkerSlot {
        WorkerSlot { pod: self.pod.name.as_str().into(), uid: uid.clone(), slot, beats: self.beats_in(slot) }
    }

    fn beats_in(&self, slot: u8) -> bool {
        self.slots.get(&slot).is_some_and(|slot| slot.beats)
    }

    fn holds(&self) -> usize {
        self.slots.values().filter(|slot| slot.task.is_some()).count()
    }

    /// It promised to be heard while it is at work on some task that it has.
    fn beats(&self) -> bool {
        self.slots.values().any(|slot| slot.task.is_some() && slot.beats)
    }

    fn has_open_call(&self) -> bool {
        self.slots.values().any(|slot| slot.call.is_some())
    }

    /// It is offered to no task any longer.
    fn is_leaving(&self) -> bool {
        self.stopping || self.is_going()
    }

    /// Its pod ends, or is to: nobody gives it anything any longer.
    fn is_going(&self) -> bool {
        self.replaced_for.is_some() || self.asked_to_go || self.pod.due_gone_at.is_some() || self.has_ended()
    }

    /// Nothing comes of it any longer, though another container of its pod may go on.
    fn has_ended(&self) -> bool {
        self.pod.has_ended() || self.pod.work_ended()
    }

    fn heard(&mut self, now: Timestamp) {
        self.calls.last = Some(now);
    }

    /// As the core judges it; it was given so many tasks.
    fn as_worker(&self, given: usize) -> Worker {
        Worker {
            pod: self.pod.clone(),
            template: self.template.clone(),
            calls: Calls { is_open: self.has_open_call(), beats: self.beats(), ..self.calls },
            idle_since: self.slots.values().map(|slot| slot.idle_since).max().unwrap_or_default(),
            holds: self.holds() as u32,
            given: given as u32,
            tasks: self.tasks,
            failed_alone: self.failed_alone,
            stopping: self.stopping,
            asked_to_go: self.asked_to_go,
        }
    }
}

impl Workers {
    /// Pools are to be looked at. Where there are none nobody is woken.
    pub(super) fn pools_changed(&self) {
        if !self.pools.is_empty() {
            self.changed.notify_one();
        }
    }

    /// How many tasks a worker of this pool runs at once.
    fn slots_of(&self, pool: &Key) -> i32 {
        self.pools.get(pool).map_or(1, |pool| pool.pool.spec.slots())
    }

    /// A worker of this pod's pool is taken for dead after so long without a word.
    fn silence_of(&self, worker: &Uid) -> SignedDuration {
        let pool = self.workers.get(worker).and_then(|known| self.pools.get(&known.pool));
        pool.map(|pool| silence(&pool.pool.spec)).unwrap_or_default()
    }

    /// The leases on this worker.
    fn leases_on<'a>(&'a self, worker: &'a KnownWorker) -> impl Iterator<Item = &'a Lease> {
        worker.slots.values().filter_map(|slot| self.leases.get(slot.task.as_ref()?))
    }

    /// How many tasks this worker has, and has not said what came of them.
    fn at_work(&self, worker: &KnownWorker) -> usize {
        self.leases_on(worker).filter(|lease| lease.is_at_work()).count()
    }

    /// This lease is handed out only when others on its worker are over: one of them, or it, is to have the worker to itself.
    fn waits_for_others(&self, lease: &Lease) -> bool {
        let Some(worker) = self.workers.get(&lease.worker) else { return false };
        self.leases_on(worker)
            .any(|other| other.name != lease.name && other.is_at_work() && (other.is_alone || lease.is_alone))
    }

    /// A slot that may be offered to tasks: its call hangs, nobody has it, and no task has the worker to itself.
    fn free(&self, worker: &Uid, slot: u8) -> Option<(Key, WorkerSlot, Timestamp)> {
        let known = self.workers.get(worker).filter(|known| !known.is_leaving())?;
        let pool = self.pools.get(&known.pool)?;
        let spec = &pool.pool.spec;
        let is_withheld =
            spec.max() == 0 || i32::from(slot) >= spec.slots() || self.leases_on(known).any(|lease| lease.is_alone);
        let state =
            known.slots.get(&slot).filter(|state| state.call.is_some() && state.task.is_none() && !is_withheld)?;
        Some((known.pool.clone(), known.slot(worker, slot), state.idle_since))
    }
}
