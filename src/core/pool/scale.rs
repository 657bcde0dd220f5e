//! How many workers a pool has: up while tasks wait for one, down when one has been idle for long, and one in the place of each
//! that has a fault.

use jiff::{SignedDuration, Timestamp};

use super::worker::{Fault, Worker, WorkerState};
use crate::Reason;
use crate::attempt::ended::{self, Ended};
use crate::attempt::facts::{PodFacts, Why};
use crate::time::{after, earliest};
use task_manager_api::WorkerPoolSpec;

/// The most workers that are made at once: a pool's refill must not take the cluster's attention from the tasks.
const MADE_AT_ONCE: i64 = 10;
/// The first pause after workers that did not come up or had a fault, and the longest.
const FIRST_PAUSE: i64 = 5;
const LONGEST_PAUSE: i64 = 300;

/// Everything that a decision about a pool depends on.
#[derive(Clone, Debug)]
pub struct PoolInput<'a> {
    pub spec: &'a WorkerPoolSpec,
    /// The digest of its template.
    pub template: &'a str,
    pub workers: &'a [Worker],
    /// The uids of those that were told to drop what nobody wants any longer, and until when each of them may go on with it.
    pub told_to_drop: &'a [(String, Timestamp)],
    /// Tasks that would start now if each had a worker.
    pub waiting: usize,
    /// Faults in a row since a task last succeeded on a worker, and when the last one was.
    pub faults: u32,
    pub last_fault: Option<Timestamp>,
    /// The fault of the worker that was replaced last.
    pub last_replaced_for: Option<&'a str>,
}

/// What is to be done about a pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolDecision {
    /// How many workers are made.
    pub create: usize,
    pub delete: Vec<Going>,
    /// The uids of those that are told to stop when their task is over.
    pub stop: Vec<String>,
    pub counts: Counts,
    /// Why fewer workers ask for work than there should be, as far as it is known.
    pub trouble: Option<String>,
    pub wake: Option<Timestamp>,
}

/// A worker whose pod is deleted; where it has a fault, for that.
#[derive(Clone, Debug, PartialEq)]
pub struct Going {
    pub uid: String,
    pub name: String,
    pub why: Option<Why>,
    /// Why another takes its place, in a word; `None` where it is one too many.
    pub replaced_for: Option<&'static str>,
}

/// The word for a worker whose template is another by now, or that is too old, or has done enough.
pub const WORN_OUT: &str = "WornOut";

impl Going {
    fn of(worker: &Worker, fault: Option<Fault>) -> Self {
        let why = fault.map(|fault| Why::new(Reason::WorkerLost, told(worker, fault)));
        let replaced_for = fault.map(Into::into);
        Self { uid: worker.pod.uid.clone(), name: worker.pod.name.clone(), why, replaced_for }
    }

    fn worn_out(worker: &Worker) -> Self {
        Self { replaced_for: Some(WORN_OUT), ..Self::of(worker, None) }
    }
}

fn told(worker: &Worker, fault: Fault) -> String {
    let ended = Some(fault).filter(|fault| *fault == Fault::EndedByItself).and_then(|_| ended_of(worker));
    match ended {
        Some(ended) if !ended.message.is_empty() => format!("{}: {}", fault.told(), ended.message),
        Some(ended) => format!("{}: {}", fault.told(), ended.reason),
        None => fault.told().into(),
    }
}

fn ended_of(worker: &Worker) -> Option<Ended> {
    ended::ended(&ended::as_worker(&worker.pod), None, Timestamp::UNIX_EPOCH)
}

/// Nobody evicted it or deleted it before, and its node is there.
fn ended_by_itself(worker: &Worker) -> bool {
    let PodFacts { deleted_at, due_gone_at, disrupted_at, .. } = &worker.pod;
    let others_acted = deleted_at.is_some() || due_gone_at.is_some() || disrupted_at.is_some();
    match ended_of(worker).map(|ended| ended.reason) {
        Some(Reason::Evicted | Reason::Preempted | Reason::NodeLost) => false,
        // A worker that is told to end by SIGTERM ends with 0, and the runtime may speak of the memory of a task that it outlived.
        Some(Reason::PodDeleted | Reason::Succeeded | Reason::OOMKilled) => !others_acted,
        _ => true,
    }
}

/// How many workers there are, as the status tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub starting: usize,
    pub busy: usize,
    pub idle: usize,
    pub unhealthy: usize,
    /// Their pods are being deleted.
    pub stopping: usize,
}

impl Counts {
    /// Those that have asked for work, and have no fault.
    pub fn ready(&self) -> usize {
        self.busy + self.idle
    }
}

/// How many workers there are in each state.
pub fn count(spec: &WorkerPoolSpec, workers: &[Worker], now: Timestamp) -> Counts {
    counts(&states(spec, workers, now))
}

fn states<'w>(spec: &WorkerPoolSpec, workers: &'w [Worker], now: Timestamp) -> Vec<(&'w Worker, WorkerState)> {
    workers.iter().map(|worker| (worker, worker.state(spec, now))).collect()
}

pub fn decide(input: &PoolInput, now: Timestamp) -> PoolDecision {
    let PoolInput { spec, workers, .. } = input;
    let states = states(spec, workers, now);
    let mut decision = PoolDecision { counts: counts(&states), ..PoolDecision::default() };
    for (worker, state) in &states {
        let is_deaf = input.told_to_drop.iter().any(|(uid, until)| *uid == worker.pod.uid && *until <= now);
        match state {
            WorkerState::Going => {}
            WorkerState::Unhealthy(fault) => decision.delete.push(Going::of(worker, Some(*fault))),
            // What it leaves is judged before it goes.
            WorkerState::Ended if worker.holds > 0 => {}
            WorkerState::Ended if worker.asked_to_go => {}
            WorkerState::Ended => {
                let is_fault = !worker.stopping && ended_by_itself(worker);
                decision.delete.push(Going::of(worker, is_fault.then_some(Fault::EndedByItself)));
            }
            WorkerState::Busy | WorkerState::Idle { .. } if is_deaf => {
                decision.delete.push(Going::of(worker, Some(Fault::Deaf)))
            }
            WorkerState::Busy if !worker.stopping && input.is_worn_out(worker, now) => {
                decision.stop.push(worker.pod.uid.clone())
            }
            WorkerState::Idle { .. } | WorkerState::Starting if worker.stopping => {
                decision.delete.push(Going::of(worker, None));
            }
            WorkerState::Idle { .. } | WorkerState::Starting if input.is_worn_out(worker, now) => {
                decision.delete.push(Going::worn_out(worker));
            }
            _ => {}
        }
    }
    let wanted = input.wanted(&states);
    decision.trouble = input.trouble(&states).filter(|_| decision.counts.ready() < wanted);
    let leaves = |worker: &Worker| decision.delete.iter().any(|going| going.uid == worker.pod.uid);
    let staying: Vec<_> = states.iter().filter(|(worker, state)| stays(*state) && !leaves(worker)).copied().collect();
    let kept = staying.len();
    if kept > wanted {
        let spare = input.spare(&staying, kept - wanted, now);
        decision.delete.extend(spare.into_iter().map(|worker| Going::of(worker, None)));
    } else if input.may_make(now) {
        decision.create = (wanted - kept).min(input.room(&states, now)).min(MADE_AT_ONCE as usize);
    }
    let due = states.iter().filter_map(|(worker, state)| stays(*state).then(|| worker.due_at(spec)).flatten());
    let idle_over = states.iter().filter_map(|(_, state)| match state {
        WorkerState::Idle { since } if kept > wanted => Some(after(*since, SignedDuration::from_secs(spec.idle()))),
        _ => None,
    });
    let pause = input.pause_ends().filter(|_| kept < wanted);
    let more =
        (wanted > kept + decision.create && decision.create > 0).then(|| after(now, SignedDuration::from_secs(1)));
    decision.wake = earliest(
        due.chain(idle_over)
            .chain(input.told_to_drop.iter().map(|(_, until)| *until))
            .map(Some)
            .chain([pause, more])
            .map(|time| time.filter(|time| *time > now)),
    );
    decision
}

/// It is there, and nothing is wrong with it.
fn stays(state: WorkerState) -> bool {
    matches!(state, WorkerState::Starting | WorkerState::Idle { .. } | WorkerState::Busy)
}

fn counts(states: &[(&Worker, WorkerState)]) -> Counts {
    let count = |is: fn(&WorkerState) -> bool| states.iter().filter(|(_, state)| is(state)).count();
    Counts {
        starting: count(|state| matches!(state, WorkerState::Starting)),
        busy: count(|state| matches!(state, WorkerState::Busy)),
        idle: count(|state| matches!(state, WorkerState::Idle { .. })),
        unhealthy: count(|state| matches!(state, WorkerState::Unhealthy(_))),
        stopping: count(|state| matches!(state, WorkerState::Going)),
    }
}

impl PoolInput<'_> {
    /// What a worker that starts waits for, by its pod's own word; else the fault of the last one, while no task has succeeded
    /// since.
    fn trouble(&self, states: &[(&Worker, WorkerState)]) -> Option<String> {
        let start = states.iter().filter(|(_, state)| *state == WorkerState::Starting);
        let mut waiting = start.filter_map(|(worker, _)| Some((worker, worker.pod.waiting.as_ref()?)));
        let waits = waiting.next().map(|(worker, why)| format!("{} waits: {}", worker.pod.name, why.message));
        let replaced = self.last_replaced_for.filter(|_| self.faults > 0);
        waits.or_else(|| replaced.map(|why| format!("the last one was replaced: {why}")))
    }

    /// How many workers there should be: as many as are at work and as the tasks that wait would need, within its bounds.
    fn wanted(&self, states: &[(&Worker, WorkerState)]) -> usize {
        let bound = |count: i32| usize::try_from(count).unwrap_or_default();
        let slots = bound(self.spec.slots()).max(1);
        let busy = || states.iter().filter(|(_, state)| *state == WorkerState::Busy);
        let beside: usize = busy().map(|(worker, _)| slots.saturating_sub(bound(worker.holds as i32))).sum();
        let needed = busy().count() + self.waiting.saturating_sub(beside).div_ceil(slots);
        needed.clamp(bound(self.spec.min()), bound(self.spec.max()))
    }

    /// How many workers may be made beside those that there are. One that goes counts until it has ended, or is given up with
    /// its node: a pool takes no more than its maximum of the cluster.
    fn room(&self, states: &[(&Worker, WorkerState)], now: Timestamp) -> usize {
        let is_there =
            |(worker, _): &&(&Worker, WorkerState)| !worker.pod.has_ended() && !ended::is_long_due(&worker.pod, now);
        let most = usize::try_from(self.spec.max()).unwrap_or_default();
        most.saturating_sub(states.iter().filter(is_there).count())
    }

    /// Its template is another by now, or it is too old, or has done enough.
    fn is_worn_out(&self, worker: &Worker, now: Timestamp) -> bool {
        let age = |seconds: i32| after(worker.pod.age_from(), SignedDuration::from_secs(seconds.into())) <= now;
        let has_done = |most: i32| worker.tasks >= u64::try_from(most).unwrap_or(u64::MAX);
        worker.template != self.template
            || self.spec.max_worker_age_seconds.is_some_and(age)
            || self.spec.max_tasks_per_worker.is_some_and(has_done)
    }

    /// Those that go because there are too many: idle ones whose time is over, the longest idle first. One that starts has
    /// its idle time before it, unless the pool is paused; one that is at work never goes for that.
    fn spare<'w>(&self, states: &[(&'w Worker, WorkerState)], too_many: usize, now: Timestamp) -> Vec<&'w Worker> {
        let is_paused = self.spec.max() == 0;
        let mut spare: Vec<(Option<Timestamp>, &Worker)> = states
            .iter()
            .filter_map(|(worker, state)| match state {
                WorkerState::Starting => is_paused.then_some((None, *worker)),
                WorkerState::Idle { since } => {
                    let over = after(*since, SignedDuration::from_secs(self.spec.idle())) <= now;
                    (over || is_paused).then_some((Some(*since), *worker))
                }
                _ => None,
            })
            .collect();
        spare.sort_by_key(|(since, worker)| (*since, worker.pod.uid.clone()));
        spare.into_iter().take(too_many).map(|(_, worker)| worker).collect()
    }

    /// After faults, workers are made again only after a pause that grows.
    fn may_make(&self, now: Timestamp) -> bool {
        self.pause_ends().is_none_or(|ends| ends <= now)
    }

    fn pause_ends(&self) -> Option<Timestamp> {
        let doubled =
            FIRST_PAUSE.saturating_mul(1i64.checked_shl(self.faults.saturating_sub(1).min(16)).unwrap_or(i64::MAX));
        let pause = SignedDuration::from_secs(doubled.min(LONGEST_PAUSE));
        self.last_fault.filter(|_| self.faults > 0).map(|last| after(last, pause))
    }
}

#[cfg(test)]
mod tests;
