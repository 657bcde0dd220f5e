//! A task that is to end though its work has not: cancelled, asked to run anew, or past its deadline. What runs is ended
//! first, and only then is written what follows.

use super::running::{Attempt, ended_unseen, ending_others, judged};
use super::status::because;
use super::{Decision, View, queued};
use crate::Reason;
use crate::attempt::ended;
use crate::attempt::ended::Ended;
use crate::attempt::facts::Why;
use task_manager_api::{State, TaskStatus};

/// Why a task is to end though its work has not.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Stop {
    NewRun,
    Cancel,
    Deadline,
}

impl Stop {
    pub(super) fn wanted(view: &View) -> Option<Self> {
        if view.wants_new_run() {
            Some(Self::NewRun)
        } else if view.task.spec.cancel {
            Some(Self::Cancel)
        } else {
            view.is_past(view.deadline()).then_some(Self::Deadline)
        }
    }

    fn why(self, view: &View) -> Why {
        match self {
            Self::NewRun => because(Reason::Superseded, format!("runId is now {}", view.task.spec.run_id)),
            Self::Cancel => because(Reason::Cancelled, "cancelled while it was processing"),
            Self::Deadline => queued::overdue(view),
        }
    }
}

/// Ends what runs, and only then writes what follows.
pub(super) fn stopping(view: &View, attempt: &Attempt, stop: Stop) -> Decision {
    if !attempt.can_run_no_more(view.now) {
        return tell_then_end(view, attempt, stop);
    }
    if let Some(ending) = ending_others(view) {
        return ending;
    }
    let why = stop.why(view);
    let ended = match attempt.pod {
        Some(pod) => ended::ended(pod, attempt.job, view.now),
        None => attempt.job.and_then(ended_unseen),
    };
    let status = match (stop, &ended) {
        // Work that was done in time is not thrown away for a deadline, nor for another run.
        (Stop::Deadline | Stop::NewRun, Some(ended)) if ended.has_succeeded() => judged(view, ended, attempt.pod),
        (Stop::Deadline, ended) => stopped(view, attempt, ended.as_ref(), State::Failed, &why),
        (Stop::Cancel | Stop::NewRun, ended) => stopped(view, attempt, ended.as_ref(), State::Cancelled, &why),
    };
    if stop == Stop::NewRun { view.begins_anew(&status) } else { Decision::write(status) }
}

/// Says first that it is stopping: a person who asked for it sees that it was heard, and whoever comes after us knows
/// of the attempt though nothing of it may be left.
fn tell_then_end(view: &View, attempt: &Attempt, stop: Stop) -> Decision {
    let why = stop.why(view);
    if view.status.reason != Reason::Stopping {
        let stopping = because(Reason::Stopping, format!("{}; waiting for its pod to end", why.message));
        return view.say(view.processing(&stopping, attempt.pod));
    }
    attempt.delete_job(why.reason)
}

fn stopped(view: &View, attempt: &Attempt, ended: Option<&Ended>, state: State, why: &Why) -> TaskStatus {
    let view = &view.with_last_words(attempt.pod);
    // What is gone without a trace while nobody looked may have left its name in the status.
    let told = view.status.worker.is_some() || view.status.reason == Reason::Stopping;
    let was_launched = attempt.pod.is_some() || attempt.job.is_some() || told;
    let attempts = match was_launched {
        true => view.attempt_stopped(why, ended, attempt.pod),
        false => view.status.attempts.clone(),
    };
    TaskStatus { attempts, ..view.finished(state, why) }
}
