//! The state of one worker, by its pod and by its calls.

use jiff::{SignedDuration, Timestamp};

use crate::Reason;
use crate::attempt::ended;
use crate::attempt::facts::{PodFacts, Why};
use crate::time::after;
use task_manager_api::WorkerPoolSpec;

/// A worker is silent when it was not heard for twice its heartbeat and so much more.
const SILENT_AFTER: SignedDuration = SignedDuration::from_secs(5);
/// A worker that fails so many tasks in a row which then succeed elsewhere is replaced.
pub const FAILS_ALL: u32 = 3;

/// A worker that promised to be heard is taken for dead after so long without a word.
pub fn silence(spec: &WorkerPoolSpec) -> SignedDuration {
    SignedDuration::from_secs(2 * spec.heartbeat()) + SILENT_AFTER
}

/// A worker: one pod of the pool, and one life.
#[derive(Clone, Debug, PartialEq)]
pub struct Worker {
    pub pod: PodFacts,
    /// The digest of the template that it was made from.
    pub template: String,
    pub calls: Calls,
    /// When its last task ended, or it first asked.
    pub idle_since: Timestamp,
    /// Leases that it holds.
    pub holds: u32,
    /// Those of them that it was given, as far as is known.
    pub given: u32,
    /// Tasks that it has handed in.
    pub tasks: u64,
    /// Tasks that failed on it one after another and then succeeded on others.
    pub failed_alone: u32,
    /// It was told to stop.
    pub stopping: bool,
    /// We had its pod deleted.
    pub asked_to_go: bool,
}

/// What was heard of a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// When it first asked for work.
    pub first: Option<Timestamp>,
    /// When it was last heard, or its open call began.
    pub last: Option<Timestamp>,
    /// A call of it hangs.
    pub is_open: bool,
    /// It promised to be heard while it works.
    pub beats: bool,
    /// From when this operator has listened: whoever leads anew counts silence from its own first sight.
    pub listened_from: Timestamp,
}

/// Why a worker is replaced. The words are labels of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
pub enum Fault {
    /// It never asked for work.
    NeverAsked,
    /// It is idle and does not ask for work any longer.
    DoesNotAsk,
    /// It is at work, had promised to be heard, and is not.
    Silent,
    /// It fails what others then do.
    FailsAll,
    /// It goes on with what nobody wants any longer.
    Deaf,
    /// It ended by itself though nobody told it to.
    EndedByItself,
}

impl Fault {
    /// Why its pod is ended, as those of its tasks are told that had no part in it.
    pub fn why(self) -> Why {
        Why::new(Reason::WorkerLost, self.told())
    }

    /// The fault in a sentence about the worker.
    pub fn told(self) -> &'static str {
        match self {
            Self::NeverAsked => "it did not ask for work within startDeadlineSeconds",
            Self::DoesNotAsk => "it was idle and did not ask for work for twice heartbeatSeconds and 5 s",
            Self::Silent => "it had promised to be heard, and was not for twice heartbeatSeconds and 5 s",
            Self::FailsAll => "three tasks failed on it that others then did",
            Self::Deaf => "it went on with a task that was to stop",
            Self::EndedByItself => "it ended by itself",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerState {
    /// It has not asked for work yet.
    Starting,
    Idle {
        since: Timestamp,
    },
    Busy,
    /// It has a fault, and is to be ended.
    Unhealthy(Fault),
    /// Its pod is being deleted.
    Going,
    Ended,
}

impl Worker {
    pub fn state(&self, spec: &WorkerPoolSpec, now: Timestamp) -> WorkerState {
        // Another container of its pod may go on.
        if self.pod.work_ended() || ended::ended(&self.pod, None, now).is_some() {
            return WorkerState::Ended;
        }
        if self.pod.due_gone_at.is_some() || self.asked_to_go {
            return WorkerState::Going;
        }
        if let Some(fault) = self.fault(spec, now) {
            return WorkerState::Unhealthy(fault);
        }
        match (self.holds, self.calls.first) {
            (1.., _) => WorkerState::Busy,
            (0, None) => WorkerState::Starting,
            (0, Some(_)) => WorkerState::Idle { since: self.idle_since },
        }
    }

    fn fault(&self, spec: &WorkerPoolSpec, now: Timestamp) -> Option<Fault> {
        if self.failed_alone >= FAILS_ALL {
            return Some(Fault::FailsAll);
        }
        let is_due = self.due_at(spec).is_some_and(|due| due <= now);
        is_due.then_some(match (self.given, self.calls.first) {
            (1.., _) => Fault::Silent,
            (0, Some(_)) => Fault::DoesNotAsk,
            (0, None) => Fault::NeverAsked,
        })
    }

    /// By when it must be heard; `None` while it need not be: a call of it hangs, or it is at work and made no promise.
    pub fn due_at(&self, spec: &WorkerPoolSpec) -> Option<Timestamp> {
        let Calls { first, last, is_open, beats, listened_from } = self.calls;
        let silence = silence(spec);
        match (self.given, first) {
            _ if is_open => None,
            (1.., _) => beats.then(|| after(last.unwrap_or(listened_from).max(listened_from), silence)),
            (0, Some(_)) => Some(after(last.unwrap_or(listened_from).max(listened_from), silence)),
            (0, None) => {
                let started = self.pod.age_from();
                Some(
                    after(started, SignedDuration::from_secs(spec.start_deadline())).max(after(listened_from, silence)),
                )
            }
        }
    }
}
