//! The one way to write a status: a PUT that carries the resourceVersion which it was decided on, so
//! that a status is never written over another than the one it was decided on.

use std::sync::Arc;

use axum::http::{Request, header};
use kube::api::PartialObjectMeta;
use kube::core::NamespaceResourceScope;
use kube::{Error, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::events::Events;
use crate::api::{
    Task, TaskQueue, TaskQueueSpec, TaskQueueStatus, TaskSpec, TaskStatus, TaskType, TaskTypeSpec, TaskTypeStatus,
    WorkerPool, WorkerPoolSpec, WorkerPoolStatus,
};
use crate::cluster::calls::{CallError, Calls, TimeLeft};
use crate::cluster::identity;
use crate::metrics::Metrics;

/// The answers that the API server is asked for.
const WHOLE: &str = "application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

pub struct StatusWriter {
    calls: Calls,
    events: Events,
    metrics: Arc<Metrics>,
}

impl StatusWriter {
    pub fn new(calls: Calls, events: Events, metrics: Arc<Metrics>) -> Self {
        Self { calls, events, metrics }
    }

    /// Writes `status` for `task` and returns the task as it then is, payload included.
    pub async fn write_and_read(&self, task: &Task, status: TaskStatus) -> Result<Task, CallError> {
        let written = self.put::<Task, Task>(&only_status(task, status), WHOLE).await;
        self.written(task, written).await
    }

    /// The same, without the payload: the API server answers with what the write changed beside the status alone.
    pub async fn write(&self, task: &Task, status: TaskStatus) -> Result<Task, CallError> {
        let object = only_status(task, status);
        let written = self.put::<Task, PartialObjectMeta<Task>>(&object, METADATA).await;
        let whole =
            |PartialObjectMeta { metadata, .. }| Task { metadata, spec: task.spec.clone(), status: object.status };
        self.written(task, written.map(whole)).await
    }

    /// Metrics and log follow the write, so that they never tell what did not happen.
    async fn written(&self, task: &Task, answer: Result<Task, CallError>) -> Result<Task, CallError> {
        let written = match answer {
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
        let (metadata, spec) = (identity(&kind.metadata), TaskTypeSpec::default());
        self.put(&TaskType { metadata, spec, status: Some(status) }, WHOLE).await
    }

    pub async fn write_queue(&self, queue: &TaskQueue, status: TaskQueueStatus) -> Result<TaskQueue, CallError> {
        let (metadata, spec) = (identity(&queue.metadata), TaskQueueSpec::default());
        self.put(&TaskQueue { metadata, spec, status: Some(status) }, WHOLE).await
    }

    pub async fn write_pool(&self, pool: &WorkerPool, status: WorkerPoolStatus) -> Result<WorkerPool, CallError> {
        let (metadata, spec) = (identity(&pool.metadata), WorkerPoolSpec::default());
        self.put(&WorkerPool { metadata, spec, status: Some(status) }, WHOLE).await
    }

    /// The API server takes status alone from such a request, and checks uid and resourceVersion. The answer is what
    /// `accepted` names.
    async fn put<K, Answer>(&self, object: &K, accepted: &'static str) -> Result<Answer, CallError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Serialize,
        Answer: DeserializeOwned,
    {
        let api = self.calls.namespaced::<K>(&object.namespace().unwrap_or_default());
        let asked = |left: TimeLeft| async move {
            let body = serde_json::to_vec(object).map_err(Error::SerdeError)?;
            let request = Request::put(format!("{}/{}/status?{left}", api.resource_url(), object.name_any()))
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::ACCEPT, accepted);
            self.calls.reads.client().request(request.body(body).map_err(Error::HttpError)?).await
        };
        self.calls.write_within("update_status", asked).await
    }
}

fn only_status(task: &Task, status: TaskStatus) -> Task {
    Task { metadata: identity(&task.metadata), spec: TaskSpec::default(), status: Some(status) }
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
