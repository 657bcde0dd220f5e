//! A task as words of the table: state, position in its life, counts. Pure.

use jiff::{SignedDuration, Timestamp};

use super::{
    spans::Spans,
    text::{self, Tone, clean},
};
use crate::api::{Priority, Reason, State, Task, TaskStatus};

/// One task as the table shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub type_: String,
    pub priority: Priority,
    pub state: State,
    pub reason: Reason,
    pub attempt: String,
    pub waited: String,
    pub ran: String,
    pub message: String,
    pub tone: Tone,
}

impl Row {
    pub fn of(task: &Task, now: Timestamp) -> Self {
        let spans = Spans::of(task, now);
        let Stage { state, reason, attempt, .. } = Stage::of(task);
        Self {
            name: name(task),
            type_: clean(&task.spec.type_),
            priority: priority(task),
            state,
            reason,
            attempt: if attempt == 0 { String::new() } else { attempt.to_string() },
            waited: text::duration(spans.waited()),
            ran: if spans.runs.is_empty() { String::new() } else { text::duration(spans.ran()) },
            message: detail(task, now),
            tone: tone(state, reason),
        }
    }
}

pub fn name(task: &Task) -> String {
    clean(task.metadata.name.as_deref().unwrap_or_default())
}

fn priority(task: &Task) -> Priority {
    task.status.as_ref().and_then(|status| status.priority).or(task.spec.priority).unwrap_or_default()
}

/// Where a task is in its life. A task whose stage does not change has nothing new to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    pub run: String,
    pub state: State,
    pub reason: Reason,
    pub attempt: i32,
}

impl Stage {
    /// A new runId begins anew, also before the operator has said so.
    pub fn of(task: &Task) -> Self {
        let run = task.spec.run_id.clone();
        match task.status.as_ref().filter(|status| speaks_of(status, &run)) {
            Some(status) => Self { run, state: status.state, reason: status.reason, attempt: status.attempt },
            None => Self { run, state: State::Queued, reason: Reason::Queued, attempt: 0 },
        }
    }

    /// "Failed (OOMKilled), attempt 2"
    pub fn told(&self) -> String {
        let reason = if is_telling(self.state, self.reason) { format!(" ({})", self.reason) } else { String::new() };
        let attempt = if self.attempt > 0 { format!(", attempt {}", self.attempt) } else { String::new() };
        format!("{}{reason}{attempt}", self.state)
    }
}

fn speaks_of(status: &TaskStatus, run: &str) -> bool {
    status.run_id.as_ref().is_none_or(|of| of == run)
}

/// "Queued (Queued)" and "Completed (Succeeded)" say the same thing twice.
pub fn is_telling(state: State, reason: Reason) -> bool {
    reason.as_str() != state.to_string() && reason != Reason::Succeeded
}

pub fn is_final(task: &Task) -> bool {
    Stage::of(task).state.is_final()
}

pub fn tone(state: State, reason: Reason) -> Tone {
    match state {
        State::Completed => Tone::Good,
        State::Failed => Tone::Bad,
        State::Cancelled => Tone::Caution,
        State::Processing => Tone::Busy,
        State::Queued if reason == Reason::Queued => Tone::Plain,
        State::Queued => Tone::Caution,
    }
}

/// The most telling sentence about a task: its result, its next try, its progress, or its message.
pub fn detail(task: &Task, now: Timestamp) -> String {
    let Some(status) = task.status.as_ref().filter(|status| speaks_of(status, &task.spec.run_id)) else {
        return String::new();
    };
    let message = clean(status.message.as_deref().unwrap_or_default());
    match status.state {
        State::Completed => result(status).unwrap_or(message),
        State::Processing => progress(status).unwrap_or(message),
        State::Queued => next_try(status, now).map_or(message.clone(), |soon| join(&soon, &message)),
        State::Failed | State::Cancelled => message,
    }
}

fn join(first: &str, second: &str) -> String {
    if second.is_empty() { first.into() } else { format!("{first}: {second}") }
}

/// The result on one line: compact JSON.
pub fn result(status: &TaskStatus) -> Option<String> {
    let result = status.result.as_ref().filter(|result| !result.is_null())?;
    Some(clean(&result.to_string()))
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

fn next_try(status: &TaskStatus, now: Timestamp) -> Option<String> {
    let at = status.next_attempt_at.as_ref().filter(|_| status.reason == Reason::WaitingForRetry)?;
    let left = at.0.duration_since(now);
    // Rounded up: "in 0s" would be a lie.
    let left = SignedDuration::from_secs(left.as_secs() + i64::from(left.subsec_nanos() > 0));
    Some(if left.is_positive() { format!("again in {}", text::duration(left)) } else { "again now".into() })
}

/// The number of tasks in each stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub queued: usize,
    pub processing: usize,
    pub completed: usize,
    pub failed: usize,
    pub cancelled: usize,
}

impl Counts {
    pub fn of<'a>(tasks: impl IntoIterator<Item = &'a Task>) -> Self {
        let mut counts = Self::default();
        for task in tasks {
            *counts.of_state(Stage::of(task).state) += 1;
        }
        counts
    }

    fn of_state(&mut self, state: State) -> &mut usize {
        match state {
            State::Queued => &mut self.queued,
            State::Processing => &mut self.processing,
            State::Completed => &mut self.completed,
            State::Failed => &mut self.failed,
            State::Cancelled => &mut self.cancelled,
        }
    }

    pub fn total(&self) -> usize {
        self.queued + self.processing + self.finals()
    }

    pub fn finals(&self) -> usize {
        self.completed + self.failed + self.cancelled
    }

    /// Only what there is: "3 queued", "2 processing".
    pub fn named(&self) -> impl Iterator<Item = (Tone, String)> {
        [
            (Tone::Busy, self.processing, "processing"),
            (Tone::Plain, self.queued, "queued"),
            (Tone::Good, self.completed, "completed"),
            (Tone::Bad, self.failed, "failed"),
            (Tone::Caution, self.cancelled, "cancelled"),
        ]
        .into_iter()
        .filter(|(_, count, _)| *count > 0)
        .map(|(tone, count, word)| (tone, format!("{count} {word}")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::{AttemptOutcome, Progress},
        follow::fixtures::{Story, at, task},
    };

    #[test]
    fn a_task_that_nobody_has_looked_at_yet_is_queued() {
        let mut unseen = task("a");
        unseen.status = None;
        let row = Row::of(&unseen, at(4));
        assert_eq!(
            (row.state, row.reason, row.waited.as_str(), row.ran.as_str()),
            (State::Queued, Reason::Queued, "4s", "")
        );
    }

    #[test]
    fn a_completed_task_shows_its_result_and_otherwise_its_message() {
        let done = task("a").was_queued(0).ended(State::Completed, 3).saying("done");
        assert_eq!(detail(&done, at(9)), "done");
        assert_eq!(
            detail(&done.with_result(json!({"words": 3, "top": ["a\n"]})), at(9)),
            r#"{"top":["a\n"],"words":3}"#
        );
    }

    #[test]
    fn a_failed_attempt_counts_down_to_its_retry() {
        let waiting =
            task("a").was_queued(0).tried(1, 2, AttemptOutcome::Failed).waits_for_retry(5).saying("exit code 1");
        assert_eq!(detail(&waiting, at(3)), "again in 2s: exit code 1");
        assert_eq!(detail(&waiting, at(7)), "again now: exit code 1");
    }

    #[test]
    fn the_work_s_own_progress_is_shown_while_it_runs() {
        let mut busy = task("a").processes_since(1).saying("Its container runs.");
        assert_eq!(detail(&busy, at(3)), "Its container runs.");
        let said = Progress {
            percent: Some(40),
            done: Some(4),
            total: Some(10),
            message: Some("page\n4".into()),
            ..Progress::default()
        };
        busy.status.as_mut().expect("a status").progress = Some(said);
        assert_eq!(detail(&busy, at(3)), "40%, 4 of 10, page 4");
    }

    #[test]
    fn a_finished_task_with_a_new_run_id_is_not_final() {
        let mut again = task("a").ended(State::Completed, 3).with_result(json!(1));
        assert!(is_final(&again));
        again.spec.run_id = "2".into();
        assert!(!is_final(&again));
        assert_eq!(detail(&again, at(5)), "");
        assert_eq!(Stage::of(&again).told(), "Queued");
    }

    #[test]
    fn a_stage_is_told_without_saying_a_thing_twice() {
        assert_eq!(Stage::of(&task("a")).told(), "Queued");
        assert_eq!(Stage::of(&task("a").processes_since(1)).told(), "Processing (Running), attempt 1");
        let done = task("a").tried(1, 2, AttemptOutcome::Succeeded).ended(State::Completed, 2);
        assert_eq!(Stage::of(&done).told(), "Completed, attempt 1");
        assert_eq!(Stage::of(&task("a").ended(State::Cancelled, 2)).told(), "Cancelled");
    }

    #[test]
    fn counts_name_only_what_there_is() {
        let tasks = [task("a"), task("b").processes_since(1), task("c").ended(State::Failed, 2), task("d")];
        let counts = Counts::of(&tasks);
        assert_eq!((counts.total(), counts.finals()), (4, 1));
        let named: Vec<String> = counts.named().map(|(_, text)| text).collect();
        assert_eq!(named, ["1 processing", "2 queued", "1 failed"]);
    }
}
