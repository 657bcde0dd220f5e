//! What is launched for an attempt: the type and its template, the policy that applies, resources, names, and the Job.

pub mod job;
pub mod names;
pub mod policy;
pub mod resources;
pub mod task_type;
