//! One try at a task, whoever runs it: the questions that a task's life asks of it, with each executor's answers.
//!
//! Another executor is another arm of `Attempt` with the same answers; nothing in `task` asks which one it is.

pub mod backoff;
mod by_job;
mod by_worker;
pub mod clocks;
pub mod ended;
mod ending;
pub mod facts;
mod held_up;
pub mod id;
pub mod lease;
pub mod needs;
pub mod others;
mod permanence;
pub mod reporter;
pub mod reports;
pub mod result;
mod starting;
pub mod verdict;
mod without_pod;

use jiff::Timestamp;

use crate::Reason;
use by_job::ByJob;
use by_worker::ByWorker;
use ended::Ended;
use facts::{Observed, Unanswered, Why};
use needs::{Answered, Intent, Needs};
use reports::Reports;
use task_manager_api::{Executor, Task, TaskStatus};

pub use by_job::NODE_IS_SILENT;
pub use by_job::{admitted_at, job_name};
pub use by_worker::HAND_OUTS;
pub use held_up::HeldUp;
pub use starting::A_NODE_COMES;

/// The present attempt of a task, or its last one.
pub enum Attempt<'a> {
    /// A Job and its pod; or a bare pod, which counts as its own Job.
    Job(ByJob<'a>),
    /// A warm worker's lease.
    Worker(ByWorker<'a>),
}

/// How far an attempt is, and what is to happen to it for that.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// Nothing of it is there: it is to be launched.
    NotLaunched,
    /// It is on its way or at work.
    Live(Live),
    /// It, or something that stands in its way, is to be ended by us.
    ToEnd(Ending),
    /// It will be clear later how it ended, without anything being done.
    Unclear {
        until: Option<Timestamp>,
    },
    /// The launch made nothing that could run: it was no attempt.
    NeverLaunched(Why),
    /// It was launched, and no node took it.
    NotPlaced(Why),
    Ended(Ended),
}

/// How many seconds parts of an attempt may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// Until its work runs.
    pub work: i64,
    /// Until its pod has a node, where none is coming.
    pub node: i64,
    /// Its work itself, where nobody but us ends that.
    pub timeout: i64,
}

/// News of an attempt that has not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    pub news: Why,
    /// From when on it is worth a write.
    pub news_at: Option<Timestamp>,
    /// When something else of it is due.
    pub wake: Option<Timestamp>,
}

/// The next step of ending something.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    Delete(Deletion),
    EndPod(PodEnd),
    /// The worker is told to stop.
    TellWorker(Reason),
    /// All that can be asked for was asked for.
    Wait {
        until: Option<Timestamp>,
    },
}

/// A Job or pod of a task that is to be deleted. `why` is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    pub child: Child,
    pub name: String,
    pub uid: String,
    pub why: Reason,
}

/// A pod that its kubelet is to end, so many seconds after its start; a second is over at once. Where the reason is a
/// timeout and its time is not over yet, it is told when that will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodEnd {
    pub name: String,
    pub uid: String,
    pub seconds: i64,
    pub ended_for: Reason,
}

/// The kinds of objects that a task may own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Child {
    /// It goes with its pod.
    Job,
    Pod,
}

impl Child {
    /// The kind of object that an attempt is launched as.
    pub fn of(executor: Executor) -> Self {
        match executor {
            Executor::Job => Self::Job,
            Executor::Pod | Executor::Pool => Self::Pod,
        }
    }

    /// As part of a sentence.
    pub fn word(self) -> &'static str {
        match self {
            Self::Job => "Job",
            Self::Pod => "pod",
        }
    }
}

/// Where an attempt runs or ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran {
    pub pod: String,
    pub node: Option<String>,
    /// When its work started; of work that does not tell, when its node took its pod on.
    pub started_at: Option<Timestamp>,
    /// Its work has begun.
    pub has_begun: bool,
    /// How many containers share the room that a pod has for results.
    pub containers: usize,
}

impl<'a> Attempt<'a> {
    /// `None` where a later version of this operator admitted the task to an executor that is not known here.
    pub fn of(task: &'a Task, observed: &'a Observed, now: Timestamp) -> Option<Self> {
        let status = task.status_or_default();
        match (executor(status)?, status.admitted.as_ref().and_then(|admitted| admitted.worker.as_ref())) {
            (Executor::Pool, Some(lease)) => Some(Self::Worker(ByWorker::of(task, lease, observed, now))),
            // Nobody knows whose lease it is.
            (Executor::Pool, None) => None,
            (executor, _) => Some(Self::Job(ByJob::of(task, executor, observed, now))),
        }
    }

    pub fn is_by_worker(&self) -> bool {
        matches!(self, Self::Worker(_))
    }

    /// How far it is, given how long it may take to start.
    pub fn stage(&self, limits: TimeLimits) -> Stage {
        match self {
            Self::Job(job) => job.stage(limits),
            Self::Worker(worker) => worker.stage(limits.timeout),
        }
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<Ended> {
        match self {
            Self::Job(job) => job.ended(),
            Self::Worker(worker) => worker.ended(),
        }
    }

    /// Nothing of it can run any longer, as far as is known.
    pub fn can_run_no_more(&self) -> bool {
        match self {
            Self::Job(job) => job.can_run_no_more(),
            Self::Worker(worker) => worker.can_run_no_more(),
        }
    }

    /// The next step of ending it, for `why`.
    pub fn stop(&self, why: Reason) -> Ending {
        match self {
            Self::Job(job) => job.stop(why),
            Self::Worker(worker) => worker.stop(why),
        }
    }

    /// It was launched, by what is seen of it or by what the status says.
    pub fn was_launched(&self) -> bool {
        match self {
            Self::Job(job) => job.was_launched(),
            Self::Worker(worker) => worker.was_launched(),
        }
    }

    pub fn ran(&self) -> Option<Ran> {
        match self {
            Self::Job(job) => job.ran(),
            Self::Worker(worker) => worker.ran(),
        }
    }

    /// From when it counts how long it has been at work or on its way; `None` where nothing is there that works.
    pub fn at_work_from(&self) -> Option<Timestamp> {
        match self {
            Self::Job(job) => job.at_work_from(),
            Self::Worker(worker) => worker.at_work_from(),
        }
    }

    /// The reports of its work. Those of another attempt, or from elsewhere, count for nothing.
    pub fn reports(&self) -> Option<&'a Reports> {
        match self {
            Self::Job(job) => job.reports(),
            Self::Worker(worker) => worker.reports(),
        }
    }

    /// Why its launch was refused for good.
    pub fn launch_refused(&self) -> Option<&'a Why> {
        match self {
            Self::Job(job) => job.launch_refused(),
            Self::Worker(_) => None,
        }
    }

    /// Its launch was asked for, and nobody said whether it took place.
    pub fn launch_unanswered(&self) -> Option<&'a Unanswered> {
        match self {
            Self::Job(job) => job.launch_unanswered(),
            Self::Worker(_) => None,
        }
    }

    /// Something that an attempt before it left to be removed, once this one is there.
    pub fn leftover(&self, why: Reason) -> Option<Deletion> {
        match self {
            Self::Job(job) => job.leftover(why),
            Self::Worker(_) => None,
        }
    }

    /// The hold-up of its end: something keeps its pod or its Job though that should be gone.
    pub fn held_up(&self) -> Option<HeldUp> {
        match self {
            Self::Job(job) => job.held_up(),
            Self::Worker(worker) => worker.held_up(),
        }
    }

    /// The next question that must be answered before anything is decided about it. `gives_slot_back` says whether the
    /// slot would be given back if nothing more were known.
    pub fn needs(&self, answered: Answered, intent: Intent, gives_slot_back: impl FnOnce() -> bool) -> Needs {
        match self {
            Self::Job(job) => job.needs(answered, intent, gives_slot_back),
            Self::Worker(worker) => worker.needs(answered),
        }
    }
}

/// The executor to which the task was admitted; `None` where this version does not know it.
pub fn executor(status: &TaskStatus) -> Option<Executor> {
    Executor::of_admitted(status.admitted.as_ref().and_then(|admitted| admitted.executor.as_deref()))
}

/// A later version of this operator admitted the task to an executor that is not known here: nothing is known of what
/// runs for it, so it is left alone, and its slot stays counted.
pub fn is_left_alone(task: &Task) -> bool {
    let status = task.status_or_default();
    let has_worker = status.admitted.as_ref().is_some_and(|admitted| admitted.worker.is_some());
    executor(status).is_none_or(|executor| executor == Executor::Pool && !has_worker)
}
