//! Archive before forget: the status that ends a run, and the one that takes its place, are written only together with its
//! record.
//!
//! While the archive does not take the record, the end is written all the same and says so. A new run, and the removal of
//! Jobs and of the task itself, wait.

use super::look::Look;
use super::{Action, Decision};
use crate::Reason;
use crate::attempt::facts::{LogOf, Observed};
use crate::launch::names;
use crate::telling::conditions;
use crate::telling::conditions::Explanation;
use task_manager_api::{AttemptOutcome, State, Task, TaskStatus};

/// A run whose record is to be in the archive before anything more is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// The run as it ended.
    pub ended: TaskStatus,
    /// The container whose last lines belong into the record.
    pub log_of: Option<LogOf>,
    /// Those lines themselves, where a worker handed them in.
    pub log: Option<String>,
    /// Written once the record is there.
    pub then: TaskStatus,
    /// Written where the archive does not take it now. Without this nothing is.
    pub meanwhile: Option<TaskStatus>,
}

/// The task is gone, and the archive was not given what became of its last run.
pub fn leaves_unrecorded(task: &Task) -> bool {
    !task.status.as_ref().is_some_and(TaskStatus::is_archived)
}

/// The log of an attempt that failed, of which this Job is left, and that no record has: which attempt, and where its log
/// is. The record of the run has that of its last one, unless `record_lacks_it`.
pub fn log_of_attempt(task: &Task, job: &str, observed: &Observed, record_lacks_it: bool) -> Option<(i32, LogOf)> {
    let status = task.status_or_default();
    let job_of = |number| names::job_of(task, &TaskStatus { attempt: number, ..status.clone() });
    let attempt = status.attempts.iter().rev().find(|attempt| job_of(attempt.number) == job)?;
    let is_in_the_record = status.state.is_final() && attempt.number == status.attempt && !record_lacks_it;
    let has_failed = matches!(attempt.outcome, AttemptOutcome::Failed | AttemptOutcome::Disrupted);
    let pod = attempt.pod.as_ref().filter(|_| has_failed && !is_in_the_record)?;
    Some((attempt.number, observed.log_of(pod)?))
}

/// No decision that ends a run goes past this: its record comes first.
pub(super) fn first(look: &Look, decision: Decision) -> Decision {
    let Decision { action, wake } = decision;
    let action = match action {
        Action::Write(status) if status.state.is_final() && !look.status.state.is_final() => {
            let [then, meanwhile] = [true, false].map(|there| archived(&status, there));
            record(look, then.clone(), then, Some(meanwhile))
        }
        action => action,
    };
    Decision { action, wake }
}

fn archived(status: &TaskStatus, there: bool) -> TaskStatus {
    TaskStatus { archived: Some(there), ..status.clone() }
}

fn record(look: &Look, ended: TaskStatus, then: TaskStatus, meanwhile: Option<TaskStatus>) -> Action {
    let (log_of, log) = (log_of(look, &ended), handed_in_log(look, &ended));
    let meanwhile = meanwhile.filter(|status| *status != look.status);
    Action::Record(Box::new(Recording { ended, log_of, log, then, meanwhile }))
}

/// Weeks later people read again why something failed, or how far something was that is gone. A success costs no request,
/// unless its Job counts as failed and goes at once, with its log.
fn log_of(look: &Look, ended: &TaskStatus) -> Option<LogOf> {
    let (observed, pod) = (&look.input.observed, ended.attempts.last()?.pod.as_ref()?);
    let is_kept = match ended.state {
        State::Failed => true,
        State::Completed => observed.has_failed(pod),
        State::Cancelled => ended.reason == Reason::Deleted,
        State::Queued | State::Processing => false,
    };
    is_kept.then(|| observed.log_of(pod)).flatten()
}

/// The same of a worker's word.
fn handed_in_log(look: &Look, ended: &TaskStatus) -> Option<String> {
    let word = look.input.observed.worker.as_ref()?.word.as_ref()?;
    let is_kept = ended.state == State::Failed || ended.reason == Reason::Deleted;
    word.log.clone().filter(|_| is_kept)
}

/// The log that a worker handed in with the attempt whose end was just written is to be kept beside the records: the attempt
/// failed, and no record has it.
pub fn keeps_handed_in_log(before: &Task, written: &TaskStatus) -> bool {
    let number = before.status_or_default().attempt;
    let ended = written.attempts.iter().rev().find(|attempt| attempt.number == number);
    let is_new = before.status_or_default().attempts.iter().all(|attempt| attempt.number != number);
    let has_failed =
        ended.is_some_and(|ended| matches!(ended.outcome, AttemptOutcome::Failed | AttemptOutcome::Disrupted));
    is_new && has_failed && !written.is_archived()
}

impl Look<'_> {
    /// The record of this final run is still to be written.
    pub(super) fn recorded_late(&self) -> Decision {
        let then = archived(&self.status, true);
        Decision::act(record(self, then.clone(), then, None))
    }

    /// A new run takes the place of this one, which ended so. What was never launched leaves nothing
    /// behind, unless a record of it was put.
    pub(super) fn begins_anew(&self, ended: &TaskStatus) -> Decision {
        let was_launched = self.status.attempt > 0 || self.status.state.is_final();
        let is_recorded = ended.is_archived() || !was_launched;
        if is_recorded && !self.input.record_in_doubt {
            return Decision::write(self.new_run());
        }
        let waits = self.waits_for_the_record(ended);
        Decision::act(record(self, archived(ended, true), self.new_run(), Some(waits)))
    }

    /// The end of the run before stays, and the conditions say that a new one waits and what for.
    fn waits_for_the_record(&self, ended: &TaskStatus) -> TaskStatus {
        let (new, old) = (&self.task.spec.run_id, ended.run_id.as_deref().unwrap_or_default());
        let message = format!("runId {new} begins once the archive has the record of runId {old}");
        let said = Explanation {
            state: ended.state,
            reason: ended.reason,
            message: ended.message.as_deref().unwrap_or_default(),
        };
        TaskStatus {
            conditions: conditions::of_rerun(
                &said,
                &conditions::shortened(&message),
                &self.status.conditions,
                self.now,
            ),
            observed_generation: self.task.metadata.generation.unwrap_or_default(),
            ..archived(ended, false)
        }
    }

    /// The same end, with the conditions of the task's present generation.
    pub(super) fn of_present_generation(&self) -> TaskStatus {
        let status = &self.status;
        let said = Explanation {
            state: status.state,
            reason: status.reason,
            message: status.message.as_deref().unwrap_or_default(),
        };
        TaskStatus {
            conditions: conditions::of_task(&said, &status.conditions, self.now),
            observed_generation: self.task.metadata.generation.unwrap_or_default(),
            ..status.clone()
        }
    }
}
