//! Decides, and does nothing else.
//!
//! Nothing in here is async, holds a client, reads a clock, draws a random number or logs: time is handed
//! in, and every effect is named in what is returned. So every rule has a test of one line.

pub mod backoff;
pub mod classify;
pub mod conditions;
pub mod kind;
pub mod lifecycle;
pub mod names;
pub mod news;
pub mod observe;
pub mod pod;
pub mod policy;
pub mod queue;
pub mod resources;
pub mod settings;
pub mod text;
pub mod time;
pub mod words;

pub use crate::api::Reason;
pub use kind::{Kind, TemplateError};
pub use lifecycle::{Action, Decision, Surroundings, decide};
pub use policy::Policy;
pub use settings::Settings;
