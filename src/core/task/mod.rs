//! The life of a task: what is to be done next, given all that is known.
//!
//! One decision names at most one action. Once it has been carried out and shows in what is observed, the
//! next decision follows; so a stop between any two lines loses nothing, and deciding twice is harmless.

pub mod archiving;
mod decision;
mod finished;
mod giving_back;
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
use task_manager_api::{Reason, State};

pub use archiving::{Recording, leaves_unrecorded};
pub use decision::{Action, Decision};
pub use input::Input;
use look::Look;
pub use once::{Earlier, asks_the_archive};
pub use status::{Admission, admitted};

/// How often a pod is asked for that no watch shows.
const UNWATCHED_LOOKED_AT: SignedDuration = SignedDuration::from_secs(5);

/// The next question to the API server that must be answered before `decide`.
pub fn needs(input: &Input, now: Timestamp) -> Needs {
    let holds = input.task.status_or_default().state == State::Processing;
    match Look::attempt(input, now) {
        Some(attempt) if holds => {
            let look = Look::new(input, now);
            let ends = stopping::Stop::wanted(&look).is_some();
            let intent = Intent { ends, limits: look.start_limits() };
            attempt.needs(input.answered, intent, || {
                !is_left_to_its_deletion(input) && running::gives_the_slot_back(&look, &attempt)
            })
        }
        Some(_) => others::needs_while_slotless(&input.observed, input.answered, now),
        None => Needs::Nothing,
    }
}

/// Decides what is to be done about the task.
pub fn decide(input: &Input, now: Timestamp) -> Decision {
    let Some(attempt) = Look::attempt(input, now) else {
        // A later version of this operator runs it in a way that is not known here: nothing of it is touched, whatever
        // is asked for, until that version is back.
        return Decision::rest();
    };
    if let Some(since) = input.namespace_ends {
        return ends_with_its_namespace(&Look::new(input, now), since);
    }
    if is_left_to_its_deletion(input) {
        return ends_with_its_task(input, now);
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

/// Somebody's finalizer keeps a deleted task: its work ends all the same, and nothing else is done about it. Without one
/// the garbage collector takes Job and pod along.
fn ends_with_its_task(input: &Input, now: Timestamp) -> Decision {
    others::ending(&input.task, &input.observed, now).map_or_else(Decision::rest, Decision::end)
}

/// The namespace takes its tasks along, within a moment usually. One that stays is told once that nothing follows there.
fn ends_with_its_namespace(look: &Look, since: Timestamp) -> Decision {
    let is_told = look.status.reason == Reason::NamespaceTerminating || look.status.state.is_final();
    if is_told || look.task.metadata.deletion_timestamp.is_some() {
        return Decision::rest();
    }
    match look.ahead(Some(after(since, TOLD_AFTER))) {
        Some(tell_at) => Decision::wake_at(Some(tell_at)),
        None => Decision::write(look.in_terminating_namespace()),
    }
}

/// Whoever deletes a task or its namespace cancels it.
fn is_left_to_its_deletion(input: &Input) -> bool {
    input.task.metadata.deletion_timestamp.is_some() || input.namespace_ends.is_some()
}
