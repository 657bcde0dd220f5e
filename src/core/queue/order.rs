//! The order in which tasks get their slots. Admission and the position that REST shows compare by it alone.

use std::cmp::Reverse;
use std::sync::Arc;

use task_manager_api::Priority;

/// A namespace and a name in it.
pub type Key = (Arc<str>, Arc<str>);

/// Compares by priority, then arrival, then uid, so that no two tasks tie. The least is first.
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

    /// The same order with this copy of the uid, so that it is in memory once.
    pub fn with_uid(self, uid: Arc<str>) -> Self {
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
