//! The pod template of one attempt: the type's template with labels, annotations, deadline, resources and volumes of ours.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodTemplateSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as PodQuantity;

use super::{holds, names, resources, work_inputs};
use crate::{ParsedType, Policy, Settings, TemplateError};
use task_manager_api::{Payload, Quantity, Resources, Task, TaskStatus};

/// The pod template of an attempt: the type's, with the fields that the operator sets.
pub fn pod_template(
    task: &Task,
    status: &TaskStatus,
    task_type: &ParsedType,
    settings: &Settings,
    labels: BTreeMap<String, String>,
) -> Result<PodTemplateSpec, TemplateError> {
    let mut template = task_type.template.clone()?;
    let metadata = template.metadata.get_or_insert_default();
    metadata.labels.get_or_insert_default().extend(labels);
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(names::ANNOTATION_HOLDS.into(), holds::annotation(task, status));
    annotations.insert(names::ANNOTATION_PAYLOAD.into(), payload(task.spec.payload.as_ref()));

    let spec = template.spec.get_or_insert_default();
    spec.restart_policy = Some("Never".into());
    spec.active_deadline_seconds = Some(Policy::of(&task.spec, Some(&task_type.spec)).timeout_seconds);
    spec.volumes.get_or_insert_default().extend(work_inputs::volumes());
    if settings.worker_url.is_some() {
        spec.volumes.get_or_insert_default().push(work_inputs::token_volume());
        // A token needs a service account. The API server fills in the same name where its ServiceAccount admission
        // plugin is on.
        spec.service_account_name.get_or_insert_with(|| "default".into());
    }
    if let Some(work) = spec.containers.first_mut() {
        work.resources = Some(requirements(&resources::of_work(task, task_type, work, settings)));
        work.termination_message_path = Some(work_inputs::RESULT_FILE.into());
        work.termination_message_policy = Some("File".into());
        work_inputs::add_to(work, task, status, settings);
    }
    Ok(template)
}

fn payload(payload: Option<&Payload>) -> String {
    payload.and_then(|payload| serde_json::to_string(payload).ok()).unwrap_or_else(|| "{}".into())
}

fn requirements(work: &Resources) -> ResourceRequirements {
    let write = |quantities: &BTreeMap<String, Quantity>| {
        let written: BTreeMap<_, _> =
            quantities.iter().map(|(name, quantity)| (name.clone(), PodQuantity(quantity.0.clone()))).collect();
        (!written.is_empty()).then_some(written)
    };
    ResourceRequirements { requests: write(&work.requests), limits: write(&work.limits), claims: None }
}
