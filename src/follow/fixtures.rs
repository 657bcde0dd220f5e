//! Small builders of tasks for this module's tests.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use serde_json::Value;

use crate::api::{AttemptOutcome, AttemptRecord, Priority, Reason, State, Task, TaskSpec, TaskStatus};

/// This many seconds after the beginning of the story.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a time in range")
}

pub fn task(name: &str) -> Task {
    let spec = TaskSpec { type_: "demo".into(), run_id: "1".into(), queue: "default".into(), ..TaskSpec::default() };
    let mut task = Task::new(name, spec);
    task.metadata.namespace = Some("docs".into());
    task.metadata.uid = Some(name.into());
    task.metadata.creation_timestamp = Some(Time(at(0)));
    task.metadata.resource_version = Some("1".into());
    task.status = Some(TaskStatus::default());
    task
}

fn micro(seconds: i64) -> Option<MicroTime> {
    Some(MicroTime(at(seconds)))
}

/// The history of a task, one step a word.
pub trait Story: Sized {
    fn with(self, change: impl FnOnce(&mut TaskStatus)) -> Self;

    fn was_queued(self, seconds: i64) -> Self {
        self.with(|status| status.queued_at = micro(seconds))
    }

    fn arrived_as(self, version: &str) -> Self {
        self.with(|status| status.arrival = Some(version.into()))
    }

    fn of_priority(self, priority: Priority) -> Self {
        self.with(|status| status.priority = Some(priority))
    }

    /// An attempt that has ended.
    fn tried(self, from: i64, to: i64, outcome: AttemptOutcome) -> Self {
        self.with(|status| {
            status.attempt += 1;
            status.attempts.push(AttemptRecord {
                number: status.attempt,
                started_at: micro(from),
                finished_at: micro(to),
                outcome,
                reason: if outcome == AttemptOutcome::Succeeded { Reason::Succeeded } else { Reason::ExitCode },
                ..AttemptRecord::default()
            });
        })
    }

    /// The last attempt's own words.
    fn with_exit(self, code: i32, message: &str) -> Self {
        self.with(|status| {
            if let Some(attempt) = status.attempts.last_mut() {
                attempt.exit_code = Some(code);
                attempt.message = Some(message.into());
            }
        })
    }

    /// It has a slot, and its work has not been seen to run.
    fn admitted_since(self, seconds: i64) -> Self {
        self.with(|status| {
            status.state = State::Processing;
            status.reason = Reason::Admitted;
            status.attempt += 1;
            status.admitted_at = micro(seconds);
            status.started_at = None;
        })
    }

    fn processes_since(self, seconds: i64) -> Self {
        self.admitted_since(seconds).with(|status| {
            status.reason = Reason::Running;
            status.started_at = micro(seconds);
        })
    }

    fn because(self, reason: Reason) -> Self {
        self.with(|status| status.reason = reason)
    }

    fn waits_for_retry(self, until: i64) -> Self {
        self.with(|status| {
            status.reason = Reason::WaitingForRetry;
            status.next_attempt_at = micro(until);
        })
    }

    fn ended(self, state: State, seconds: i64) -> Self {
        self.with(|status| {
            status.state = state;
            status.reason = match state {
                State::Completed => Reason::Succeeded,
                State::Cancelled => Reason::Cancelled,
                _ => Reason::ExitCode,
            };
            status.run_id = Some("1".into());
            status.finished_at = micro(seconds);
        })
    }

    fn saying(self, message: &str) -> Self {
        self.with(|status| status.message = Some(message.into()))
    }

    fn with_result(self, result: Value) -> Self {
        self.with(|status| status.result = Some(result))
    }
}

impl Story for Task {
    fn with(mut self, change: impl FnOnce(&mut TaskStatus)) -> Self {
        change(self.status.get_or_insert_default());
        self
    }
}
