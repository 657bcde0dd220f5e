//! The pod template of one attempt: the type's template as it was written, with labels, annotations, deadline, resources
//! and volumes of ours merged into its JSON.

use std::collections::{BTreeMap, BTreeSet};

use kube_core::ResourceExt;

use serde_json::{Value, json};

use super::json::{Object, is_set, list, object};
use super::{avoidance, chunk, holds, names, resources, work_inputs};
use crate::{ParsedType, Policy, Settings, TemplateError};
use task_manager_api::{Payload, Resources, Task, TaskStatus};

/// The pod template of an attempt: the type's, with the fields that the operator sets. `classes` are the PriorityClasses of the
/// cluster.
pub fn pod_template(
    task: &Task,
    status: &TaskStatus,
    task_type: &ParsedType,
    settings: &Settings,
    classes: &BTreeSet<String>,
) -> Result<Object, TemplateError> {
    let template = task_type.template.as_ref().map_err(TemplateError::clone)?;
    let mut written = template.written.as_object().cloned().unwrap_or_default();
    let policy = Policy::of(&task.spec, Some(&task_type.spec));
    let labels = labels(task, status.attempt);
    let work = work_name(&written);
    object(&mut written, "metadata", |metadata| {
        object(metadata, "labels", |theirs| {
            theirs.extend(labels.iter().map(|(key, value)| (key.clone(), json!(value))))
        });
        object(metadata, "annotations", |annotations| {
            if labels.get(names::TASK) != task.metadata.name.as_ref() {
                annotations.insert(names::TASK.into(), json!(task.metadata.name));
            }
            annotations.insert(names::ANNOTATION_HOLDS.into(), json!(holds::annotation(task, status)));
            annotations.insert(names::ANNOTATION_PAYLOAD.into(), json!(payload(task.spec.payload.as_ref())));
            if let Some(chunk) = &task.spec.chunk {
                annotations.insert(names::ANNOTATION_ITEMS.into(), json!(chunk::items_file(chunk)));
            }
            annotations.insert(names::ANNOTATION_TIMEOUT.into(), json!(policy.timeout_seconds.to_string()));
            if let Some(work) = work {
                name_the_work(annotations, &work);
            }
        });
    });
    object(&mut written, "spec", |spec| {
        spec.insert("restartPolicy".into(), json!("Never"));
        set_priority(spec, status, settings, classes);
        // Both clocks together, so that it is bounded while the operator is away.
        let deadline = policy.start_deadline_seconds.saturating_add(policy.timeout_seconds);
        spec.insert("activeDeadlineSeconds".into(), json!(deadline));
        list(spec, "volumes", |volumes| volumes.push(work_inputs::files_volume(task)));
        if settings.worker_url.is_some() {
            work_inputs::add_token(spec);
        }
        if let Some(node) = avoidance::node_to_avoid(status) {
            avoidance::prefer_others(spec, node);
        }
        let resources = resources::of_work(task, task_type, template, settings);
        list(spec, "containers", |containers| {
            if let Some(Value::Object(work)) = containers.first_mut() {
                make_work(work, &resources);
                work_inputs::add_to(work, task, status, settings);
            }
        });
    });
    Ok(written)
}

fn work_name(template: &Object) -> Option<String> {
    let containers = template.get("spec")?.get("containers")?;
    Some(containers.get(0)?.get("name")?.as_str()?.to_owned())
}

/// The work is found by its name, wherever others put their containers; by us, and by kubectl unless the template says
/// otherwise.
fn name_the_work(annotations: &mut Object, work: &str) {
    annotations.insert(names::ANNOTATION_CONTAINER.into(), json!(work));
    annotations.entry(names::ANNOTATION_DEFAULT_CONTAINER).or_insert_with(|| json!(work));
}

/// Gives the work its requests and limits, beside what else its resources name, and its result file.
fn make_work(work: &mut Object, resources: &Resources) {
    object(work, "resources", |written| {
        for (field, quantities) in [("requests", &resources.requests), ("limits", &resources.limits)] {
            if !quantities.is_empty() {
                written.insert(field.into(), json!(quantities));
            }
        }
    });
    work.insert("terminationMessagePath".into(), json!(work_inputs::RESULT_FILE));
}

fn payload(payload: Option<&Payload>) -> String {
    payload.and_then(|payload| serde_json::to_string(payload).ok()).unwrap_or_else(|| "{}".into())
}

fn labels(task: &Task, attempt: i32) -> BTreeMap<String, String> {
    [
        (names::LABEL_TASK_UID, task.uid().unwrap_or_default()),
        (names::TASK, names::task_label(&task.name_any())),
        (names::LABEL_TYPE, names::label_value(&task.spec.type_)),
        (names::LABEL_ATTEMPT, attempt.to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// Sets the PriorityClass of the task's priority, where the cluster has one by that name and the template names none.
fn set_priority(spec: &mut Object, status: &TaskStatus, settings: &Settings, classes: &BTreeSet<String>) {
    let name = format!("{}{}", settings.priority_class_prefix, status.priority.unwrap_or_default());
    if !is_set(spec, "priorityClassName") && classes.contains(&name) {
        spec.insert("priorityClassName".into(), json!(name));
    }
}
