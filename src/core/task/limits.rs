//! Limits of tries that a task has exceeded, in words.

use super::status::ATTEMPTS_KEPT;
use crate::Reason;
use task_manager_api::{AttemptOutcome, TaskStatus};

/// Its failures exceed retry.limit.
pub(super) fn failed_too_often(status: &TaskStatus) -> String {
    format!("failed {}, retries used up", times(status.failures))
}

/// How often its attempts were disrupted and by what, the last first; and the limit that this exceeds. Late starts are among
/// the disruptions, as is what the cluster lost. A status keeps the last attempts only.
pub(super) fn disrupted_too_often(status: &TaskStatus, limit: i32) -> String {
    let disrupted = status.attempts.iter().rev().filter(|attempt| attempt.outcome == AttemptOutcome::Disrupted);
    let mut reasons: Vec<(Reason, i32)> = vec![];
    for reason in disrupted.map(|attempt| attempt.reason) {
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => reasons.push((reason, 1)),
        }
    }
    let told: Vec<_> = reasons.iter().map(|(reason, count)| format!("{reason} {}", times(*count))).collect();
    let last = if status.attempts.len() >= ATTEMPTS_KEPT { "the last by" } else { "by" };
    let often = times(status.disruptions);
    format!("disrupted {often}, {last} {}, and retry.disruptionLimit is {limit}", told.join(", "))
}

fn times(count: i32) -> String {
    if count == 1 { "once".into() } else { format!("{count} times") }
}
