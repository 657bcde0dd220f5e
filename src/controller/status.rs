//! The one way to write a task's status: a PUT that carries the resourceVersion which it was decided on, so
//! that what was decided on something else is never written.

use std::sync::Arc;

use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};

use super::calls::{CallError, Calls};
use crate::api::{Task, TaskSpec, TaskStatus};
use crate::metrics::Metrics;

pub struct StatusWriter {
    client: Client,
    calls: Arc<Calls>,
    metrics: Arc<Metrics>,
}

impl StatusWriter {
    pub fn new(client: Client, calls: Arc<Calls>, metrics: Arc<Metrics>) -> Self {
        Self { client, calls, metrics }
    }

    /// Writes `status` for `task` and returns the task as it then is, payload included. Metrics and log
    /// follow the write, so that they never tell what did not happen.
    pub async fn write(&self, task: &Task, status: TaskStatus) -> Result<Task, CallError> {
        let namespace = task.namespace().unwrap_or_default();
        let name = task.name_any();
        let tasks = Api::<Task>::namespaced(self.client.clone(), &namespace);
        let status = only_status(task, status);
        let how = PostParams::default();
        let written = self.calls.write("update_status", tasks.replace_status(&name, &how, &status)).await?;
        self.metrics.task_moved(task, &written);
        tell(task, &written);
        Ok(written)
    }
}

/// The API server takes status alone from such a request, and checks uid and resourceVersion.
fn only_status(task: &Task, status: TaskStatus) -> Task {
    Task {
        metadata: ObjectMeta {
            name: task.metadata.name.clone(),
            namespace: task.metadata.namespace.clone(),
            uid: task.metadata.uid.clone(),
            resource_version: task.metadata.resource_version.clone(),
            ..ObjectMeta::default()
        },
        spec: TaskSpec::default(),
        status: Some(status),
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
