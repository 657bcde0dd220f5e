//! Launches what was admitted; or gives the slot back when that cannot be.

use super::look::Look;
use super::{Action, Decision, queued, room};
use crate::Reason;
use crate::attempt::Attempt;
use crate::attempt::facts::Why;
use crate::launch::holds;
use task_manager_api::TaskStatus;

pub(super) fn launch(look: &Look, attempt: &Attempt) -> Decision {
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

/// The status that gives the slot back, where what was admitted cannot be launched.
pub(super) fn obstacle(look: &Look, attempt: &Attempt) -> Option<TaskStatus> {
    if let Some(refused) = attempt.launch_refused() {
        return Some(look.not_launched(refused));
    }
    if let Some(unanswered) = attempt.launch_unanswered().filter(|unanswered| unanswered.is_given_up(look.now)) {
        return Some(look.not_launched(&unanswered.why));
    }
    let Some(task_type) = look.input.task_type.as_deref() else {
        return Some(look.readmitted(&queued::no_type(look)));
    };
    let counted = match holds::counted(look.task, task_type, &look.input.settings) {
        Ok(counted) => holds::to_quantities(&counted),
        Err(error) => return Some(look.readmitted(&queued::not_ready(look, &error))),
    };
    // Only what was admitted is run: a change in between goes through admission again.
    let is_changed = look.status.admitted.as_ref().is_some_and(|admitted| admitted.resources != counted);
    let why = || Why::new(Reason::SpecChanged, "what it asks for changed between admission and launch");
    is_changed.then(|| look.readmitted(&why()))
}
