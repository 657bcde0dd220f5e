//! The conditions of a task: its own for `kubectl wait`, and those of kstatus (`sigs.k8s.io/cli-utils`) for Argo CD and
//! Flux.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::text;
use crate::Reason;
use task_manager_api::{Condition, State, TaskStatus};

/// The longest message that a status keeps, in characters.
const LONGEST_MESSAGE: usize = 1024;

/// Between a message and what follows it.
const FOLLOWS: &str = "; ";

/// A message as a status keeps it: others wrote it, and it may have any length.
pub fn shortened(message: &str) -> String {
    text::cut(message, LONGEST_MESSAGE)
}

/// A message of others followed by `by`, which is kept in full: only the message is shortened.
pub fn followed(message: &str, by: &str) -> String {
    if message.is_empty() {
        return shortened(by);
    }
    let room = LONGEST_MESSAGE.saturating_sub(by.chars().count() + FOLLOWS.len());
    format!("{}{FOLLOWS}{by}", text::cut(message, room))
}

/// State, reason and message that conditions show.
pub struct Explanation<'a> {
    pub state: State,
    pub reason: Reason,
    pub message: &'a str,
}

/// The conditions of a task. `lastTransitionTime` changes only with a condition's status, so that the same explanation again
/// changes nothing.
pub fn of_task(explanation: &Explanation, before: &[Condition], now: Timestamp) -> Vec<Condition> {
    table(explanation.state, explanation.reason)
        .into_iter()
        .map(|(type_, status)| condition(type_, status, explanation.reason, explanation.message, before, now))
        .collect()
}

/// The conditions of a task whose run has ended and whose next run cannot begin before the archive has the record:
/// `ended` as the task's own conditions, and kstatus' conditions say that it waits.
pub fn of_rerun(ended: &Explanation, waits: &str, before: &[Condition], now: Timestamp) -> Vec<Condition> {
    let waiting = Explanation { state: State::Queued, reason: Reason::WaitingForArchive, message: waits };
    let of_end = table(ended.state, ended.reason).into_iter().filter(|(type_, _)| !KSTATUS.contains(type_));
    let of_wait = table(waiting.state, waiting.reason).into_iter().filter(|(type_, _)| KSTATUS.contains(type_));
    of_end
        .map(|(type_, status)| condition(type_, status, ended.reason, ended.message, before, now))
        .chain(of_wait.map(|(type_, status)| condition(type_, status, waiting.reason, waiting.message, before, now)))
        .collect()
}

/// The condition of a task whose attempt is to end while something keeps its pod or its Job.
const HELD_UP: &str = "HeldUp";

/// The same conditions, and that the end is held up by this. The message of the others ends with that, too.
pub fn with_hold_up(
    conditions: Vec<Condition>,
    reason: Reason,
    by: &str,
    before: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    let held_up = condition(HELD_UP, "True", reason, by, before, now);
    conditions.into_iter().chain([held_up]).collect()
}

/// The hold-up of the attempt's end, as the status says.
pub fn held_up_by(status: &TaskStatus) -> Option<&str> {
    status.conditions.iter().find(|seen| seen.type_ == HELD_UP).map(|seen| seen.message.as_str())
}

/// The message of a status without what holds the end up: what it is ended for.
pub fn without_hold_up(status: &TaskStatus) -> String {
    let message = status.message.as_deref().unwrap_or_default();
    let by = held_up_by(status).and_then(|by| message.strip_suffix(by));
    by.map_or(message, |rest| rest.strip_suffix(FOLLOWS).unwrap_or(rest)).into()
}

/// The conditions that kstatus reads.
const KSTATUS: [&str; 3] = ["Ready", "Reconciling", "Stalled"];

/// The conditions of a state with their statuses. Reconciling and Stalled are present only when true.
fn table(state: State, reason: Reason) -> Vec<(&'static str, &'static str)> {
    match state {
        State::Queued if reason == Reason::TooLargeForQueue => {
            vec![("Admitted", "False"), ("Ready", "False"), ("Stalled", "True")]
        }
        State::Queued => vec![("Admitted", "False"), ("Ready", "False"), ("Reconciling", "True")],
        State::Processing => vec![("Admitted", "True"), ("Ready", "False"), ("Reconciling", "True")],
        State::Completed => vec![("Complete", "True"), ("Finished", "True"), ("Ready", "True")],
        State::Failed => vec![
            ("Complete", "False"),
            ("Failed", "True"),
            ("Finished", "True"),
            ("Ready", "False"),
            ("Stalled", "True"),
        ],
        State::Cancelled => vec![
            ("Cancelled", "True"),
            ("Complete", "False"),
            ("Failed", "False"),
            ("Finished", "True"),
            ("Ready", "True"),
        ],
    }
}

/// The Ready condition of a type or a queue.
pub fn ready(status: &str, reason: Reason, message: &str, before: &[Condition], now: Timestamp) -> Vec<Condition> {
    vec![condition("Ready", status, reason, message, before, now)]
}

fn condition(
    type_: &str,
    status: &str,
    reason: Reason,
    message: &str,
    before: &[Condition],
    now: Timestamp,
) -> Condition {
    let unchanged = before.iter().find(|seen| seen.type_ == type_ && seen.status == status);
    Condition {
        type_: type_.into(),
        status: status.into(),
        reason: reason.as_str().into(),
        message: message.into(),
        last_transition_time: unchanged
            .and_then(|seen| seen.last_transition_time.clone())
            .or_else(|| Some(Time(whole_seconds(now)))),
    }
}

/// Kubernetes writes times of conditions in whole seconds. One that is read back must equal the one that was written.
fn whole_seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(state: State, reason: Reason, before: &[Condition], second: i64) -> Vec<Condition> {
        let now = Timestamp::from_second(second).expect("a time");
        of_task(&Explanation { state, reason, message: "" }, before, now)
    }

    fn status<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a str> {
        conditions.iter().find(|seen| seen.type_ == type_).map(|seen| seen.status.as_str())
    }

    #[test]
    fn kstatus_reads_each_state_correctly() {
        for (state, reason, ready, reconciling, stalled) in [
            (State::Queued, Reason::Queued, "False", Some("True"), None),
            (State::Queued, Reason::TooLargeForQueue, "False", None, Some("True")),
            (State::Processing, Reason::Running, "False", Some("True"), None),
            (State::Completed, Reason::Succeeded, "True", None, None),
            (State::Failed, Reason::ExitCode, "False", None, Some("True")),
            (State::Cancelled, Reason::Cancelled, "True", None, None),
        ] {
            let conditions = say(state, reason, &[], 0);
            assert_eq!(status(&conditions, "Ready"), Some(ready), "{state}");
            assert_eq!(status(&conditions, "Reconciling"), reconciling, "{state}");
            assert_eq!(status(&conditions, "Stalled"), stalled, "{state}");
        }
    }

    #[test]
    fn whatever_is_final_is_finished_and_nothing_else() {
        for state in [State::Queued, State::Processing, State::Completed, State::Failed, State::Cancelled] {
            let conditions = say(state, Reason::Queued, &[], 0);
            assert_eq!(status(&conditions, "Finished"), state.is_final().then_some("True"), "{state}");
        }
    }

    #[test]
    fn what_holds_an_end_up_is_the_end_of_the_message_and_can_be_taken_off_again() {
        let long = "x".repeat(2000);
        for (message, by) in [("its time is over", "node a answers"), ("", "node a answers"), (long.as_str(), "node a")]
        {
            let now = Timestamp::UNIX_EPOCH;
            let before = say(State::Processing, Reason::Stopping, &[], 0);
            let status = TaskStatus {
                message: Some(followed(message, by)),
                conditions: with_hold_up(before.clone(), Reason::Stopping, by, &[], now),
                ..TaskStatus::default()
            };
            assert_eq!(
                (held_up_by(&status), status.message.as_ref().is_some_and(|all| all.ends_with(by))),
                (Some(by), true)
            );
            assert!(message.starts_with(without_hold_up(&status).trim_end_matches('…')));
            let over = TaskStatus { conditions: before, ..status.clone() };
            assert_eq!((held_up_by(&over), without_hold_up(&over)), (None, status.message.unwrap_or_default()));
        }
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let first = say(State::Processing, Reason::Admitted, &[], 10);
        let second = say(State::Processing, Reason::Running, &first, 20);
        let time = |conditions: &[Condition], type_: &str| {
            conditions.iter().find(|seen| seen.type_ == type_).and_then(|seen| seen.last_transition_time.clone())
        };
        assert_eq!(time(&first, "Ready"), time(&second, "Ready"));
        let third = say(State::Completed, Reason::Succeeded, &second, 30);
        assert_ne!(time(&second, "Ready"), time(&third, "Ready"));
    }
}
