//! The life of a task: what is to be done next, given all that is known.
//!
//! One decision names at most one action. Once it has been carried out and shows in what is observed, the
//! next decision follows; so a stop between any two lines loses nothing, and deciding twice is harmless.

pub mod archiving;
mod finished;
mod once;
mod queued;
pub mod reports;
pub mod running;
mod starting;
pub mod status;
mod stopping;
#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};

use super::attempt::facts::{JobFacts, Observed, Why};
use super::launch::names;
use super::queue::Quota;
use super::time::after;
use super::{ParsedType, Policy, Reason, Settings};
use task_manager_api::{State, Task, TaskStatus};

pub use archiving::{LogOf, Recording, leaves_unrecorded};
pub use once::{Earlier, asks_the_archive};
pub use running::{Hearing, hearing};
pub use status::Admission;

/// All that is known beside the task itself, read beforehand.
pub struct Surroundings<'a> {
    /// The TaskType that the task names; `None` while there is no such type.
    pub task_type: Option<&'a ParsedType>,
    /// The TaskQueue that the task names; `None` while there is no such queue.
    pub queue: Option<&'a Quota>,
    pub observed: &'a Observed,
    /// The resourceVersion with which the task was first seen in the run that it asks for: its arrival.
    pub first_seen: u64,
    /// What the archive says of earlier tasks of its name, where it has to be asked.
    pub earlier: &'a Earlier,
    /// A record was put, and it is not known whether the status was written that it speaks of.
    pub record_in_doubt: bool,
    /// Its namespace is being deleted.
    pub namespace_ends: bool,
    pub settings: &'a Settings,
}

/// What is to be done, why, and when to look again even if nothing changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub action: Action,
    pub wake: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Nothing to do.
    Rest,
    /// Write this status.
    Write(Box<TaskStatus>),
    /// Put the record of a run into the archive, then write what follows.
    Record(Box<Recording>),
    /// Create the present attempt's Job.
    Launch,
    /// Delete this Job and its pod. `why` is for people.
    DeleteJob { name: String, uid: String, why: Reason },
    /// Delete this pod alone.
    DeletePod { name: String, uid: String, why: Reason },
    /// Delete the task itself: its time to live is over.
    DeleteTask,
}

impl Action {
    /// Done for a task that holds a slot, this ends that.
    fn gives_the_slot_back(&self) -> bool {
        match self {
            Self::Write(status) => status.state != State::Processing,
            Self::Record(_) => true,
            _ => false,
        }
    }
}

impl Decision {
    fn rest() -> Self {
        Self { action: Action::Rest, wake: None }
    }

    fn wake_at(wake: Option<Timestamp>) -> Self {
        Self { action: Action::Rest, wake }
    }

    fn act(action: Action) -> Self {
        Self { action, wake: None }
    }

    fn write(status: TaskStatus) -> Self {
        Self::act(Action::Write(Box::new(status)))
    }

    /// Look again no later than `wake`.
    fn no_later_than(mut self, wake: Option<Timestamp>) -> Self {
        self.wake = earliest([self.wake, wake]);
        self
    }
}

/// What is to be done about `task`.
pub fn decide(task: &Task, around: &Surroundings, now: Timestamp) -> Decision {
    if task.metadata.deletion_timestamp.is_some() || around.namespace_ends {
        // Whoever deletes a task or its namespace cancels it; its Job and pod go along.
        return Decision::rest();
    }
    let view = View::new(task, around, now);
    let decision = match view.status.state {
        State::Processing => running::decide(&view),
        _ => running::ending_others(&view).unwrap_or_else(|| decide_without_slot(&view)),
    };
    // What was due already and did not come is not waited for by looking again and again.
    Decision { wake: view.ahead(decision.wake), ..archiving::first(&view, decision) }
}

/// The slot is about to be given back though the watches show no Job of the present attempt. One that was asked for
/// and not answered, by us or by who led before, may be there all the same: the API server has to be asked first. So it
/// has where a pod says that it is of a Job that nobody has seen.
pub fn doubts_the_launch(task: &Task, around: &Surroundings, now: Timestamp) -> bool {
    let job = job_name(task);
    let observed = around.observed;
    let seen = || observed.jobs.iter().filter(|seen| seen.name == job);
    let is_named = || seen().next().is_none() && observed.pods.iter().any(|pod| pod.job == job);
    let is_given_up = || seen().all(|seen| seen.gone) && decide(task, around, now).action.gives_the_slot_back();
    let holds = task.status.as_ref().is_some_and(|status| status.state == State::Processing);
    holds && (is_named() || is_given_up())
}

fn decide_without_slot(view: &View) -> Decision {
    if view.status.state.is_final() { finished::decide(view) } else { queued::decide(view) }
}

/// A task with everything that decisions about it ask for again and again.
#[derive(Clone)]
struct View<'a> {
    task: &'a Task,
    status: TaskStatus,
    around: &'a Surroundings<'a>,
    policy: Policy,
    now: Timestamp,
}

impl<'a> View<'a> {
    fn new(task: &'a Task, around: &'a Surroundings<'a>, now: Timestamp) -> Self {
        let policy = Policy::of(&task.spec, around.task_type.map(|kind| &kind.spec));
        Self { task, status: task.status.clone().unwrap_or_default(), around, policy, now }
    }

    /// The operator has written to this task before.
    fn is_touched(&self) -> bool {
        self.status.run_id.is_some()
    }

    /// Somebody asked for another run than the one that the status speaks of.
    fn wants_new_run(&self) -> bool {
        self.status.superseded_run(&self.task.spec).is_some()
    }

    fn uid(&self) -> &str {
        self.task.metadata.uid.as_deref().unwrap_or_default()
    }

    fn job_name(&self) -> String {
        job_name(self.task)
    }

    /// This Job bears the name of an attempt that nobody has launched.
    fn is_forestalled_by(&self, job: &JobFacts) -> bool {
        self.status.state == State::Queued && forestalls(job, self.task, self.around.first_seen)
    }

    /// Such a Job goes, and while it is not gone nothing starts.
    fn forestalled(&self) -> Option<Why> {
        let job = self.around.observed.jobs.iter().find(|job| self.is_forestalled_by(job))?;
        let message = format!(
            "a Job {} that is not ours bears the name of the next attempt, which starts when that is gone",
            job.name
        );
        Some(Why { reason: Reason::LaunchRefused, message })
    }

    /// When this run entered the queue.
    fn queued_at(&self) -> Timestamp {
        queued_at(self.task, &self.status)
    }

    fn deadline(&self) -> Option<Timestamp> {
        let seconds = self.task.spec.deadline_seconds?;
        Some(after(self.queued_at(), SignedDuration::from_secs(seconds.into())))
    }

    fn is_past(&self, time: Option<Timestamp>) -> bool {
        time.is_some_and(|time| time <= self.now)
    }

    /// `time`, if it lies ahead.
    fn ahead(&self, time: Option<Timestamp>) -> Option<Timestamp> {
        time.filter(|time| *time > self.now)
    }

    /// Writes `status` if it says anything new.
    fn say(&self, status: TaskStatus) -> Decision {
        if Some(&status) == self.task.status.as_ref() { Decision::rest() } else { Decision::write(status) }
    }
}

fn queued_at(task: &Task, status: &TaskStatus) -> Timestamp {
    let created = task.metadata.creation_timestamp.as_ref().map(|time| time.0);
    status.queued_at.as_ref().map(|time| time.0).or(created).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn earliest(times: impl IntoIterator<Item = Option<Timestamp>>) -> Option<Timestamp> {
    times.into_iter().flatten().min()
}

/// The name of the present attempt's Job.
pub fn job_name(task: &Task) -> String {
    names::job_of(task, &task.status.clone().unwrap_or_default())
}

/// The next attempt of this task, which waits for a slot, cannot be launched as it should: there is a Job of that
/// attempt's name, which is not ours.
pub fn is_forestalled(task: &Task, observed: &Observed, first_seen: u64) -> bool {
    observed.jobs.iter().any(|job| forestalls(job, task, first_seen))
}

fn forestalls(job: &JobFacts, task: &Task, first_seen: u64) -> bool {
    !job.gone && job.name == names::job_of(task, &status::next_attempt(task, first_seen))
}

/// The status that admits a task: written before anything is launched, so that a stop in between leaves a
/// trace of the slot, never a pod that nobody counts.
pub fn admitted(task: &Task, kind: &ParsedType, admission: &Admission, now: Timestamp) -> TaskStatus {
    status::admitted(task, kind, admission, now)
}
