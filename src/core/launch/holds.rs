//! The slot that an attempt holds: how it is counted, and how it travels on status, Job and pod. Never decides who gets one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{names, resources};
use crate::{ParsedType, Settings, TemplateError};
use task_manager_api::{Payload, Quantity, Task, TaskSpec, TaskStatus};

/// The slot of an attempt: its queue, type, kbId and resources. It is written on Job and pod, so that the slot is still
/// counted when the Task is gone and its pod is not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holds {
    pub queue: String,
    #[serde(rename = "type")]
    pub type_: String,
    pub kb_id: Option<String>,
    pub priority: task_manager_api::Priority,
    pub resources: BTreeMap<String, Quantity>,
}

/// The resources that an attempt of `task` counts for, as the scheduler counts its pod.
pub fn counted(task: &Task, task_type: &ParsedType, settings: &Settings) -> Result<resources::Amounts, TemplateError> {
    let template = task_type.template.as_ref().map_err(TemplateError::clone)?;
    let Some((spec, work)) = template.spec.as_ref().and_then(|spec| Some((spec, spec.containers.first()?))) else {
        return Err(TemplateError::NoContainer);
    };
    Ok(resources::of_pod(spec, Some(&resources::of_work(task, task_type, work, settings))))
}

/// The spec that a run was launched with: the fields that cannot change during a run, from the annotations of its pod,
/// and the rest from `spec`. `None` where the pod has no such annotations.
pub fn launched_as(annotations: &BTreeMap<String, String>, spec: &TaskSpec) -> Option<TaskSpec> {
    let holds: Holds = serde_json::from_str(annotations.get(names::ANNOTATION_HOLDS)?).ok()?;
    let payload: Payload = serde_json::from_str(annotations.get(names::ANNOTATION_PAYLOAD)?).ok()?;
    let Holds { queue, type_, kb_id, .. } = holds;
    Some(TaskSpec { type_, kb_id, queue, payload: Some(payload), ..spec.clone() })
}

/// The slot that `status.admitted` records. Where an older operator admitted the task and recorded no type, type and kbId
/// come from the spec.
pub fn held(task: &Task, status: &TaskStatus) -> Holds {
    let admitted = status.admitted.clone().unwrap_or_default();
    let (type_, kb_id) = match admitted.type_ {
        Some(type_) => (type_, admitted.kb_id),
        None => (task.spec.type_.clone(), task.spec.kb_id.clone()),
    };
    let priority = status.priority.unwrap_or_default();
    Holds { queue: admitted.queue, type_, kb_id, priority, resources: admitted.resources }
}

/// The slot as the annotation `taskmanager.dev/holds`.
pub fn annotation(task: &Task, status: &TaskStatus) -> String {
    serde_json::to_string(&held(task, status)).unwrap_or_default()
}

/// Amounts as a status shows them.
pub fn to_quantities(amounts: &resources::Amounts) -> BTreeMap<String, Quantity> {
    amounts.iter().map(|(name, amount)| (name.clone(), Quantity::from(*amount))).collect()
}

/// Quantities as admission counts them.
pub fn to_amounts(quantities: &BTreeMap<String, Quantity>) -> resources::Amounts {
    quantities.iter().map(|(name, quantity)| (name.clone(), resources::amount(quantity))).collect()
}
