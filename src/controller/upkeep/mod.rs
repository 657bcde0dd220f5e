//! What is kept in order beside the tasks: orphans, and the status of types and queues.

pub mod orphans;
pub mod queues;
pub mod types;
