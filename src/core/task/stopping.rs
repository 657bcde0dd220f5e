//! A task that is to end though its work has not: cancelled, asked to run anew, or past its deadline. What runs is ended
//! first, and only then is written what follows.

use super::look::Look;
use super::running::judged;
use super::{Decision, queued};
use crate::Reason;
use crate::attempt::ended::Ended;
use crate::attempt::facts::Why;
use crate::attempt::{Attempt, others};
use crate::telling::conditions;
use task_manager_api::{State, TaskStatus};

/// Why a task is to end though its work has not.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Stop {
    NewRun,
    Cancel,
    Deadline,
}

impl Stop {
    pub(super) fn wanted(look: &Look) -> Option<Self> {
        if look.wants_new_run() {
            Some(Self::NewRun)
        } else if look.task.spec.cancel {
            Some(Self::Cancel)
        } else {
            look.is_past(look.deadline()).then_some(Self::Deadline)
        }
    }

    fn why(self, look: &Look) -> Why {
        match self {
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
        (Stop::Cancel | Stop::NewRun, ended) => stopped(look, attempt, ended.as_ref(), State::Cancelled, &why),
    };
    if stop == Stop::NewRun { look.begins_anew(&status) } else { Decision::write(status) }
}

/// The status first says that it is stopping: whoever asked for that sees that it was taken up, and an operator that
/// starts later knows of the attempt though nothing of it may be left.
fn say_so_then_end(look: &Look, attempt: &Attempt, stop: Stop) -> Decision {
    let why = stop.why(look);
    let waits_for = attempt.held_up().map_or_else(|| "waiting for its pod to end".into(), |held| held.message);
    let stopping = Why::new(Reason::Stopping, format!("{}; {waits_for}", why.message));
    if look.status.reason != Reason::Stopping || look.status.message != Some(conditions::shortened(&stopping.message)) {
        return look.write_if_news(look.processing(&stopping, attempt.ran().as_ref()));
    }
    Decision::end(attempt.stop(why.reason))
}

fn stopped(look: &Look, attempt: &Attempt, ended: Option<&Ended>, state: State, why: &Why) -> TaskStatus {
    let look = &look.with_last_reports(attempt);
    let attempts = match attempt.was_launched() {
        true => look.attempt_stopped(why, ended, attempt.ran().as_ref()),
        false => look.status.attempts.clone(),
    };
    TaskStatus { attempts, ..look.finished(state, why) }
}
