//! One try at a task: what is known of its Job and its pod, how it ended, and what follows from that.

pub mod backoff;
pub mod ended;
pub mod facts;
pub mod reports;
