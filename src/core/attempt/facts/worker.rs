//! The facts of the warm worker to which an attempt was given: its pod, its words, and what it was told. Judges nothing.

use jiff::{SignedDuration, Timestamp};

use super::{PodFacts, Why};
use crate::Reason;
use crate::time::after;
use task_manager_api::ReportedError;

/// What is known of the worker that holds the lease of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerFacts {
    /// Its pod; `None` where the API server has none of its uid.
    pub pod: Option<PodFacts>,
    /// It holds leases of other tasks beside this one.
    pub holds_others: bool,
    pub handed_out: HandedOut,
    /// Its last word on this lease.
    pub word: Option<Word>,
    /// It was to be told to stop, and was or was not yet.
    pub told_to_stop: Option<ToldToStop>,
    /// Why its pool has its pod ended, where it does.
    pub replaced_for: Option<Why>,
    /// The kernel killed the work of an earlier lease for its use of memory, and not the worker: from then on the container runtime
    /// says that of whatever ends its container.
    pub outlived_oom: bool,
    /// How often it is heard, in seconds.
    pub heartbeat: i64,
}

/// Whether the worker was given the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandedOut {
    /// Perhaps, by whoever led before.
    NotKnown,
    /// It waits for the worker's call.
    NotYet,
    At {
        first: Timestamp,
        /// How often: a worker that asks anew though it holds the lease is given the same task again.
        times: u32,
    },
}

/// A stop that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldToStop {
    pub why: Reason,
    pub since: Timestamp,
    /// When the worker fetched it.
    pub fetched_at: Option<Timestamp>,
}

/// A stop is to be fetched within a heartbeat and so much more.
const FETCHED_WITHIN: SignedDuration = SignedDuration::from_secs(5);

impl ToldToStop {
    /// Until when the worker may go on: to fetch the stop, and then for its grace.
    pub fn due_at(&self, heartbeat: i64, grace: i64) -> Timestamp {
        match self.fetched_at {
            Some(fetched) => after(fetched, SignedDuration::from_secs(grace.max(0))),
            None => after(self.since, SignedDuration::from_secs(heartbeat) + FETCHED_WITHIN),
        }
    }
}

/// What a worker hands in with a lease.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    pub at: Timestamp,
    pub outcome: Outcome,
    /// The last lines that the work wrote.
    pub log: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The result as JSON text, if it left one here.
    Done(Option<String>),
    Failed {
        error: ReportedError,
        exit_code: Option<i32>,
        /// Why the worker ended the work, where it did.
        ended_for: Option<Reason>,
    },
}

impl Outcome {
    /// The reason for which its worker ended the work, where it did.
    pub fn ended_for(&self) -> Option<Reason> {
        match self {
            Self::Done(_) => None,
            Self::Failed { ended_for, .. } => *ended_for,
        }
    }

    /// Of work that its worker gave up without a word when it was to stop for this. Where its time was over, that is why.
    pub fn dropped(told: Reason) -> Self {
        let ended_for = if told == Reason::Timeout { Reason::Timeout } else { Reason::WorkerLost };
        Self::Failed { error: ReportedError::default(), exit_code: None, ended_for: Some(ended_for) }
    }
}
