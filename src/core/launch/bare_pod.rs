//! Builds the bare pod that runs one attempt, as JSON, so that no field of a template is lost.

use std::collections::BTreeSet;

use kube_core::Resource;
use serde_json::{Value, json};

use super::json::object;
use super::names;
use super::pod_template::pod_template;
use crate::{ParsedType, Settings, TemplateError};
use task_manager_api::{Task, TaskStatus};

/// The pod of the attempt that `status` names. `task` must have its whole payload; `classes` are the PriorityClasses of the
/// cluster.
pub fn bare_pod(
    task: &Task,
    status: &TaskStatus,
    task_type: &ParsedType,
    settings: &Settings,
    classes: &BTreeSet<String>,
) -> Result<Value, TemplateError> {
    let mut pod = pod_template(task, status, task_type, settings, classes)?;
    pod.extend([("apiVersion".to_owned(), json!("v1")), ("kind".to_owned(), json!("Pod"))]);
    object(&mut pod, "metadata", |metadata| {
        metadata.extend([
            ("name".to_owned(), json!(names::job_of(task, status))),
            ("namespace".to_owned(), json!(task.metadata.namespace)),
            ("ownerReferences".to_owned(), json!([task.controller_owner_ref(&())])),
        ]);
    });
    Ok(Value::Object(pod))
}
