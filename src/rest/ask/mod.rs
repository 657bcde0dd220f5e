//! Questions about tasks: a status, the whole, the result, and lists; and which types, queues and worker pools there are.

mod counts;
pub mod list;
pub mod pools;
pub mod queues;
mod readiness;
pub mod result;
pub mod selection;
pub mod status;
pub mod statuses;
pub mod stored_result;
pub mod task;
pub mod types;
