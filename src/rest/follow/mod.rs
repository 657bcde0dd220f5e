//! A task followed as server-sent events.

pub mod event;
pub mod events;
pub mod reader;
pub mod story;
