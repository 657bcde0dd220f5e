//! The way of records into the archive: the record of a run is put there before anything of the run is forgotten. `core`
//! decides what is recorded; the rest is here.
//!
//! ```text
//! record_run ──► records ──► deleted_tasks ──► put ──► archive
//!   │               │
//!   │               └──► term_memory: tasks that wait, for one term
//!   └────► superseded, log_tail: parts of a record that the task does not have
//! attempt_logs ──► archive: the logs of attempts that no record has
//! ```

mod attempt_logs;
pub mod deleted_tasks;
mod log_tail;
pub mod once;
mod put;
pub mod record_run;
mod records;
pub mod retention;
mod superseded;
mod term_memory;
pub mod wake_when_back;

pub use attempt_logs::AttemptLogs;
pub use record_run::{Kept, keep};
pub use records::Records;
