//! Questions about tasks: a status, the whole, the result, and lists.

pub mod list;
pub mod result;
pub mod status;
pub mod statuses;
pub mod stored_result;
pub mod task;
