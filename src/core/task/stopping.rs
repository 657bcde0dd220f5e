//! A task that is to end though its work has not: deleted, cancelled, asked to run anew, or past its deadline. What runs is ended
//! first, and only then is written what follows.

use super::look::Look;
use super::running::judged;
use super::{Decision, queued};
use crate::Reason;
use crate::attempt::ended::Ended;
use crate::attempt::facts::Why;
use crate::attempt::{Attempt, others};
use crate::telling::conditions;
use task_manager_api::{AttemptOutcome, State, TaskStatus};

/// Why a task is to end though its work has not.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Stop {
    /// Whoever deletes a task cancels it.
    Deletion,
    NewRun,
    Cancel,
    Deadline,
}

impl Stop {
    pub(super) fn wanted(look: &Look) -> Option<Self> {
        if look.is_being_deleted() {
            Some(Self::Deletion)
        } else if look.wants_new_run() {
            Some(Self::NewRun)
        } else if look.task.spec.cancel {
            Some(Self::Cancel)
        } else {
            look.is_past(look.deadline()).then_some(Self::Deadline)
        }
    }

    pub(super) fn why(self, look: &Look) -> Why {
        match self {
            Self::Deletion => Why::new(Reason::Deleted, "deleted while it was processing"),
            Self::NewRun => queued::superseded(look),
            Self::Cancel => Why::new(Reason::Cancelled, "cancelled while it was processing"),
            Self::Deadline => queued::overdue(look),
        }
    }
}

pub(super) fn stopping(look: &Look, attempt: &Attempt, stop: Stop) -> Decision {
    if !attempt.can_run_no_more() {
        return say_so_then_end(look, attempt, stop);
    }
    if let Some(ending) = others::ending(look.task, &look.input.observed, look.now) {
        return Decision::end(ending);
    }
    let (why, ended) = (stop.why(look), attempt.ended());
    let status = match (stop, &ended) {
        // Work that was done in time is not thrown away for a deadline, nor for another run.
        (Stop::Deadline | Stop::NewRun, Some(ended)) if ended.has_succeeded() => judged(look, attempt, ended),
        (Stop::Deadline, ended) => stopped(look, attempt, ended.as_ref(), State::Failed, &why),
        (Stop::Deletion, _) => deleted(look, attempt),
        (Stop::Cancel | Stop::NewRun, ended) => stopped(look, attempt, ended.as_ref(), State::Cancelled, &why),
    };
    if stop == Stop::NewRun { look.begins_anew(&status) } else { Decision::write(status) }
}

/// The status first says that it is stopping: whoever asked for that sees that it was taken up, and an operator that
/// starts later knows of the attempt though nothing of it may be left.
fn say_so_then_end(look: &Look, attempt: &Attempt, stop: Stop) -> Decision {
    let why = stop.why(look);
    let (held, ran) = (attempt.held_up(), attempt.ran());
    let tell_at = held.as_ref().map(|held| held.at);
    let status = match held.filter(|held| look.is_past(Some(held.at))) {
        Some(held) => look.held_up(&Why::new(Reason::Stopping, why.message), &held.by, ran.as_ref()),
        None => {
            let message = conditions::followed(&why.message, "waiting for its pod to end");
            look.processing(&Why::new(Reason::Stopping, message), ran.as_ref())
        }
    };
    if look.status.reason != Reason::Stopping || look.status.message != status.message {
        return look.write_if_news(status);
    }
    Decision::end(attempt.stop(why.reason)).no_later_than(look.ahead(tell_at))
}

/// The end of a task that was deleted. One that its work had come to by itself stays: to the archive, too, an end goes before
/// a mere deletion.
fn deleted(look: &Look, attempt: &Attempt) -> TaskStatus {
    let ended = attempt.ended();
    let by_itself = ended.as_ref().filter(|ended| ended.ended_by.is_none()).map(|ended| judged(look, attempt, ended));
    let is_own = |status: &TaskStatus| {
        let outcome = status.attempts.last().map(|attempt| attempt.outcome);
        status.state.is_final() && outcome != Some(AttemptOutcome::Disrupted)
    };
    by_itself.filter(is_own).unwrap_or_else(|| deleted_with_its_work(look, attempt))
}

pub(super) fn deleted_with_its_work(look: &Look, attempt: &Attempt) -> TaskStatus {
    stopped(look, attempt, attempt.ended().as_ref(), State::Cancelled, &Stop::Deletion.why(look))
}

fn stopped(look: &Look, attempt: &Attempt, ended: Option<&Ended>, state: State, why: &Why) -> TaskStatus {
    let look = &look.with_last_reports(attempt);
    let attempts = match attempt.was_launched() {
        true => look.attempt_stopped(why, ended, attempt.ran().as_ref()),
        false => look.status.attempts.clone(),
    };
    TaskStatus { attempts, ..look.finished(state, why) }
}
