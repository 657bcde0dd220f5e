//! The spec of a run that is being superseded. By then its task has that of the next run, so the Job is asked, or the pod,
//! while they are there. Decides nothing.

use std::fmt::Debug;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ObjectMeta;
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::api::{Payload, Task, TaskSpec, TaskStatus};
use crate::cluster::calls::{CallError, Reads};
use crate::core::attempt::facts;
use crate::core::launch::{holds, names};

/// The run that the status speaks of, where the task asks for another by now.
pub fn run(task: &Task) -> Option<&String> {
    task.status.as_ref()?.superseded_run(&task.spec)
}

/// The spec that the run had, of which `remembered` may be left. Without its payload where nobody knows that any longer.
pub async fn spec(
    task: &Task,
    status: &TaskStatus,
    remembered: Option<TaskSpec>,
    reads: &Reads,
) -> Result<TaskSpec, CallError> {
    let known = known_spec(task, remembered);
    if matches!(known.payload, Some(Payload::Whole(_))) {
        return Ok(known);
    }
    let launched = launched(task, status, reads).await?;
    Ok(launched.and_then(|pod| holds::launched_as(pod.annotations.as_ref()?, &known)).unwrap_or(known))
}

/// The same as far as it is known without asking anybody.
pub fn known_spec(task: &Task, remembered: Option<TaskSpec>) -> TaskSpec {
    remembered.unwrap_or_else(|| TaskSpec {
        run_id: run(task).unwrap_or(&task.spec.run_id).clone(),
        // Of its payload, at least, it is not known that it is the same.
        payload: Some(Payload::Measured { bytes: 0, fault: None }),
        ..task.spec.clone()
    })
}

/// The metadata of the pods of the attempt that `status` speaks of.
async fn launched(task: &Task, status: &TaskStatus, reads: &Reads) -> Result<Option<ObjectMeta>, CallError> {
    let name = names::job_of(task, status);
    let job = find::<Job>(task, &name, reads).await?.filter(|job| facts::belongs_to(task, job));
    let pod = match job {
        Some(job) => job.spec.and_then(|job| job.template.metadata),
        // The pod that a Job left, or a bare one.
        None => find::<Pod>(task, status.worker.as_ref().unwrap_or(&name), reads).await?.map(|pod| pod.metadata),
    };
    let label = |pod: &ObjectMeta| pod.labels.as_ref()?.get(names::LABEL_TASK_UID).cloned();
    Ok(pod.filter(|pod| label(pod) == task.uid()))
}

/// A child of the task; none where the API server hands it out to nobody like us.
async fn find<K>(task: &Task, name: &str, reads: &Reads) -> Result<Option<K>, CallError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let children = reads.namespaced::<K>(&task.namespace().unwrap_or_default());
    match reads.read(children.get_opt(name)).await {
        Err(CallError::Refused(_)) => Ok(None),
        found => found,
    }
}
