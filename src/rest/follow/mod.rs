//! A task followed as server-sent events.

mod event;
pub mod events;
mod history;
mod reader;
