//! Why a task is as it is: the one place where a row's reason and its message come from. Pure.
//!
//! The status tells both. What is known of a waiting task beyond it, the board puts into the status that it shows.

use jiff::{SignedDuration, Timestamp};

use super::text::{self, clean};
use super::view::status_of_its_run;
use crate::api::{AttemptOutcome, Reason, State, Task, TaskStatus};
use crate::core::telling::wait::Wait;

/// A task's reason, and the most telling sentence about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub reason: Reason,
    pub message: String,
}

pub fn told(task: &Task, now: Timestamp) -> Told {
    status_of_its_run(task)
        .map(|status| Told { reason: status.reason, message: message(status, now) })
        .unwrap_or_default()
}

/// The result of a task that is Completed, the progress of one that runs, the next try of one that waits for it; else
/// the status's own message; else what happened before.
fn message(status: &TaskStatus, now: Timestamp) -> String {
    let said = clean(status.message.as_deref().unwrap_or_default());
    match status.state {
        State::Completed => result(status).unwrap_or(said),
        State::Failed | State::Cancelled => said,
        State::Processing => match progress(status) {
            Some(progress) if status.reason == Reason::Running || said.is_empty() => progress,
            _ => or_else(said, || happened_before(status)),
        },
        State::Queued => {
            let said = or_else(said, || happened_before(status));
            next_try(status, now).map_or(said.clone(), |soon| join(&soon, &said))
        }
    }
}

fn or_else(said: String, other: impl FnOnce() -> Option<String>) -> String {
    if said.is_empty() { other().unwrap_or_default() } else { said }
}

fn join(first: &str, second: &str) -> String {
    if second.is_empty() { first.into() } else { format!("{first}: {second}") }
}

/// The result on one line: compact JSON.
pub fn result(status: &TaskStatus) -> Option<String> {
    let result = status.result.as_ref().filter(|result| !result.is_null())?;
    let text = result.as_str().filter(|_| status.result_as_text);
    Some(clean(&text.map_or_else(|| result.to_string(), str::to_owned)))
}

fn progress(status: &TaskStatus) -> Option<String> {
    let progress = status.progress.as_ref()?;
    let percent = progress.percent.map(|percent| format!("{percent}%"));
    let items = progress.done.map(|done| match progress.total {
        Some(total) => format!("{done} of {total}"),
        None => format!("{done} done"),
    });
    let said = progress.message.as_deref().map(clean).filter(|said| !said.is_empty());
    let told = [percent, items, said].into_iter().flatten().collect::<Vec<_>>().join(", ");
    Some(told).filter(|told| !told.is_empty())
}

/// "after attempt 2: ExitCode: the work ended with exit code 3": a task that is tried again, or waits once more after its
/// pause, says why.
fn happened_before(status: &TaskStatus) -> Option<String> {
    let last = status.attempts.last()?;
    let went_wrong = matches!(last.outcome, AttemptOutcome::Failed | AttemptOutcome::Disrupted);
    let message = clean(last.message.as_deref().unwrap_or_default());
    went_wrong.then(|| join(&format!("after attempt {}: {}", last.number, last.reason), &message))
}

/// A retry says when it comes also when that is now; a slot that was given back, while its pause lasts.
fn next_try(status: &TaskStatus, now: Timestamp) -> Option<String> {
    let left = status.next_attempt_at.as_ref()?.0.duration_since(now);
    // Rounded up: "in 0s" would be a lie.
    let left = SignedDuration::from_secs(left.as_secs() + i64::from(left.subsec_nanos() > 0));
    if left.is_positive() && !Wait::of(status.reason).is_before_admission() {
        return Some(format!("again in {}", text::duration(left)));
    }
    (status.reason == Reason::WaitingForRetry).then(|| "again now".into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::Progress,
        follow::fixtures::{Story, at, task},
    };

    fn message(task: &Task, now: i64) -> String {
        told(task, at(now)).message
    }

    #[test]
    fn a_completed_task_shows_its_result_and_otherwise_its_message() {
        let done = task("a").was_queued(0).ended(State::Completed, 3).saying("done");
        assert_eq!(message(&done, 9), "done");
        let result = json!({"words": 3, "top": ["a\n"]});
        assert_eq!(message(&done.with_result(result), 9), r#"{"top":["a\n"],"words":3}"#);
    }

    #[test]
    fn a_failed_attempt_counts_down_to_its_retry() {
        let waiting =
            task("a").was_queued(0).tried(1, 2, AttemptOutcome::Failed).waits_for_retry(5).saying("exit code 1");
        assert_eq!(message(&waiting, 3), "again in 2s: exit code 1");
        assert_eq!(message(&waiting, 7), "again now: exit code 1");
    }

    #[test]
    fn a_slot_that_was_given_back_says_why_and_until_when_it_pauses() {
        let given_back = task("a").was_queued(0).waits_for_retry(40).because(Reason::Unschedulable).saying("no node");
        assert_eq!(message(&given_back, 10), "again in 30s: no node");
        assert_eq!(message(&given_back, 50), "no node");
    }

    #[test]
    fn a_task_that_is_held_back_counts_down_to_nothing() {
        let held = task("a").was_queued(0).waits_for_retry(40).because(Reason::Suspended).saying("held");
        assert_eq!(message(&held, 10), "held");
    }

    #[test]
    fn what_happened_before_is_told_when_nothing_else_is() {
        let failed = task("a").was_queued(0).tried(1, 2, AttemptOutcome::Failed).with_exit(3, "exit code 3");
        assert_eq!(message(&failed, 9), "after attempt 1: ExitCode: exit code 3");
        assert_eq!(message(&failed.clone().processes_since(9), 10), "after attempt 1: ExitCode: exit code 3");
        assert_eq!(message(&failed.processes_since(9).saying("on local"), 10), "on local");
        let lost = task("a").tried(1, 2, AttemptOutcome::Disrupted);
        assert_eq!(message(&lost, 9), "after attempt 1: ExitCode");
        assert_eq!(message(&task("a").tried(1, 2, AttemptOutcome::Succeeded), 9), "");
    }

    #[test]
    fn the_work_s_own_progress_is_shown_while_it_runs() {
        let mut busy = task("a").processes_since(1).saying("on local");
        assert_eq!(message(&busy, 3), "on local");
        let said = Progress {
            percent: Some(40),
            done: Some(4),
            total: Some(10),
            message: Some("page\n4".into()),
            ..Progress::default()
        };
        busy.status.as_mut().expect("a status").progress = Some(said);
        assert_eq!(message(&busy, 3), "40%, 4 of 10, page 4");
        let stopping = busy.because(Reason::Stopping).saying("container proxy still runs");
        assert_eq!(message(&stopping, 3), "container proxy still runs");
    }

    #[test]
    fn a_finished_task_with_a_new_run_id_says_nothing_of_the_old_run() {
        let mut again = task("a").ended(State::Completed, 3).with_result(json!(1));
        again.spec.run_id = "2".into();
        assert_eq!(told(&again, at(5)), Told::default());
    }
}
