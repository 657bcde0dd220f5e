//! The one way to write a status: a PUT that carries the resourceVersion which it was decided on, so
//! that a status is never written over another than the one it was decided on.

use std::fmt::Debug;
use std::sync::Arc;

use kube::api::{ObjectMeta, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::events::Events;
use crate::api::{
    Task, TaskQueue, TaskQueueSpec, TaskQueueStatus, TaskSpec, TaskStatus, TaskType, TaskTypeSpec, TaskTypeStatus,
};
use crate::cluster::calls::{CallError, Calls};
use crate::metrics::Metrics;

pub struct StatusWriter {
    calls: Calls,
    events: Events,
    metrics: Arc<Metrics>,
}

impl StatusWriter {
    pub fn new(calls: Calls, events: Events, metrics: Arc<Metrics>) -> Self {
        Self { calls, events, metrics }
    }

    /// Writes `status` for `task` and returns the task as it then is, payload included. Metrics and log
    /// follow the write, so that they never tell what did not happen.
    pub async fn write(&self, task: &Task, status: TaskStatus) -> Result<Task, CallError> {
        let written = match self.put(&only_status(task, status)).await {
            Err(CallError::Conflict) => return Err(self.conflict(task).await),
            written => written?,
        };
        self.metrics.task_moved(task, &written);
        tell(task, &written);
        self.events.tell(task, &written);
        Ok(written)
    }

    /// Tells how a run ended whose status was never written: another run was asked for, and stands there instead.
    pub fn tell_superseded(&self, task: &Task, ended: TaskStatus) {
        let after = Task { status: Some(ended), ..task.clone() };
        self.metrics.task_moved(task, &after);
        tell(task, &after);
        self.events.tell(task, &after);
    }

    /// Asks whether a conflict is true: whoever believed an untrue one would wait for a change that never comes.
    async fn conflict(&self, task: &Task) -> CallError {
        let tasks = self.calls.namespaced::<Task>(&task.namespace().unwrap_or_default());
        match self.calls.read(tasks.get_metadata(&task.name_any())).await {
            Ok(present) if present.metadata.resource_version == task.metadata.resource_version => CallError::NoConflict,
            Ok(_) => CallError::Conflict,
            Err(error) => error,
        }
    }

    pub async fn write_type(&self, kind: &TaskType, status: TaskTypeStatus) -> Result<TaskType, CallError> {
        self.put(&TaskType { metadata: identity(&kind.metadata), spec: TaskTypeSpec::default(), status: Some(status) })
            .await
    }

    pub async fn write_queue(&self, queue: &TaskQueue, status: TaskQueueStatus) -> Result<TaskQueue, CallError> {
        self.put(&TaskQueue {
            metadata: identity(&queue.metadata),
            spec: TaskQueueSpec::default(),
            status: Some(status),
        })
        .await
    }

    /// The API server takes status alone from such a request, and checks uid and resourceVersion.
    async fn put<K>(&self, object: &K) -> Result<K, CallError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
    {
        let api = self.calls.namespaced::<K>(&object.namespace().unwrap_or_default());
        let how = PostParams::default();
        self.calls.write("update_status", api.replace_status(&object.name_any(), &how, object)).await
    }
}

fn only_status(task: &Task, status: TaskStatus) -> Task {
    Task { metadata: identity(&task.metadata), spec: TaskSpec::default(), status: Some(status) }
}

/// Which object, and in which version.
fn identity(metadata: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        ..ObjectMeta::default()
    }
}

fn tell(before: &Task, after: &Task) {
    let was = before.status.clone().unwrap_or_default();
    let is = after.status.clone().unwrap_or_default();
    if (was.state, was.reason, was.attempt) == (is.state, is.reason, is.attempt) {
        return;
    }
    tracing::info!(
        namespace = after.namespace(),
        task = after.name_any(),
        uid = after.uid(),
        state = %is.state,
        reason = %is.reason,
        attempt = is.attempt,
        message = is.message.as_deref().unwrap_or(is.reason.sentence()),
    );
}
