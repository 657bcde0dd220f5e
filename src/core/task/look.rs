//! One look at a task: what is known, the time, and the policy in force. Decides nothing.

use jiff::{SignedDuration, Timestamp};

use super::{Decision, Input};
use crate::Policy;
use crate::attempt::id::run_began;
use crate::attempt::{Attempt, TimeLimits};
use crate::time::after;
use task_manager_api::{Task, TaskStatus};

#[derive(Clone)]
pub(super) struct Look<'a> {
    pub(super) task: &'a Task,
    /// The task's status, with what is to be written into it.
    pub(super) status: TaskStatus,
    pub(super) input: &'a Input,
    pub(super) policy: Policy,
    pub(super) now: Timestamp,
}

impl<'a> Look<'a> {
    pub(super) fn new(input: &'a Input, now: Timestamp) -> Self {
        let task = &*input.task;
        let policy = Policy::of(&task.spec, input.task_type.as_deref().map(|read| &read.spec));
        Self { task, status: task.status_or_default().clone(), input, policy, now }
    }

    /// The present attempt; `None` where this version of the operator does not know its executor.
    pub(super) fn attempt(input: &'a Input, now: Timestamp) -> Option<Attempt<'a>> {
        Attempt::of(&input.task, &input.observed, now)
    }

    /// The operator has written to this task before.
    pub(super) fn is_touched(&self) -> bool {
        self.status.run_id.is_some()
    }

    /// Somebody deleted it, and somebody else's finalizer keeps it. Without one the garbage collector takes Job and pod along,
    /// and nothing is seen of it but that it is gone.
    pub(super) fn is_being_deleted(&self) -> bool {
        self.task.metadata.deletion_timestamp.is_some()
    }

    /// Somebody asked for another run than the one that the status speaks of.
    pub(super) fn wants_new_run(&self) -> bool {
        self.status.superseded_run(&self.task.spec).is_some()
    }

    pub(super) fn uid(&self) -> &str {
        self.task.metadata.uid.as_deref().unwrap_or_default()
    }

    /// When this run entered the queue.
    pub(super) fn queued_at(&self) -> Timestamp {
        run_began(self.task, &self.status)
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let seconds = self.task.spec.deadline_seconds?;
        Some(after(self.queued_at(), SignedDuration::from_secs(seconds.into())))
    }

    /// How long parts of the attempt may take.
    pub(super) fn time_limits(&self) -> TimeLimits {
        TimeLimits {
            work: self.policy.start_deadline_seconds,
            node: self.input.settings.unschedulable_seconds,
            timeout: self.policy.timeout_seconds,
        }
    }

    pub(super) fn is_past(&self, time: Option<Timestamp>) -> bool {
        time.is_some_and(|time| time <= self.now)
    }

    /// `time`, if it lies ahead.
    pub(super) fn ahead(&self, time: Option<Timestamp>) -> Option<Timestamp> {
        time.filter(|time| *time > self.now)
    }

    /// Writes `status` if it says anything new.
    pub(super) fn write_if_news(&self, status: TaskStatus) -> Decision {
        if Some(&status) == self.task.status.as_ref() { Decision::rest() } else { Decision::write(status) }
    }
}
