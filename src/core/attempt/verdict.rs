//! Judges an attempt by its end: the one place where a failure is told apart from a disruption, and an error that is
//! worth another try from one that is not.

use super::ended::Ended;
use crate::Reason;
use task_manager_api::{FailureAction, FailureRule};

/// The consequence of an attempt's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Succeeded,
    /// Try again; it counts against retry.limit.
    Failed,
    /// Try again; it counts against retry.disruptionLimit only.
    Disrupted,
    /// Do not try again.
    FailedForGood,
}

/// The type's rules first; then what the work reported; then the built-in judgement.
pub fn judge(ended: &Ended, rules: &[FailureRule]) -> Verdict {
    if ended.has_succeeded() {
        return Verdict::Succeeded;
    }
    let by_rule = rules.iter().find(|rule| matches(rule, ended)).map(|rule| match rule.action {
        FailureAction::Fail => Verdict::FailedForGood,
        FailureAction::Retry => Verdict::Failed,
        FailureAction::Ignore => Verdict::Disrupted,
    });
    by_rule.or_else(|| by_report(ended)).unwrap_or_else(|| built_in(ended))
}

fn matches(rule: &FailureRule, ended: &Ended) -> bool {
    let type_ = ended.reported.as_ref().and_then(|reported| reported.type_.as_ref());
    let exit_code =
        rule.exit_codes.as_ref().is_none_or(|codes| ended.exit_code.is_some_and(|code| codes.contains(&code)));
    let reason = rule.reasons.as_ref().is_none_or(|reasons| reasons.contains(&ended.reason));
    let error_type = rule.error_types.as_ref().is_none_or(|types| type_.is_some_and(|type_| types.contains(type_)));
    exit_code && reason && error_type
}

fn by_report(ended: &Ended) -> Option<Verdict> {
    Some(if ended.reported.as_ref()?.retryable? { Verdict::Failed } else { Verdict::FailedForGood })
}

fn built_in(ended: &Ended) -> Verdict {
    match ended.reason {
        _ if ended.permanent => Verdict::FailedForGood,
        Reason::Evicted
        | Reason::Preempted
        | Reason::NodeLost
        | Reason::PodDeleted
        | Reason::JobDeleted
        | Reason::WorkerLost
        | Reason::RejectedByNode
        | Reason::ImageUnavailable
        | Reason::ContainerConfig
        | Reason::StartTimeout => Verdict::Disrupted,
        // The pod was ended for one of these, and is wanted again.
        Reason::Cancelled | Reason::Deleted | Reason::Superseded | Reason::DeadlineExceeded => Verdict::Disrupted,
        // A later version ended the pod for a reason of its own: it is not known that the work failed.
        Reason::Unknown => Verdict::Disrupted,
        _ => Verdict::Failed,
    }
}

#[cfg(test)]
mod tests;
