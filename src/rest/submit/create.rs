//! Creates a task of a request that has no idempotency key.

use std::time::Duration;

use kube::ResourceExt;
use serde_json::Value;

use super::Submitter;
use super::manifest::{draw, manifest, new_name};
use crate::api::Task;
use crate::core::launch::names::ANNOTATION_SUBMISSION;
use crate::rest::api_server::away;
use crate::serving::problem::{Problem, ProblemType};

/// For the look whether a task was made although the API server did not say so. The client waits for it.
const LOOK: Duration = Duration::from_secs(3);

impl Submitter {
    /// Under the name that the client chose, else under a new one. Returns the task's uid.
    pub(super) async fn create(&self, namespace: &str, chosen: Option<&str>, spec: Value) -> Result<String, Problem> {
        let name = match chosen {
            Some(name) => name.to_owned(),
            None => new_name(spec["type"].as_str().unwrap_or_default())?,
        };
        // Others may choose the same name, and nobody draws the same number.
        let number = chosen.map(|_| draw()).transpose()?;
        let mark = number.as_deref().map(|number| (ANNOTATION_SUBMISSION, number));
        match self.api.create(namespace, &manifest(namespace, &name, spec, mark)).await {
            // A proxy may have sent the request twice, or lost the answer.
            Err(problem) if problem.is(ProblemType::ApiServer) || problem.is(ProblemType::Exists) => {
                let is_ours = |task: &Task| task.annotations().get(ANNOTATION_SUBMISSION) == number.as_ref();
                self.taken(&self.found(namespace, &name).await.filter(is_ours).ok_or(problem)?)
            }
            created => self.taken(&created?),
        }
    }

    /// The task of this name, if the API server answers. It may have carried out a request that it did not answer, and a
    /// client that is told to send it again would meet a task of its own as if it were another's.
    async fn found(&self, namespace: &str, name: &str) -> Option<Task> {
        tokio::time::timeout(LOOK, self.api.task(namespace, name)).await.ok()?.ok()?
    }

    /// A task that was created is known from here on, before the watch shows it. Returns its uid.
    pub(super) fn taken(&self, task: &Task) -> Result<String, Problem> {
        self.index.task_seen(task);
        task.uid().ok_or_else(away)
    }
}
