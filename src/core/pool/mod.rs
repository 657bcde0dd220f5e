//! Worker pools: which workers are made, kept, told to stop and replaced. Never decides which task a worker gets.

mod scale;
pub mod template;
mod worker;

pub use scale::{Counts, PoolDecision, PoolInput, decide};
pub use worker::{Calls, Fault, Worker, WorkerState};
