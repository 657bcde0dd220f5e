//! Chooses the status changes that deserve a warning event: failures, and tasks that are stuck. Each event is a write to
//! the API server, so success is visible in the status alone.

use super::text;
use super::wait::Wait;
use crate::Reason;
use task_manager_api::{AttemptOutcome, State, TaskStatus};

/// A warning event on a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Warning {
    pub reason: Reason,
    pub message: String,
    /// The `action` of the event: `Attempt<number>`, `Finish` or `Wait`.
    pub action: String,
}

/// The longest note of an event that the API server takes, in bytes.
const LONGEST_NOTE: usize = 1024;

/// The warning that goes with a status that was just written, if any.
pub fn warning(was: &TaskStatus, is: &TaskStatus) -> Option<Warning> {
    let warn = |reason, action: String| {
        let message = text::cut_bytes(is.message.as_deref().unwrap_or(is.reason.sentence()), LONGEST_NOTE);
        Some(Warning { reason, message, action })
    };
    if is.state == State::Failed && was.state != State::Failed {
        return warn(is.reason, "Finish".into());
    }
    let ended = is.attempts.last().filter(|attempt| was.attempts.last() != Some(*attempt));
    match ended.filter(|attempt| matches!(attempt.outcome, AttemptOutcome::Failed | AttemptOutcome::Disrupted)) {
        Some(attempt) => warn(attempt.reason, format!("Attempt{}", attempt.number)),
        None if is_stuck(is) && was.reason != is.reason => warn(is.reason, "Wait".into()),
        None => None,
    }
}

/// Whether the task waits for something that somebody must change.
fn is_stuck(status: &TaskStatus) -> bool {
    !status.state.is_final() && Wait::of(status.reason).needs_somebody()
}

#[cfg(test)]
mod tests {
    use super::*;
    use task_manager_api::AttemptRecord;

    fn status(state: State, reason: Reason) -> TaskStatus {
        TaskStatus { state, reason, ..TaskStatus::default() }
    }

    fn reason(was: &TaskStatus, is: &TaskStatus) -> Option<Reason> {
        warning(was, is).map(|warning| warning.reason)
    }

    #[test]
    fn success_is_no_event() {
        let queued = status(State::Queued, Reason::Queued);
        let processing = status(State::Processing, Reason::Admitted);
        assert_eq!(reason(&queued, &processing), None);
        assert_eq!(reason(&processing, &status(State::Completed, Reason::Succeeded)), None);
        assert_eq!(reason(&processing, &status(State::Cancelled, Reason::Cancelled)), None);
    }

    #[test]
    fn a_failed_attempt_is_warned_of_once_with_its_own_reason() {
        let processing = status(State::Processing, Reason::Running);
        let attempt =
            AttemptRecord { reason: Reason::OOMKilled, outcome: AttemptOutcome::Failed, ..AttemptRecord::default() };
        let waiting = TaskStatus { attempts: vec![attempt], ..status(State::Queued, Reason::WaitingForRetry) };
        assert_eq!(reason(&processing, &waiting), Some(Reason::OOMKilled));
        let admitted = TaskStatus { attempts: waiting.attempts.clone(), ..status(State::Processing, Reason::Admitted) };
        assert_eq!(reason(&waiting, &admitted), None);
    }

    #[test]
    fn the_longest_message_of_a_status_fits_into_an_event() {
        let failed = TaskStatus { message: Some("ü".repeat(1024)), ..status(State::Failed, Reason::ExitCode) };
        let told = warning(&status(State::Processing, Reason::Running), &failed).expect("a warning").message;
        assert!(told.len() <= LONGEST_NOTE && told.ends_with('…'), "{} bytes", told.len());
    }

    #[test]
    fn a_stuck_task_is_warned_of_once() {
        let queued = status(State::Queued, Reason::Queued);
        let stuck = status(State::Queued, Reason::TypeMissing);
        assert_eq!(reason(&queued, &stuck), Some(Reason::TypeMissing));
        assert_eq!(reason(&stuck, &stuck), None);
    }
}
