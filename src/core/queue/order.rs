//! The one order in which tasks get their slots, everywhere: here, and in the position that REST shows.

use std::cmp::Reverse;
use std::sync::Arc;

use task_manager_api::Priority;

/// A namespace and a name in it.
pub type Key = (Arc<str>, Arc<str>);

/// The one order of tasks: priority, then arrival, then uid, so that no two tasks tie. Least is first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Order {
    priority: Reverse<Priority>,
    arrival: u64,
    uid: Arc<str>,
}

impl Order {
    pub fn new(priority: Priority, arrival: u64, uid: Arc<str>) -> Self {
        Self { priority: Reverse(priority), arrival, uid }
    }

    /// The same of a task that is known by this copy of its uid.
    pub fn of(self, uid: Arc<str>) -> Self {
        Self { uid, ..self }
    }

    pub fn priority(&self) -> Priority {
        self.priority.0
    }

    pub fn arrival(&self) -> u64 {
        self.arrival
    }

    pub fn uid(&self) -> &Arc<str> {
        &self.uid
    }
}
