//! Decides whether the reports of a pod count for a task.

use jiff::Timestamp;

use super::Attempt;
use super::by_job::ByJob;
use super::facts::{Observed, PodFacts};
use task_manager_api::{State, Task};

/// Whether a pod may report for a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is at work on the present attempt.
    Present,
    /// Its attempt is over, or to be given up for another run: its reports change nothing any longer.
    Over,
    /// It says that it is at work on the present attempt, and nobody has seen what proves it.
    Unproven,
    /// It is none of this task's.
    Stranger,
}

/// Whether the pod of this uid may report for `task`, as part of the attempt of this number where it names one.
pub fn standing(task: &Task, observed: &Observed, pod_uid: &str, named: Option<i32>) -> Standing {
    let Some(pod) = observed.pods.iter().find(|pod| pod.uid == pod_uid) else { return Standing::Stranger };
    // Times do not matter here, for nothing is judged.
    let Some(attempt) = Attempt::of(task, observed, Timestamp::UNIX_EPOCH) else { return Standing::Unproven };
    let status = task.status_or_default();
    let is_wanted = status.run_id.as_ref() == Some(&task.spec.run_id) && task.metadata.deletion_timestamp.is_none();
    if status.state != State::Processing || !is_wanted || pod.has_ended() {
        return Standing::Over;
    }
    match attempt.works_in(pod) {
        Standing::Present if named.is_some_and(|named| named != status.attempt) => Standing::Over,
        standing => standing,
    }
}

impl Attempt<'_> {
    fn works_in(&self, pod: &PodFacts) -> Standing {
        match self {
            Self::Job(job) => job.works_in(pod),
            // A worker reports by its lease.
            Self::Worker(_) => Standing::Stranger,
        }
    }
}

impl ByJob<'_> {
    fn works_in(&self, reporter: &PodFacts) -> Standing {
        match (self.job, self.pod) {
            (_, Some(pod)) if pod.uid == reporter.uid => Standing::Present,
            (None, None) if reporter.job == self.name => Standing::Unproven,
            _ => Standing::Over,
        }
    }
}
