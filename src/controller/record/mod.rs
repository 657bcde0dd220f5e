//! The way of records into the archive: the record of a run is put there before anything of the run is forgotten. `core`
//! decides what is recorded; the rest is here.
//!
//! ```text
//! keep ──► records ──► deleted_tasks ──► put ──► archive
//!   │         │
//!   │         └──────► remembered: what waits, in one term
//!   └────► superseded, log_tail: what a record needs beside its task
//! ```

pub mod deleted_tasks;
pub mod keep;
mod log_tail;
pub mod once;
mod put;
mod records;
mod remembered;
pub mod retention;
mod superseded;
pub mod waiting;

pub use keep::{Kept, keep};
pub use records::Records;
