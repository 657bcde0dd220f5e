//! A task as words of the table: state, position in its life, counts. Pure.

use jiff::Timestamp;

use super::{
    spans::Spans,
    text::{self, Tone, clean},
    told::{Told, told},
};
use crate::api::{Priority, Reason, State, Task, TaskStatus};
use crate::core::telling::wait::Wait;

/// One task as the table shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub namespace: String,
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
        let Stage { state, attempt, .. } = Stage::of(task);
        let Told { reason, message } = told(task, now);
        Self {
            namespace: clean(task.metadata.namespace.as_deref().unwrap_or_default()),
            name: name(task),
            type_: clean(&task.spec.type_),
            priority: priority(task),
            state,
            reason,
            attempt: if attempt == 0 { String::new() } else { attempt.to_string() },
            waited: text::duration(spans.waited()),
            ran: if spans.runs.is_empty() { String::new() } else { text::duration(spans.ran()) },
            message,
            tone: tone(state, reason),
        }
    }

    pub fn is_trouble(&self) -> bool {
        is_trouble(self.state, self.reason)
    }

    /// Its message is worth a line of its own: of a failure, of what is stuck, and of what waits.
    pub fn must_tell(&self) -> bool {
        !self.message.is_empty() && (self.is_trouble() || self.state == State::Queued)
    }
}

/// Somebody should look: it failed, or it is stuck.
pub fn is_trouble(state: State, reason: Reason) -> bool {
    state == State::Failed || is_stuck(state, reason)
}

/// It goes on only when something is put right, or when a node, a quota or the API server has room for it.
fn is_stuck(state: State, reason: Reason) -> bool {
    let wait = Wait::of(reason);
    !state.is_final() && (wait.needs_somebody() || wait == Wait::Archive)
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
        match status_of_its_run(task) {
            Some(status) => Self { run, state: status.state, reason: status.reason, attempt: status.attempt },
            None => Self { run, state: State::Queued, reason: Reason::Queued, attempt: 0 },
        }
    }

    /// "Failed (OOMKilled), attempt 2"; one that waits is in no attempt.
    pub fn told(&self) -> String {
        let reason = if is_telling(self.state, self.reason) { format!(" ({})", self.reason) } else { String::new() };
        let is_in_one = self.attempt > 0 && self.state != State::Queued;
        let attempt = if is_in_one { format!(", attempt {}", self.attempt) } else { String::new() };
        format!("{}{reason}{attempt}", self.state)
    }
}

/// The status, unless it speaks of another run than the one that is asked for now.
pub fn status_of_its_run(task: &Task) -> Option<&TaskStatus> {
    task.status.as_ref().filter(|status| status.run_id.as_ref().is_none_or(|of| *of == task.spec.run_id))
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
        State::Queued if Wait::of(reason).ends_with_others() => Tone::Plain,
        State::Queued => Tone::Caution,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::AttemptOutcome,
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
    fn a_finished_task_with_a_new_run_id_is_not_final() {
        let mut again = task("a").ended(State::Completed, 3).with_result(json!(1));
        assert!(is_final(&again));
        again.spec.run_id = "2".into();
        assert!(!is_final(&again));
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
    fn what_failed_or_is_stuck_is_trouble_and_an_ordinary_wait_is_none() {
        let row = |task: Task| Row::of(&task, at(9));
        let stuck = row(task("a").because(Reason::TypeMissing).saying("there is no TaskType x"));
        assert!(stuck.is_trouble() && stuck.must_tell());
        let pulls = row(task("a").processes_since(1).because(Reason::ImageUnavailable).saying("not found"));
        assert!(pulls.is_trouble() && pulls.must_tell());
        let waits = row(task("a").waits_for_retry(20).saying("exit code 1"));
        assert!(!waits.is_trouble() && waits.must_tell());
        let runs = row(task("a").processes_since(1).saying("on local"));
        assert!(!runs.is_trouble() && !runs.must_tell());
        assert!(row(task("a").ended(State::Failed, 2)).is_trouble());
    }
}
