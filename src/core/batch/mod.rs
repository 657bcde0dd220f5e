//! A batch: one piece of work over many items, done in chunks. Here is decided which items the next chunk has, and what becomes
//! of the items of a chunk that ended. What becomes of the batch as a task is decided in `task/batch`.
//!
//! ```text
//! ledger (every item is in one place) ──► cut: the next chunk ──► a child task ──► outcome ──► ledger
//! ```

mod cut;
mod items;
mod ledger;
mod outcome;
mod status;
#[cfg(test)]
mod tests;

pub use cut::Cut;
pub use items::Items;
pub use ledger::{Ledger, ReadBack, Running};
pub use outcome::{End, Ending, FailedItem, ItemError, Outcome, Part};
pub use status::{MOST_ENDS_IN_A_ROW, counts, most_failed};
