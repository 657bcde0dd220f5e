//! Puts the label back by which the watches see a pod, where somebody removed it. Without the right to do so the pod is
//! asked for again and again.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::api::Task;
use crate::controller::Context;
use crate::core::launch::names;

/// Labels this pod again, and no other of its name. Only a pod that the task or a Job of it owns is known here by name.
pub async fn restore(task: &Task, pod: &Pod, context: &Context) {
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let pods = context.calls.namespaced::<Pod>(&namespace);
    let labelled = json!({"metadata": {"uid": pod.uid(), "labels": {names::LABEL_TASK_UID: task.uid()}}});
    let (how, patch) = (PatchParams::default(), Patch::Merge(labelled));
    match context.calls.write("label_pod", pods.patch(&name, &how, &patch)).await {
        Ok(_) => tracing::warn!(namespace, name, "somebody removed our label from a pod of a task; it has it again"),
        Err(error) => {
            tracing::warn!(namespace, name, %error, "somebody removed our label from a pod of a task, which is now asked for every few seconds")
        }
    }
}
