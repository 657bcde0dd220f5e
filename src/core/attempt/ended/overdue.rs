//! Ends by a pod's deadline: the timeout of the work, an end that we asked for, or a deadline that a stranger set.

use jiff::Timestamp;

use super::{Ended, ended_by_itself};
use crate::Reason;
use crate::attempt::clocks;
use crate::attempt::facts::{JobFacts, Phase, PodFacts, Why, Work};

/// The deadline that ended a pod, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Deadline {
    /// The time that the work may take.
    OfWork(i64),
    /// The same and the time to start together, while nobody looked.
    Together(i64),
    /// Somebody else's.
    OfStrangers(i64),
}

impl Deadline {
    /// The deadline, with the field that sets it.
    pub(super) fn told(self) -> String {
        match self {
            Self::OfWork(seconds) => format!("ran longer than timeoutSeconds, {seconds} s"),
            Self::Together(seconds) => {
                format!(
                    "its pod was ended {seconds} s after its start, startDeadlineSeconds and timeoutSeconds together"
                )
            }
            Self::OfStrangers(seconds) => {
                format!("somebody lowered its pod's activeDeadlineSeconds to {seconds}, and that ended it")
            }
        }
    }
}

/// `DeadlineExceeded` alone proves nothing: the kubelet says so of work, too, that had ended before. The stamps of the
/// kubelet tell.
pub(super) fn overdue(pod: &PodFacts, job: Option<&JobFacts>) -> Option<Ended> {
    let deadline = deadline_met(pod, job)?;
    let reason = if matches!(deadline, Deadline::OfStrangers(_)) { Reason::PodDeleted } else { Reason::Timeout };
    Some(Ended::new(pod, reason, deadline.told()))
}

/// The deadline that ended it, or for which we did because its kubelet had not.
pub(super) fn deadline_met(pod: &PodFacts, job: Option<&JobFacts>) -> Option<Deadline> {
    let is_lost = is_lost_past_its_deadline(pod);
    if !clocks::ends_by_its_timeout(pod) || !(pod.has_started() || is_lost) {
        return None;
    }
    let by_kubelet = match &pod.work {
        Work::Ended { at, .. } => at.filter(|at| clocks::outlasted_deadline(pod, *at)),
        _ => clocks::deadline(pod).filter(|_| is_lost),
    };
    let by_us = || {
        let (deleted, due) = pod.deleted_at.zip(clocks::due_to_end(pod))?;
        (deleted >= due && !ended_by_itself(pod)).then_some(deleted)
    };
    let end = by_kubelet.or_else(by_us)?;
    let in_force = pod.deadline_seconds.unwrap_or_default();
    // Pods of an older operator do not say how long their work may take.
    let Some(timeout) = pod.timeout_seconds else { return Some(Deadline::OfWork(in_force)) };
    Some(if outran(pod, timeout, end) { Deadline::OfWork(timeout) } else { of_the_pod(in_force, timeout, job) })
}

/// The kubelet ended it for its deadline and lost track of its work, which it had not seen end: a busy one does that. That the
/// work had begun is known from before, or because its deadline was lowered, which is done for nothing else.
pub(in crate::attempt) fn is_lost_past_its_deadline(pod: &PodFacts) -> bool {
    let has_begun = pod.has_begun() || pod.ended_for == Some(Reason::Timeout);
    let is_over = pod.phase == Phase::Failed && pod.reason.as_deref() == Some("DeadlineExceeded");
    is_over && has_begun && !matches!(pod.work, Work::Ended { .. })
}

/// The end of a pod by its deadline, before its work had begun.
pub(in crate::attempt) fn overdue_before_its_work(pod: &PodFacts, job: Option<&JobFacts>, why: Option<Why>) -> Ended {
    let (in_force, timeout) = (pod.deadline_seconds.unwrap_or_default(), pod.timeout_seconds.unwrap_or_default());
    let deadline = of_the_pod(in_force, timeout, job);
    match (deadline, why) {
        (Deadline::OfStrangers(_), _) => Ended::unseen(Reason::PodDeleted, deadline.told()),
        (_, Some(why)) => Ended::not_started(why).given_up_at(&deadline.told()),
        (_, None) => Ended::unseen(Reason::StartTimeout, deadline.told()),
    }
}

fn of_the_pod(in_force: i64, timeout: i64, job: Option<&JobFacts>) -> Deadline {
    if was_launched_with(in_force, timeout, job) {
        Deadline::Together(in_force)
    } else {
        Deadline::OfStrangers(in_force)
    }
}

fn outran(pod: &PodFacts, timeout: i64, end: Timestamp) -> bool {
    pod.work.started_at().is_none_or(|start| end.duration_since(start).as_secs() >= timeout)
}

/// It is the deadline that the pod was made with. Where its Job is no longer there to tell, one that leaves the work its
/// time is taken for that.
fn was_launched_with(seconds: i64, timeout: i64, job: Option<&JobFacts>) -> bool {
    match job.and_then(|job| job.deadline_seconds) {
        Some(launched_with) => seconds == launched_with,
        None => seconds >= timeout,
    }
}

/// We ended it for a reason that is not its own, and nobody wants that any longer: it counts as no failure of its.
pub(super) fn cut_short(pod: &PodFacts) -> Option<Ended> {
    let why = ended_early_for(pod)?;
    Some(Ended::new(pod, why, "its pod was ended before its work was done"))
}

/// The reason for which we ended the pod before its work had ended.
pub(super) fn ended_early_for(pod: &PodFacts) -> Option<Reason> {
    let ended_before = matches!(pod.work, Work::Ended { at: Some(at), .. } if !clocks::outlasted_deadline(pod, at));
    clocks::ended_for(pod).filter(|why| !matches!(why, Reason::Timeout | Reason::Stopping) && !ended_before)
}
