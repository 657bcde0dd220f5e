//! The life of a task: what is to be done next, given all that is known.
//!
//! One decision names at most one action. Once it has been carried out and shows in what is observed, the
//! next decision follows; so a stop between any two lines loses nothing, and deciding twice is harmless.

pub mod archiving;
pub mod batch;
mod decision;
mod finished;
mod giving_back;
mod held_up;
mod input;
mod launching;
mod limits;
mod look;
mod once;
mod queued;
mod reports;
pub mod room;
mod running;
mod status;
mod stopping;
#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};

use super::attempt::facts::TOLD_AFTER;
use super::attempt::needs::{Intent, Needs};
use super::attempt::others;
use super::time::{after, earliest};
use crate::attempt::facts::Observed;
use task_manager_api::{AttemptRecord, Reason, State, Task};

pub use archiving::{Recording, keeps_handed_in_log, leaves_unrecorded, log_of_attempt};
pub use batch::{BatchFacts, BatchStep, ChunkFacts, MissingChunk, is_batch};
pub use decision::{Action, Decision};
pub use input::Input;
use look::Look;
pub use once::{Earlier, asks_the_archive};
pub use status::{Admission, admitted};

/// How often a pod is asked for that no watch shows.
const UNWATCHED_LOOKED_AT: SignedDuration = SignedDuration::from_secs(5);

/// The next question to the API server that must be answered before `decide`.
pub fn needs(input: &Input, now: Timestamp) -> Needs {
    if batch::is_batch(&input.task) {
        return Needs::Nothing;
    }
    let holds = input.task.status_or_default().state == State::Processing;
    match Look::attempt(input, now) {
        Some(attempt) if holds => {
            let look = Look::new(input, now);
            let ends = stopping::Stop::wanted(&look).is_some();
            let intent = Intent { ends, limits: look.time_limits() };
            attempt.needs(input.answered, intent, || {
                left_to_its_namespace(input).is_none() && running::gives_the_slot_back(&look, &attempt)
            })
        }
        Some(_) => others::needs_while_slotless(&input.observed, input.answered, now),
        None => Needs::Nothing,
    }
}

/// Decides what is to be done about the task.
pub fn decide(input: &Input, now: Timestamp) -> Decision {
    if batch::is_batch(&input.task) {
        return batch::decide(input, now);
    }
    let Some(attempt) = Look::attempt(input, now) else {
        // A later version of this operator runs it in a way that is not known here: nothing of it is touched, whatever
        // is asked for, until that version is back.
        return Decision::rest();
    };
    if let Some(since) = left_to_its_namespace(input) {
        return ends_with_its_namespace(&Look::new(input, now), since);
    }
    let look = Look::new(input, now);
    let decision = match look.status.state {
        State::Processing => running::decide(&look, &attempt),
        _ => match others::ending_while_slotless(look.task, &input.observed, input.first_seen, now) {
            Some(ending) => Decision::end(ending),
            None if look.status.state.is_final() => finished::decide(&look, &attempt),
            None => queued::decide(&look),
        },
    };
    let unwatched = input.answered.is_unwatched.then(|| after(now, UNWATCHED_LOOKED_AT));
    // A wake in the past would be a busy loop.
    let wake = look.ahead(earliest([decision.wake, unwatched]));
    Decision { wake, ..archiving::first(&look, decision) }
}

/// The namespace takes its tasks along, within a moment usually. One that stays is told once that nothing follows there.
fn ends_with_its_namespace(look: &Look, since: Timestamp) -> Decision {
    if look.status.reason == Reason::NamespaceTerminating || look.status.state.is_final() {
        return Decision::rest();
    }
    match look.ahead(Some(after(since, TOLD_AFTER))) {
        Some(tell_at) => Decision::wake_at(Some(tell_at)),
        None => Decision::write(look.in_terminating_namespace()),
    }
}

/// When its namespace was seen to be ending. One that is being deleted itself, and that somebody's finalizer keeps, ends as
/// any other such task.
fn left_to_its_namespace(input: &Input) -> Option<Timestamp> {
    input.namespace_ends.filter(|_| input.task.metadata.deletion_timestamp.is_none())
}

/// The attempts of a task that is gone, with the one that was under way, as far as it was seen.
pub fn attempts_of_deleted(task: &Task, observed: &Observed, now: Timestamp) -> Vec<AttemptRecord> {
    let status = task.status_or_default();
    let input = Input::of_gone(task, observed);
    match Look::attempt(&input, now).filter(|_| status.state == State::Processing) {
        Some(attempt) => stopping::deleted_with_its_work(&Look::new(&input, now), &attempt).attempts,
        None => status.attempts.clone(),
    }
}
