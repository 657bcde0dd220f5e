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
mod pools;

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
use crate::core::attempt::lease::Kept;
use crate::core::pool::{Calls, Worker};
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
    /// By the uid of the pod.
    workers: HashMap<Uid, KnownWorker>,
    /// By the uid of the task.
    leases: HashMap<Uid, Lease>,
    /// The slots that tasks were granted whose admission is being written.
    granted: HashMap<Uid, Granted>,
    past: Bounded<String, Kept, PAST>,
    /// The workers on which a task failed last, by the task's uid.
    failed: Bounded<Uid, Uid, FAILED>,
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

/// The faults of a pool's workers, one after another, until one has handed in a task.
#[derive(Clone, Debug, Default)]
struct Faults {
    in_a_row: u32,
    last: Option<Timestamp>,
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
    stopping: bool,
    replaced_for: Option<Why>,
    /// We had its pod deleted.
    asked_to_go: bool,
}

struct Slot {
    call: Option<OpenCall>,
    idle_since: Timestamp,
    /// The task that has it, by its uid.
    task: Option<Uid>,
}

struct OpenCall {
    id: u64,
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
    /// The worker was idle already when the task came.
    was_free: bool,
    handed_out: HandedOut,
    word: Option<Word>,
    told_to_stop: Option<ToldToStop>,
    /// Its task is gone; the slot in the queue is held until the worker drops it.
    orphan: Option<Reservation>,
    /// Rung when it is over.
    over: Arc<Notify>,
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            pools: HashMap::new(),
            workers: HashMap::new(),
            leases: HashMap::new(),
            granted: HashMap::new(),
            past: Bounded::default(),
            failed: Bounded::default(),
            calls: 0,
            since: Timestamp::now(),
            changed: Arc::default(),
        }
    }
}

impl Slot {
    fn new(idle_since: Timestamp) -> Self {
        Self { call: None, idle_since, task: None }
    }
}

impl KnownWorker {
    /// Its slot of this number, as admission knows it.
    fn slot(&self, uid: &Uid, slot: u8) -> WorkerSlot {
        WorkerSlot { pod: self.pod.name.as_str().into(), uid: uid.clone(), slot, beats: self.calls.beats }
    }

    fn holds(&self) -> usize {
        self.slots.values().filter(|slot| slot.task.is_some()).count()
    }

    fn has_open_call(&self) -> bool {
        self.slots.values().any(|slot| slot.call.is_some())
    }

    /// Nobody gives it anything any longer.
    fn is_leaving(&self) -> bool {
        self.stopping || self.replaced_for.is_some() || self.pod.due_gone_at.is_some() || self.pod.has_ended()
    }

    fn heard(&mut self, now: Timestamp) {
        self.calls.last = Some(now);
    }

    /// As the core judges it.
    fn as_worker(&self) -> Worker {
        Worker {
            pod: self.pod.clone(),
            template: self.template.clone(),
            calls: Calls { is_open: self.has_open_call(), ..self.calls },
            idle_since: self.slots.values().map(|slot| slot.idle_since).max().unwrap_or_default(),
            holds: self.holds() as u32,
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

    /// A slot that may be offered to tasks: its call hangs, and nobody has it.
    fn free(&self, worker: &Uid, slot: u8) -> Option<(Key, WorkerSlot, Timestamp)> {
        let known = self.workers.get(worker).filter(|known| !known.is_leaving())?;
        let pool = self.pools.get(&known.pool)?;
        let is_paused = pool.pool.spec.max() == 0;
        let state =
            known.slots.get(&slot).filter(|state| state.call.is_some() && state.task.is_none() && !is_paused)?;
        Some((known.pool.clone(), known.slot(worker, slot), state.idle_since))
    }
}
