//! Upkeep beside the tasks: removes orphans, and keeps the status of types and queues.

pub mod finished_jobs;
pub mod load;
pub mod orphans;
pub mod queues;
pub mod types;
