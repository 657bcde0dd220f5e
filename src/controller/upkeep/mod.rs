//! Upkeep beside the tasks: removes orphans, keeps the status of types and queues, and finds out whose status is to say
//! why it waits.

pub mod finished_jobs;
pub mod load;
pub mod orphans;
pub mod queues;
mod type_schedule;
pub mod types;
pub mod waits;
