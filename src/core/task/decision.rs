//! Decisions and the actions that they may name. Nothing here is carried out.

use jiff::Timestamp;

use super::Recording;
use super::batch::BatchStep;
use crate::Reason;
use crate::attempt::{Deletion, Ending, PodEnd};
use crate::time::earliest;
use task_manager_api::TaskStatus;

/// The next action, and when to look again even if nothing changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub action: Action,
    pub wake: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Nothing to do.
    Rest,
    /// Write this status.
    Write(Box<TaskStatus>),
    /// Put the record of a run into the archive, then write what follows.
    Record(Box<Recording>),
    /// Create the present attempt's Job.
    Launch,
    /// Delete this Job with its pod, or this pod alone.
    Delete(Deletion),
    /// A quota that counts finished Jobs or their pods refused the launch. Delete some that may go; and where none
    /// may, write this status.
    MakeRoom(Box<TaskStatus>),
    /// Lower this pod's deadline, and write on it what for.
    EndPod(PodEnd),
    /// The worker that holds the task is told to stop.
    TellWorker(Reason),
    /// Delete the task itself: its time to live is over.
    DeleteTask,
    /// The next step of a batch.
    Batch(BatchStep),
}

impl Decision {
    pub(super) fn rest() -> Self {
        Self { action: Action::Rest, wake: None }
    }

    pub(super) fn wake_at(wake: Option<Timestamp>) -> Self {
        Self { action: Action::Rest, wake }
    }

    pub(super) fn act(action: Action) -> Self {
        Self { action, wake: None }
    }

    pub(super) fn write(status: TaskStatus) -> Self {
        Self::act(Action::Write(Box::new(status)))
    }

    pub(super) fn end(ending: Ending) -> Self {
        match ending {
            Ending::Delete(deletion) => Self::act(Action::Delete(deletion)),
            Ending::EndPod(end) => Self::act(Action::EndPod(end)),
            Ending::TellWorker(why) => Self::act(Action::TellWorker(why)),
            Ending::Wait { until } => Self::wake_at(until),
        }
    }

    /// Look again no later than `wake`.
    pub(super) fn no_later_than(mut self, wake: Option<Timestamp>) -> Self {
        self.wake = earliest([self.wake, wake]);
        self
    }
}
