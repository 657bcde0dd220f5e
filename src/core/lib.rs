//! Decides, and does nothing else.
//!
//! Nothing in here is async, holds a client, reads a clock, draws a random number or logs: every function gets the time
//! as an argument and returns the effects that the controller is to carry out.

pub mod attempt;
pub mod batch;
pub mod digest;
pub mod launch;
pub mod pool;
pub mod queue;
pub mod settings;
pub mod task;
pub mod telling;
pub mod time;

pub use launch::TemplateError;
pub use launch::policy::Policy;
pub use launch::task_type::ParsedType;
pub use settings::Settings;
pub use task::{Action, Decision, Input, decide, needs};
pub use task_manager_api::Reason;

/// How many cases a property test looks at: PROPTEST_CASES, or as many as fit into `make test`.
#[cfg(test)]
fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}
