//! Admission: the order of pending tasks, and which of them get a slot.
//!
//! `AdmissionQueue` is a snapshot that the controller keeps up to date, and `admit` is a pass over it. The order is
//! strict: a task for which its queue has no room holds back all tasks behind it in that queue, which by the order
//! have equal or lower priority. A task that something else holds back holds back nobody.

mod admission;
mod capacity_names;
mod explain;
mod free_workers;
mod ledger;
mod line;
mod notices;
mod order;
mod pending;
mod quota;
mod ranked;
mod room;
mod snapshot;
mod state;
mod status;
#[cfg(test)]
mod tests;

pub use admission::{AdmissionQueue, Grant, Pass, TypeLimits};
pub use explain::{Explanation, Hold, missing_queue};
pub use free_workers::WorkerSlot;
pub use ledger::Running;
pub use notices::{Notices, TOLD, Waiting};
pub use order::{Key, Order, arrival};
pub use pending::Turn;
pub use quota::{Lack, Quota};
pub use snapshot::{Snapshot, Told};
pub use state::{PendingTask, QueueState, Reservation, queue_state, ready_at, waits_its_turn};
pub use status::{QueueCounts, queue_status};
