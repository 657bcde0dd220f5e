//! The one queue: who is next, and who has room.
//!
//! The board is a snapshot that the controller keeps up to date, and `admit` is a pass over it. The order is
//! strict: a task for which its queue has no room holds back all behind it in that queue, which by the order
//! are of equal or lower priority. A task that is held back by something else holds back nobody.

mod board;
mod capacity;
mod ledger;
mod line;
mod order;
mod standing;
mod summary;
#[cfg(test)]
mod tests;

pub use board::{Board, Pass};
pub use capacity::Capacity;
pub use order::{Key, Order};
pub use standing::{Candidate, Holding, Standing, ready_at, standing, waits_its_turn};
pub use summary::{Summary, status as queue_status};
