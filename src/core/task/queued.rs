//! A task in the queue. Admission takes it out; here it is cancelled, refused, overdue, or told what it
//! waits for.

use jiff::{SignedDuration, Timestamp};

use super::once::Earlier;
use super::status::because;
use super::{Decision, View};
use crate::attempt::facts::Why;
use crate::launch::policy;
use crate::launch::policy::Refusal;
use crate::time::after;
use crate::{ParsedType, Reason, TemplateError};
use task_manager_api::State;

/// How long a task whose pause is over may still be shown as waiting for its retry: usually it is admitted
/// at once, and then nobody needs to be told that it waited for room.
const RETRY_SHOWN_FOR: SignedDuration = SignedDuration::from_secs(2);

/// When the archive is asked again at the latest; when it is known to be back, it is asked at once.
const ARCHIVE_ASKED_AGAIN: SignedDuration = SignedDuration::from_secs(10);

pub(super) fn decide(view: &View) -> Decision {
    if view.wants_new_run() {
        let why = because(Reason::Superseded, format!("runId is now {}", view.task.spec.run_id));
        return view.begins_anew(&view.finished(State::Cancelled, &why));
    }
    if view.task.spec.cancel {
        return Decision::write(
            view.finished(State::Cancelled, &because(Reason::Cancelled, "cancelled while it was queued")),
        );
    }
    if view.is_past(view.deadline()) {
        return Decision::write(view.finished(State::Failed, &overdue(view)));
    }
    match view.around.earlier {
        Earlier::Ended(ended) => return Decision::write(view.ran_before(ended)),
        Earlier::OfAnotherRequest => return Decision::write(view.key_was_used()),
        Earlier::NotAsked | Earlier::NotKnown | Earlier::Never => {}
    }
    match refused(view) {
        Some(refusal) => Decision::write(view.finished(State::Failed, &because(refusal.reason, refusal.message))),
        None => tell_why_it_waits(view),
    }
    .no_later_than(view.ahead(view.deadline()))
}

pub(super) fn overdue(view: &View) -> Why {
    let seconds = view.task.spec.deadline_seconds.unwrap_or_default();
    because(Reason::DeadlineExceeded, format!("not final within deadlineSeconds, {seconds} s after its arrival"))
}

fn refused(view: &View) -> Option<Refusal> {
    policy::refusal(view.task, &view.around.task_type?.spec)
}

/// Tells what the task waits for. A task that simply waits its turn, and that nobody has touched, needs no
/// word: its first status says Queued already.
fn tell_why_it_waits(view: &View) -> Decision {
    let (why, wake) = reason_to_wait(view);
    let why = with_what_happened(view, why);
    let arrival_is_safe = view
        .task
        .metadata
        .resource_version
        .as_ref()
        .is_none_or(|version| *version == view.around.first_seen.to_string());
    if why.reason == Reason::Queued && !view.is_touched() && arrival_is_safe {
        return Decision::wake_at(wake);
    }
    view.say(view.waiting(&why)).no_later_than(wake)
}

/// Why the task is not even a candidate, and until when; `Queued` where it is one.
fn reason_to_wait(view: &View) -> (Why, Option<Timestamp>) {
    let spec = &view.task.spec;
    let start_after = spec.start_after.as_ref().map(|time| time.0);
    if spec.suspend {
        return (because(Reason::Suspended, "held by spec.suspend"), None);
    }
    if let Some(start) = view.ahead(start_after) {
        return (because(Reason::NotYetDue, format!("not started before {start}")), Some(start));
    }
    if let Some(missing) = missing(view) {
        return (missing, None);
    }
    if let Some(job) = view.forestalled() {
        return (job, None);
    }
    if let Some(silent) = view.waits_for_the_archive() {
        return (silent, Some(after(view.now, ARCHIVE_ASKED_AGAIN)));
    }
    waiting_for_next_attempt(view)
        .unwrap_or_else(|| (too_large(view).unwrap_or_else(|| because(Reason::Queued, "")), None))
}

fn missing(view: &View) -> Option<Why> {
    let spec = &view.task.spec;
    let Some(kind) = view.around.task_type else { return Some(no_type(view)) };
    if let Err(error) = &kind.template {
        return Some(not_ready(view, error));
    }
    let message = || {
        let queue = &spec.queue;
        format!(
            "there is no TaskQueue {queue} in this namespace: create it, or correct spec.queue together with a new runId"
        )
    };
    view.around.queue.is_none().then(|| because(Reason::QueueMissing, message()))
}

pub(super) fn no_type(view: &View) -> Why {
    let type_ = &view.task.spec.type_;
    let message = format!(
        "there is no TaskType {type_} in this namespace: create it, or correct spec.type together with a new runId"
    );
    because(Reason::TypeMissing, message)
}

pub(super) fn not_ready(view: &View, error: &TemplateError) -> Why {
    because(Reason::TypeNotReady, format!("TaskType {} cannot be used: {error}", view.task.spec.type_))
}

/// Between attempts the status keeps saying what happened, until the pause is well over.
fn waiting_for_next_attempt(view: &View) -> Option<(Why, Option<Timestamp>)> {
    let until = view.ahead(Some(after(view.status.next_attempt_at.as_ref()?.0, RETRY_SHOWN_FOR)))?;
    let told = because(view.status.reason, view.status.message.clone().unwrap_or_default());
    Some((if is_passing(told.reason) { what_happened(view) } else { told }, Some(until)))
}

/// What a task that could not be admitted is told; it is over when nothing says it any more.
fn is_passing(reason: Reason) -> bool {
    use Reason::*;
    matches!(
        reason,
        Queued
            | Suspended
            | NotYetDue
            | WaitingForArchive
            | TypeMissing
            | TypeNotReady
            | QueueMissing
            | TooLargeForQueue
    )
}

fn what_happened(view: &View) -> Why {
    last_attempt(view).map_or_else(|| because(Reason::Queued, ""), |told| because(Reason::WaitingForRetry, told))
}

fn last_attempt(view: &View) -> Option<String> {
    let last = view.status.attempts.last()?;
    let message = last.message.as_deref().unwrap_or_default();
    Some(format!("attempt {}: {}: {message}", last.number, last.reason))
}

/// A task that failed and cannot be tried again now is told both: what it waits for, and what happened before.
fn with_what_happened(view: &View, why: Why) -> Why {
    match last_attempt(view) {
        Some(told) if is_passing(why.reason) && why.reason != Reason::Queued => {
            Why { message: format!("{}; {told}", why.message), ..why }
        }
        _ => why,
    }
}

fn too_large(view: &View) -> Option<Why> {
    let kind: &ParsedType = view.around.task_type?;
    let amounts = crate::launch::holds::counted(view.task, kind, view.around.settings).ok()?;
    let bound = view.around.queue?.never_fits(view.policy.priority, &amounts)?;
    Some(because(Reason::TooLargeForQueue, format!("queue {}: {bound}", view.task.spec.queue)))
}
