//! The slot that an attempt holds: how it is counted, and how it travels on status, Job and pod. Never decides who gets one.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSpec;
use serde::{Deserialize, Serialize};

use super::pod_resources::{self, PodResources, Requirements};
use super::{names, resources};
use crate::{ParsedType, Settings, TemplateError};
use task_manager_api::{Executor, Payload, Quantity, Task, TaskSpec, TaskStatus};

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

/// The resources that an attempt of `task` counts for, as the scheduler counts its pod: the pod of the last dry run, else
/// the template, with the task's own share in the place of the work's. On a warm worker, what task or type say.
pub fn counted(task: &Task, task_type: &ParsedType, settings: &Settings) -> Result<resources::Amounts, TemplateError> {
    if task_type.spec.executor == Executor::Pool {
        return Ok(to_amounts(&resources::of_pool_task(task, task_type).requests));
    }
    let template = task_type.template.as_ref().map_err(TemplateError::clone)?;
    let answered = task_type.dry_run.as_ref().and_then(|dry_run| dry_run.pod.as_ref());
    // A pod that was changed beyond recognition says nothing of this work.
    let answered = answered.filter(|pod| pod.container(&template.work.name).is_some());
    let mut pod = answered.unwrap_or(&template.pod).clone();
    if template.pod.resources != Requirements::default() {
        // The API server completes pod-level requests by what the containers ask for, which may be other than they did.
        pod.resources = template.pod.resources.clone();
    }
    let work = resources::of_work(task, task_type, template, settings);
    let counted = pod.with_work(&template.work.name, &work).counted();
    Ok(pod_resources::sum([counted, task_type.surplus.clone()]))
}

/// By how much a pod counts for more than its slot holds.
pub fn surplus(pod: &PodSpec, holds: &Holds) -> resources::Amounts {
    pod_resources::surplus(&PodResources::from(pod).counted(), &to_amounts(&holds.resources))
}

/// How much of a pod's surplus over the slot that it `holds` a task like it, which counts for so much now, would have too.
pub fn unforeseen(surplus: &resources::Amounts, holds: &Holds, counted: resources::Amounts) -> resources::Amounts {
    let held = to_amounts(&holds.resources);
    let real = pod_resources::sum([held.clone(), surplus.clone()]);
    pod_resources::surplus(&real, &pod_resources::largest(held, counted))
}

/// Two amounts together.
pub fn together(one: &resources::Amounts, other: &resources::Amounts) -> resources::Amounts {
    pod_resources::sum([one.clone(), other.clone()])
}

/// Whether the present attempt would be launched with what its status has admitted, or with less for no doing of the task's:
/// what is known of its type beside the template is not always known.
pub fn is_what_was_admitted(task: &Task, task_type: &ParsedType, settings: &Settings) -> Result<bool, TemplateError> {
    let counted = counted(task, task_type, settings)?;
    let status = task.status_or_default();
    let Some(admitted) = &status.admitted else { return Ok(true) };
    let is_unchanged = Some(status.observed_generation) == task.metadata.generation;
    let is_covered = pod_resources::surplus(&counted, &to_amounts(&admitted.resources)).is_empty();
    Ok(to_quantities(&counted) == admitted.resources || (is_unchanged && is_covered))
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
