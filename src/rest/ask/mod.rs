//! What is asked of a task: its status, the whole, its result, and lists.

pub mod large;
pub mod list;
pub mod result;
pub mod status;
pub mod task;
pub mod wire;
