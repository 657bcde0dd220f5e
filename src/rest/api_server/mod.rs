//! Requests to the API server on behalf of a client, each with a deadline; what it refuses is told as a problem.

mod refusal;

use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use kube::api::{Patch, PatchParams, ValidationDirective};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

pub use refusal::away;
use refusal::refused;

use crate::api::{Task, TaskQueue, TaskType};
use crate::serving::problem::{Problem, ProblemType};

/// A client waits for the answer, and has a deadline of its own.
const DEADLINE: Duration = Duration::from_secs(8);
/// Whole tasks that are read at once, whoever asks: somebody may have made them as large as the API server takes.
const WHOLE_AT_ONCE: usize = 8;
/// As whom the API server lists us among a task's managers.
const MANAGER: &str = "task-manager-rest";

#[derive(Clone)]
pub struct ApiServer {
    client: Client,
    whole: Arc<Semaphore>,
}

impl ApiServer {
    pub fn new(client: Client) -> Self {
        Self { client, whole: Arc::new(Semaphore::new(WHOLE_AT_ONCE)) }
    }

    /// Creates a task from a manifest, just as it is: a field that the API server does not know is refused.
    pub async fn create(&self, namespace: &str, manifest: &Value) -> Result<Task, Problem> {
        self.post(namespace, manifest, "").await
    }

    /// The task that a manifest would become: judged as `create` does, and not made.
    pub async fn dry_run(&self, namespace: &str, manifest: &Value) -> Result<Task, Problem> {
        self.post(namespace, manifest, "&dryRun=All").await
    }

    async fn post(&self, namespace: &str, manifest: &Value, more: &str) -> Result<Task, Problem> {
        let tasks = Task::url_path(&(), Some(namespace));
        let uri = format!("{tasks}?fieldManager={MANAGER}&fieldValidation=Strict{more}");
        let request = Request::post(uri).header("content-type", "application/json");
        let request = request.body(manifest.to_string().into_bytes()).map_err(|_| away())?;
        within(self.client.request::<Task>(request)).await
    }

    /// The task as the API server has it, payload and result included.
    pub async fn task(&self, namespace: &str, name: &str) -> Result<Option<Task>, Problem> {
        // Fails only when the semaphore is closed, which it never is.
        let _turn = self.whole.acquire().await;
        self.get(namespace, name).await
    }

    pub async fn task_type(&self, namespace: &str, name: &str) -> Result<Option<TaskType>, Problem> {
        self.get(namespace, name).await
    }

    pub async fn task_queue(&self, namespace: &str, name: &str) -> Result<Option<TaskQueue>, Problem> {
        self.get(namespace, name).await
    }

    async fn get<K>(&self, namespace: &str, name: &str) -> Result<Option<K>, Problem>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        within(Api::<K>::namespaced(self.client.clone(), namespace).get_opt(name)).await
    }

    /// Writes a merge patch of its spec to a task, only if it still is the one that was meant, and in this version if
    /// one is given; `None` where there is no task of this name.
    pub async fn change(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        version: Option<u64>,
        spec: &Value,
    ) -> Result<Option<Task>, Problem> {
        let mut change = json!({"metadata": {"uid": uid}, "spec": spec});
        if let Some(version) = version {
            change["metadata"]["resourceVersion"] = version.to_string().into();
        }
        let api = Api::<Task>::namespaced(self.client.clone(), namespace);
        let params = PatchParams {
            field_manager: Some(MANAGER.into()),
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::default()
        };
        match within(api.patch(name, &params, &Patch::Merge(change))).await {
            Ok(task) => Ok(Some(task)),
            Err(problem) if problem.is(ProblemType::UnknownNamespace) => Ok(None),
            Err(problem) => Err(problem),
        }
    }
}

async fn within<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Problem> {
    match tokio::time::timeout(DEADLINE, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) => Err(refused(&status)),
        Ok(Err(error)) => {
            tracing::warn!(%error, "a request on behalf of a REST client failed");
            Err(away())
        }
        Err(_) => Err(away()),
    }
}
