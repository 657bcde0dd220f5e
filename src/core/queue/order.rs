//! The order in which tasks get their slots. Admission and the position that REST shows compare by it alone, and both
//! read it here out of a task.

use std::cmp::Reverse;
use std::sync::Arc;

use task_manager_api::{Priority, Task, TaskStatus};

/// A namespace and a name in it.
pub type Key = (Arc<str>, Arc<str>);

/// Compares by priority, then place, then uid, so that no two tasks tie. The least is first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Order {
    priority: Reverse<Priority>,
    place: Place,
    uid: Arc<str>,
}

/// A task's arrival; of one that gave its slot back, the end of the line as it was then. Both are resourceVersions,
/// compared as integers. Of two equal ones the arrival is first: the task that arrived had been seen by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Place {
    version: u64,
    gave_back: bool,
}

/// The arrival of the run that `status` speaks of, where one was written down.
pub fn arrival(status: &TaskStatus) -> Option<u64> {
    number(status.arrival.as_ref())
}

fn number(text: Option<&String>) -> Option<u64> {
    text?.parse().ok()
}

impl Order {
    /// The order of a task that never gave its slot back.
    pub fn new(priority: Priority, arrival: u64, uid: Arc<str>) -> Self {
        Self { priority: Reverse(priority), place: Place { version: arrival, gave_back: false }, uid }
    }

    /// The order of `task`, whose priority in force is `priority`. `first_seen` is its arrival where the status names
    /// none.
    pub fn of(task: &Task, priority: Priority, first_seen: u64) -> Self {
        let status = task.status_or_default();
        let arrived = Place { version: arrival(status).unwrap_or(first_seen), gave_back: false };
        let behind = number(status.line.as_ref()).map(|version| Place { version, gave_back: true });
        let uid = task.metadata.uid.as_deref().unwrap_or_default().into();
        Self { priority: Reverse(priority), place: behind.unwrap_or(arrived), uid }
    }

    /// The same order with this copy of the uid, so that it is in memory once.
    pub fn with_uid(self, uid: Arc<str>) -> Self {
        Self { uid, ..self }
    }

    /// The same place among tasks of another priority.
    pub fn with_priority(self, priority: Priority) -> Self {
        Self { priority: Reverse(priority), ..self }
    }

    pub fn priority(&self) -> Priority {
        self.priority.0
    }

    /// The resourceVersion by which it is ordered: its arrival, unless it gave its slot back.
    pub fn place(&self) -> u64 {
        self.place.version
    }

    pub fn uid(&self) -> &Arc<str> {
        &self.uid
    }
}
