//! Launches what was admitted; or gives the slot back when that cannot be.

use jiff::Timestamp;

use super::look::Look;
use super::{Action, Decision, queued, room};
use crate::Reason;
use crate::attempt::facts::Why;
use crate::attempt::{Attempt, executor};
use crate::launch::holds;
use task_manager_api::TaskStatus;

pub(super) fn launch(look: &Look, attempt: &Attempt) -> Decision {
    if let Some(until) = dry_run_awaited(look, attempt) {
        return Decision::wake_at(Some(until));
    }
    if let Some(given_back) = obstacle(look, attempt) {
        return match attempt.launch_refused().is_some_and(|refused| room::may_help(look, refused)) {
            true => Decision::act(Action::MakeRoom(Box::new(given_back))),
            false => Decision::write(given_back),
        };
    }
    match attempt.launch_unanswered() {
        // It is told before it is given up, and tried on meanwhile.
        Some(unanswered) if unanswered.is_to_be_told(look.now) && look.status.reason != unanswered.why.reason => {
            Decision::write(look.processing(&unanswered.why, None))
        }
        _ => Decision::act(Action::Launch),
    }
}

/// Until when the first dry run of its type is waited for. Before it, less is known of the pod than when its slot was given
/// by whoever led before.
fn dry_run_awaited(look: &Look, attempt: &Attempt) -> Option<Timestamp> {
    let was_tried = attempt.launch_refused().is_some() || attempt.launch_unanswered().is_some();
    look.ahead(look.input.dry_run_awaited).filter(|_| !was_tried)
}

/// The status that gives the slot back, where what was admitted cannot be launched.
pub(super) fn obstacle(look: &Look, attempt: &Attempt) -> Option<TaskStatus> {
    if dry_run_awaited(look, attempt).is_some() {
        return None;
    }
    if let Some(refused) = attempt.launch_refused() {
        return Some(look.not_launched(refused));
    }
    if let Some(unanswered) = attempt.launch_unanswered().filter(|unanswered| unanswered.is_given_up(look.now)) {
        return Some(look.not_launched(&unanswered.why));
    }
    let Some(task_type) = look.input.task_type.as_deref() else {
        return Some(look.readmitted(&queued::no_type(look)));
    };
    if executor(&look.status) != Some(task_type.spec.executor) {
        let why = "its type had another executor when it was admitted";
        return Some(look.readmitted(&Why::new(Reason::SpecChanged, why)));
    }
    match holds::is_what_was_admitted(look.task, task_type, &look.input.settings) {
        Err(error) => Some(look.readmitted(&queued::not_ready(look, &error))),
        Ok(true) => None,
        // Only what was admitted is run: a change in between goes through admission again.
        Ok(false) => {
            let why = "it counts for other resources than when it was admitted, for task or type changed meanwhile";
            Some(look.readmitted(&Why::new(Reason::SpecChanged, why)))
        }
    }
}
