//! A container that takes long to start: what it waits for is told, and past its time the attempt is given up.

use jiff::{SignedDuration, Timestamp};

use super::running::{Attempt, judged, vanished};
use super::status::because;
use super::{Decision, View};
use crate::Reason;
use crate::attempt::ended;
use crate::attempt::ended::Ended;
use crate::attempt::facts::{PodFacts, TOLD_AFTER, Why};
use crate::time::after;
use task_manager_api::TaskStatus;

/// The timeout counts from the pod's start on its node: where it is shorter than the time to start, it ends a pod
/// whose container was never made. What that waited for is why it failed.
pub(super) fn overdue_before_it_began(view: &View, pod: &PodFacts, ended: &Ended) -> Option<Ended> {
    if ended.reason != Reason::Timeout || pod.has_started() {
        return None;
    }
    let why = pod.waiting.clone().or_else(|| start_trouble_told(view))?;
    (why.reason != Reason::Unschedulable).then(|| vanished(why.reason, why.message))
}

/// When the present attempt must have started.
pub(super) fn start_deadline(view: &View) -> Option<Timestamp> {
    let admitted = view.status.admitted_at.as_ref()?.0;
    Some(after(admitted, SignedDuration::from_secs(view.policy.start_deadline_seconds)))
}

/// Why the container has not started though its time to start is over: by the pod's own word, else by what
/// was told before, for a pod that is being deleted may say nothing of it any more.
pub(super) fn late_start(view: &View, attempt: &Attempt) -> Option<Why> {
    if !view.is_past(start_deadline(view)) {
        return None;
    }
    let Some(pod) = attempt.pod else { return start_trouble_told(view) };
    if pod.disruption.is_some() {
        return None;
    }
    if pod.has_started() {
        return start_trouble_told(view).filter(|_| is_ended_by_giving_up(view, attempt, pod));
    }
    let seconds = view.policy.start_deadline_seconds;
    let unexplained = || because(Reason::ContainerConfig, format!("its container was not made within {seconds} s"));
    let waits = pod.waiting.clone().or_else(|| start_trouble_told(view)).or_else(|| waits_for(view, pod));
    match pod.has_ended() {
        true => waits,
        false => Some(waits.unwrap_or_else(unexplained)),
    }
}

/// The work began just as it was given up, and was ended by that. What it says of its end itself goes before.
fn is_ended_by_giving_up(view: &View, attempt: &Attempt, pod: &PodFacts) -> bool {
    let says_who_deleted_it = |ended: Ended| matches!(ended.reason, Reason::JobDeleted | Reason::PodDeleted);
    attempt.job.is_none_or(|job| job.gone || job.deleting)
        && ended::ended(pod, attempt.job, view.now).is_none_or(says_who_deleted_it)
}

/// What the status says of a start that takes long.
fn start_trouble_told(view: &View) -> Option<Why> {
    let told = matches!(view.status.reason, Reason::ImageUnavailable | Reason::ContainerConfig | Reason::Unschedulable);
    told.then(|| because(view.status.reason, view.status.message.clone().unwrap_or_default()))
}

/// What a container that has not started waits for, by the pod's own word or by its events.
fn waits_for(view: &View, pod: &PodFacts) -> Option<Why> {
    pod.waiting.clone().or_else(|| view.around.observed.explained.clone())
}

/// The container did not start in time. That is told first, then the Job goes; then the task goes back to
/// the queue, where no node had room, or fails for good, where trying again would not help.
pub(super) fn given_up(view: &View, attempt: &Attempt, why: &Why) -> Decision {
    if attempt.job.is_some_and(|job| !job.gone) || !attempt.can_run_no_more(view.now) {
        return match start_trouble_told(view) {
            Some(_) => attempt.delete_job(why.reason),
            None => view.say(view.processing(why, attempt.pod)),
        };
    }
    if why.reason == Reason::Unschedulable {
        return Decision::write(view.not_placed(why));
    }
    Decision::write(judged(view, &vanished(why.reason, why.message.clone()), attempt.pod))
}

/// A start that takes longer than ten seconds is written with what it waits for.
pub(super) fn starting(view: &View, pod: &PodFacts) -> (Option<TaskStatus>, Option<Timestamp>) {
    let tell_at = view.status.admitted_at.as_ref().map(|time| after(time.0, TOLD_AFTER));
    if !view.is_past(tell_at) {
        return (None, tell_at);
    }
    let why = waits_for(view, pod).unwrap_or_else(|| because(Reason::Starting, "its container is being made"));
    // An image that cannot be pulled alternates between two wordings: the first one is told.
    let told = (view.status.reason != why.reason).then(|| view.processing(&why, Some(pod)));
    (told, tell_at)
}
