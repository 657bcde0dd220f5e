//! Builds the Job that runs one attempt. Nothing of a task's metadata but its name reaches the pod.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_core::{Resource, ResourceExt};

use super::pod_template::pod_template;
use super::{holds, names};
use crate::{ParsedType, Settings, TemplateError};
use task_manager_api::{Task, TaskSpec, TaskStatus};

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
) -> Result<Job, TemplateError> {
    let uid = task.uid().unwrap_or_default();
    let labels = labels(task, &uid, status.attempt);
    Ok(Job {
        metadata: ObjectMeta {
            name: Some(names::job_of(task, status)),
            namespace: task.namespace(),
            labels: Some(labels.clone()),
            annotations: Some([(names::ANNOTATION_HOLDS.to_owned(), holds::annotation(task, status))].into()),
            owner_references: Some(task.controller_owner_ref(&()).into_iter().collect()),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(0),
            template: with_priority(
                pod_template(task, status, task_type, settings, labels)?,
                status,
                settings,
                classes,
            ),
            ..JobSpec::default()
        }),
        status: None,
    })
}

/// A pod like those of this type's tasks, for a dry run that asks the API server whether it would accept them.
pub fn probe(task_type: &ParsedType, type_name: &str, settings: &Settings) -> Result<Pod, TemplateError> {
    let mut task = Task::new(type_name, TaskSpec { type_: type_name.into(), ..TaskSpec::default() });
    task.metadata.uid = Some("probe".into());
    let template = pod_template(&task, &TaskStatus::default(), task_type, settings, BTreeMap::new())?;
    let name = Some(names::job_of(&task, &TaskStatus::default()));
    Ok(Pod {
        metadata: ObjectMeta { name, ..template.metadata.unwrap_or_default() },
        spec: template.spec,
        status: None,
    })
}

fn labels(task: &Task, uid: &str, attempt: i32) -> BTreeMap<String, String> {
    [
        (names::LABEL_TASK_UID, uid.to_owned()),
        (names::LABEL_TYPE, names::label_value(&task.spec.type_)),
        (names::LABEL_ATTEMPT, attempt.to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// Sets the PriorityClass of the task's priority, where the cluster has one by that name and the template names none.
fn with_priority(
    mut template: PodTemplateSpec,
    status: &TaskStatus,
    settings: &Settings,
    classes: &BTreeSet<String>,
) -> PodTemplateSpec {
    let name = format!("{}{}", settings.priority_class_prefix, status.priority.unwrap_or_default());
    if let Some(spec) = template.spec.as_mut().filter(|spec| spec.priority_class_name.is_none()) {
        spec.priority_class_name = classes.get(&name).cloned();
    }
    template
}
