//! Creates a task of a request that has no idempotency key.

use kube::ResourceExt;
use serde_json::Value;

use super::Submitter;
use super::manifest::{manifest, new_name};
use crate::api::Task;
use crate::rest::api_server::away;
use crate::serving::problem::{Problem, ProblemType};

impl Submitter {
    /// Under the name that the client chose, else under a new one. Returns the task's uid.
    pub(super) async fn create(&self, namespace: &str, chosen: Option<&str>, spec: Value) -> Result<String, Problem> {
        let name = match chosen {
            Some(name) => name.to_owned(),
            None => new_name(spec["type"].as_str().unwrap_or_default())?,
        };
        match self.api.create(namespace, &manifest(namespace, &name, spec, [])).await {
            // The client sends a request again whose answer was lost, and nobody else draws this name.
            Err(problem) if problem.is(ProblemType::Exists) && chosen.is_none() => {
                let task = self.api.task(namespace, &name).await?;
                self.taken(&task.ok_or_else(away)?)
            }
            created => self.taken(&created?),
        }
    }

    /// A task that was created is known from here on, before the watch shows it. Returns its uid.
    pub(super) fn taken(&self, task: &Task) -> Result<String, Problem> {
        self.index.task_seen(task);
        task.uid().ok_or_else(away)
    }
}
