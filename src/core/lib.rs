//! Decides, and does nothing else.
//!
//! Nothing in here is async, holds a client, reads a clock, draws a random number or logs: time is handed
//! in, and every effect is named in what is returned. So every rule has a test of one line.

pub mod attempt;
pub mod launch;
pub mod queue;
pub mod settings;
pub mod task;
pub mod telling;
pub mod time;

pub use launch::policy::Policy;
pub use launch::task_type::{ParsedType, TemplateError};
pub use settings::Settings;
pub use task::{Action, Decision, Surroundings, decide};
pub use task_manager_api::Reason;
