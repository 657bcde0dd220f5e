//! Worker pools: which workers are made, kept, told to stop and replaced. Never decides which task a worker gets.

mod scale;
mod status;
pub mod template;
mod worker;

pub use scale::{Counts, Going, PoolDecision, PoolInput, WORN_OUT, count, decide};
pub use status::pool_status;
pub use worker::{Calls, Fault, Worker, WorkerState, silence};
