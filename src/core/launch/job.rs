//! Builds the Job that runs one attempt, as JSON, so that no field of a template is lost. Nothing of a task's metadata but
//! its name reaches the pod.

use std::collections::BTreeSet;

use kube_core::{Resource, ResourceExt};
use serde_json::{Value, json};

use super::json::Object;
use super::names;
use super::pod_template::pod_template;
use crate::{ParsedType, Settings, TemplateError};
use task_manager_api::{Task, TaskStatus};

#[cfg(test)]
mod tests;

/// The Job of the attempt that `status` names. `task` must have its whole payload; `classes` are the PriorityClasses of
/// the cluster.
pub fn job(
    task: &Task,
    status: &TaskStatus,
    task_type: &ParsedType,
    settings: &Settings,
    classes: &BTreeSet<String>,
) -> Result<Value, TemplateError> {
    let template = pod_template(task, status, task_type, settings, classes)?;
    Ok(json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": names::job_of(task, status),
            "namespace": task.namespace(),
            "labels": template.get("metadata").and_then(|metadata| metadata.get("labels")),
            "annotations": annotations(&template, task_type),
            "ownerReferences": [task.controller_owner_ref(&())],
        },
        "spec": { "backoffLimit": 0, "template": template },
    }))
}

/// The annotations of the pod without those that are for the pod alone: the Job controller writes the whole Job anew three
/// times.
fn annotations(template: &Object, task_type: &ParsedType) -> Object {
    let annotations = template.get("metadata").and_then(|metadata| metadata.get("annotations"));
    let mut annotations = annotations.and_then(Value::as_object).cloned().unwrap_or_default();
    let theirs = task_type
        .template
        .as_ref()
        .ok()
        .and_then(|template| template.written.pointer("/metadata/annotations").and_then(Value::as_object));
    annotations.retain(|name, _| {
        !names::ANNOTATIONS_OF_PODS.contains(&name.as_str()) || theirs.is_some_and(|theirs| theirs.contains_key(name))
    });
    annotations
}
