//! The launch of an attempt: its type and template, the policy in force, resources, names, and the Job or bare pod.

mod avoidance;
pub mod bare_pod;
pub mod chunk;
pub(crate) mod dropped;
pub mod dry_run;
pub mod holds;
pub mod job;
pub(crate) mod json;
pub mod names;
mod notes;
mod ownership;
mod pod_resources;
mod pod_template;
pub mod policy;
pub mod refusal;
pub mod resources;
pub mod task_type;
pub(crate) mod template;
pub mod work_inputs;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{ParsedType, Settings};
use task_manager_api::{Task, TaskStatus};

pub use template::TemplateError;

/// Builds what is launched for an attempt: a Job, or a bare pod.
pub type Launch = fn(&Task, &TaskStatus, &ParsedType, &Settings, &BTreeSet<String>) -> Result<Value, TemplateError>;
