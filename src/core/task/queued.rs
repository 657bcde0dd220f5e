//! A task in the queue. Admission takes it out; here it is cancelled, refused, overdue, or says what it
//! waits for.

use jiff::{SignedDuration, Timestamp};

use super::Decision;
use super::look::Look;
use super::once::Earlier;
use crate::attempt::facts::Why;
use crate::attempt::others;
use crate::launch::policy;
use crate::launch::policy::Refusal;
use crate::queue::missing_queue;
use crate::telling::text;
use crate::telling::wait::Wait;
use crate::time::after;
use crate::{ParsedType, Reason, TemplateError};
use task_manager_api::NEVER;

/// How long a task whose pause is over may still be shown as waiting for its retry: usually it is admitted
/// at once, and then nobody needs to read that it waited for room.
const RETRY_SHOWN_FOR: SignedDuration = SignedDuration::from_secs(2);

/// How long after a task its type and its queue may come without anything being told.
const MAY_COME_WITHIN: SignedDuration = SignedDuration::from_secs(5);

/// When the archive is asked again at the latest; when it is known to be back, it is asked at once.
const ARCHIVE_ASKED_AGAIN: SignedDuration = SignedDuration::from_secs(10);

pub(super) fn decide(look: &Look) -> Decision {
    end(look).unwrap_or_else(|| write_why_it_waits(look).no_later_than(look.ahead(look.deadline())))
}

/// What it ends with, or begins anew with, while it is queued.
pub(super) fn end(look: &Look) -> Option<Decision> {
    if look.is_being_deleted() {
        return Some(Decision::write(look.cancelled(&Why::new(Reason::Deleted, "deleted while it was queued"))));
    }
    if look.wants_new_run() {
        return Some(look.begins_anew(&look.cancelled(&superseded(look))));
    }
    if look.task.spec.cancel {
        let why = Why::new(Reason::Cancelled, "cancelled while it was queued");
        return Some(Decision::write(look.cancelled(&why)));
    }
    if look.is_past(look.deadline()) {
        return Some(Decision::write(look.failed(&overdue(look))));
    }
    match &look.input.earlier {
        Earlier::Ended(ended) => return Some(Decision::write(look.ran_before(ended))),
        Earlier::OfAnotherRequest => return Some(Decision::write(look.key_was_used())),
        Earlier::NotAsked | Earlier::NotKnown | Earlier::Never => {}
    }
    let Refusal { reason, message } = refused(look)?;
    Some(Decision::write(look.failed(&Why::new(reason, message))).no_later_than(look.ahead(look.deadline())))
}

/// Another run is asked for than the one that the status speaks of.
pub(super) fn superseded(look: &Look) -> Why {
    Why::new(Reason::Superseded, format!("runId is now {}", look.task.spec.run_id))
}

pub(super) fn overdue(look: &Look) -> Why {
    let seconds = look.task.spec.deadline_seconds.unwrap_or_default();
    Why::new(Reason::DeadlineExceeded, format!("not final within deadlineSeconds, {seconds} s after its arrival"))
}

fn refused(look: &Look) -> Option<Refusal> {
    policy::refusal(look.task, &look.input.task_type.as_ref()?.spec)
}

/// Writes what the task waits for. A task that simply waits its turn, and that nobody has touched, needs no write: its
/// first status says Queued already.
pub(super) fn write_why_it_waits(look: &Look) -> Decision {
    let (why, wake) = reason_to_wait(look);
    let why = with_what_happened(look, why);
    let arrival_is_safe = look
        .task
        .metadata
        .resource_version
        .as_ref()
        .is_none_or(|version| *version == look.input.first_seen.to_string());
    if why.reason == Reason::Queued && !look.is_touched() && arrival_is_safe {
        return Decision::wake_at(wake);
    }
    if let Some(until) = may_come_until(look, why.reason).filter(|_| arrival_is_safe) {
        return Decision::wake_at(Some(until));
    }
    look.write_if_news(look.waiting(&why)).no_later_than(wake)
}

/// Until when the type and the queue of a new task may still come: one manifest holds them all, and each has a watch of its
/// own.
fn may_come_until(look: &Look, reason: Reason) -> Option<Timestamp> {
    let may_come = matches!(reason, Reason::TypeMissing | Reason::QueueMissing) && !look.is_touched();
    let created = look.task.metadata.creation_timestamp.as_ref().filter(|_| may_come)?;
    look.ahead(Some(after(created.0, MAY_COME_WITHIN)))
}

/// Why the task is not even a candidate, and until when; `Queued` where it is one.
pub(super) fn reason_to_wait(look: &Look) -> (Why, Option<Timestamp>) {
    let spec = &look.task.spec;
    let start_after = spec.start_after.as_ref().map(|time| time.0);
    if spec.suspend {
        return (Why::new(Reason::Suspended, "held by spec.suspend"), None);
    }
    if start_after == Some(NEVER) {
        let message = "startAfter cannot be read as a time, so it never starts: write one such as 2026-01-01T00:00:00Z";
        return (Why::new(Reason::NotYetDue, message), None);
    }
    if let Some(start) = look.ahead(start_after) {
        return (Why::new(Reason::NotYetDue, format!("not started before {start}")), Some(start));
    }
    if let Some(missing) = missing(look) {
        return (missing, None);
    }
    if let Some(job) = others::forestalled(look.task, &look.input.observed, look.input.first_seen) {
        return (job, None);
    }
    if let Some(silent) = look.waits_for_the_archive() {
        return (silent, Some(after(look.now, ARCHIVE_ASKED_AGAIN)));
    }
    waiting_for_next_attempt(look).unwrap_or_else(|| (too_large(look).unwrap_or_else(|| in_its_queue(look)), None))
}

pub(super) fn missing(look: &Look) -> Option<Why> {
    let spec = &look.task.spec;
    let Some(kind) = look.input.task_type.as_deref() else { return Some(no_type(look)) };
    if let Err(error) = kind.runs() {
        return Some(not_ready(look, error));
    }
    look.input.queue.is_none().then(|| Why::new(Reason::QueueMissing, missing_queue(&spec.queue)))
}

pub(super) fn no_type(look: &Look) -> Why {
    let type_ = &look.task.spec.type_;
    let message = format!(
        "there is no TaskType {type_} in this namespace: create it, or correct spec.type together with a new runId"
    );
    Why::new(Reason::TypeMissing, message)
}

pub(super) fn not_ready(look: &Look, error: &TemplateError) -> Why {
    Why::new(Reason::TypeNotReady, format!("TaskType {} cannot be used: {error}", look.task.spec.type_))
}

/// Between attempts the status keeps saying what happened, until the pause is well over.
fn waiting_for_next_attempt(look: &Look) -> Option<(Why, Option<Timestamp>)> {
    let until = look.ahead(Some(after(look.status.next_attempt_at.as_ref()?.0, RETRY_SHOWN_FOR)))?;
    let told = Why::new(look.status.reason, look.status.message.clone().unwrap_or_default());
    let happened = || last_attempt(look).map_or_else(bare, |told| Why::new(Reason::WaitingForRetry, told));
    let told = if Wait::of(told.reason).is_before_admission() { happened() } else { told };
    Some((look.why_given_back().unwrap_or(told), Some(until)))
}

fn bare() -> Why {
    Why::new(Reason::Queued, "")
}

/// It waits for its turn, or for others of its type or kbId. Whoever was told why keeps saying so until it is told again.
fn in_its_queue(look: &Look) -> Why {
    let told = || {
        let message = look.status.message.as_deref().unwrap_or_default();
        let reason = Some(look.status.reason).filter(|reason| Wait::of(*reason).is_of_many())?;
        Some(Why::new(reason, text::without_what_happened(message)))
    };
    let told = look.input.waits_for.clone().or_else(told).filter(|told| told.reason != Reason::Queued);
    told.or_else(|| look.why_given_back()).unwrap_or_else(bare)
}

fn last_attempt(look: &Look) -> Option<String> {
    let last = look.status.attempts.last()?;
    let message = last.message.as_deref().unwrap_or_default();
    Some(format!("attempt {}: {}: {message}", last.number, last.reason))
}

/// Why the slot was given back last, or else how the last attempt ended.
fn happened_before(look: &Look) -> Option<String> {
    let given_back = look.why_given_back().map(|told| format!("{}: {}", told.reason, told.message));
    given_back.or_else(|| last_attempt(look))
}

/// The status of a task that failed or gave its slot back and cannot be tried again now says both: what it waits for, and
/// what happened before.
fn with_what_happened(look: &Look, why: Why) -> Why {
    match happened_before(look) {
        Some(happened) if Wait::of(why.reason).is_before_admission() => {
            Why { message: text::with_what_happened(&why.message, &happened), ..why }
        }
        _ => why,
    }
}

fn too_large(look: &Look) -> Option<Why> {
    let kind: &ParsedType = look.input.task_type.as_deref()?;
    let amounts = crate::launch::holds::counted(look.task, kind, &look.input.settings).ok()?;
    let bound = look.input.queue.as_ref()?.never_fits(look.policy.priority, &amounts)?;
    Some(Why::new(Reason::TooLargeForQueue, format!("queue {}: {}", look.task.spec.queue, bound.for_ever())))
}
