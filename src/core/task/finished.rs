//! A final task. Final is final for its run; what is left is to notice a new run, to remove what the run
//! left behind, and to let the task itself go when its time to live is over. Nothing goes before its record.

use jiff::{SignedDuration, Timestamp};

use super::look::Look;
use super::{Action, Decision};
use crate::attempt::{Attempt, others};
use crate::time::{after, earliest};
use task_manager_api::State;

pub(super) fn decide(look: &Look, attempt: &Attempt) -> Decision {
    let stays = !look.is_being_deleted();
    if stays && look.wants_new_run() {
        return look.begins_anew(&look.status);
    }
    if stays && look.task.metadata.generation.is_some_and(|seen| seen != look.status.observed_generation) {
        return Decision::write(look.of_present_generation());
    }
    // Where the last attempt ended before anybody had time to remove what the one before it left.
    if let Some(leftover) = attempt.leftover(look.status.reason) {
        return Decision::act(Action::Delete(leftover));
    }
    if !look.status.is_archived() || look.input.record_in_doubt {
        return look.recorded_late();
    }
    let to_live = look.task.spec.ttl_seconds_after_finished.filter(|_| stays);
    let expires = after_end(look, to_live.map(i64::from));
    if look.is_past(expires) {
        return Decision::act(Action::DeleteTask);
    }
    // Its work ended well, and only what stood beside that failed: such a Job would be taken for a failure.
    if look.status.state == State::Completed
        && let Some(failed) = others::failed_by_helpers(&look.input.observed, look.status.reason)
    {
        return Decision::act(Action::Delete(failed));
    }
    let forgotten = after_end(look, Some(look.input.settings.keep_finished_seconds));
    match others::kept_for_its_logs(&look.input.observed, look.status.reason) {
        Some(kept) if look.is_past(forgotten) => Decision::act(Action::Delete(kept)),
        Some(_) => Decision::wake_at(earliest([expires, forgotten])),
        None => Decision::wake_at(expires),
    }
}

fn after_end(look: &Look, seconds: Option<i64>) -> Option<Timestamp> {
    Some(after(look.status.finished_at.as_ref()?.0, SignedDuration::from_secs(seconds?)))
}
