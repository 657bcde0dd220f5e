//! The launch of an attempt: its type and template, the policy in force, resources, names, and the Job.

pub mod holds;
pub mod job;
pub mod names;
mod pod_template;
pub mod policy;
pub mod resources;
pub mod task_type;
mod template;
pub mod work_inputs;

pub use template::TemplateError;
