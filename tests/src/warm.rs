//! A warm worker, as it speaks to the operator: where no node runs its pod, the test does what its program would.

use hyper::Method;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use task_manager::api::{Executor, TaskType, TaskTypeSpec, WorkerPool};

use crate::namespace::Namespace;
use crate::patience::{SOON, eventually};
use crate::rest::{Answer, Rest};

/// A pool of this many workers, whose heartbeat is 5 s.
pub fn worker_pool(name: &str, min: i32, max: i32) -> WorkerPool {
    serde_json::from_value(json!({
        "apiVersion": "taskmanager.dev/v1alpha1", "kind": "WorkerPool", "metadata": {"name": name},
        "spec": {"replicas": {"min": min, "max": max}, "heartbeatSeconds": 5, "template": {"spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "worker", "image": "localhost/busybox:1", "imagePullPolicy": "Never", "command": ["sleep", "3600"],
                "resources": {"requests": {"cpu": "10m"}, "limits": {"memory": "32Mi"}}}],
        }}},
    }))
    .expect("a pool")
}

/// A type whose tasks this pool runs.
pub fn pool_type(name: &str, pool: &str) -> TaskType {
    let spec: TaskTypeSpec = serde_json::from_value(json!({
        "executor": Executor::Pool, "workerPool": pool,
        "defaults": {"retry": {"initialSeconds": 1, "factor": 1}},
    }))
    .expect("a type");
    TaskType::new(name, spec)
}

/// One worker with the token of its pod.
#[derive(Clone)]
pub struct WarmWorker {
    pub pod: String,
    pub uid: String,
    pub token: String,
    way: Rest,
    /// The process of its pod that speaks, where it names itself.
    process: Option<String>,
}

impl WarmWorker {
    /// The workers of this pool, once there are so many.
    pub async fn all(namespace: &Namespace, pool: &str, count: usize, way: &Rest) -> Vec<Self> {
        let pods = namespace.workers_of(pool, count).await;
        let mut workers = vec![];
        for pod in pods {
            workers.push(Self::of(namespace, &pod, way.clone()).await);
        }
        workers
    }

    pub async fn of(namespace: &Namespace, pod: &Pod, way: Rest) -> Self {
        let token = namespace.token_of(Some(&pod.name_any()), "task-manager").await;
        Self { pod: pod.name_any(), uid: pod.uid().expect("a uid"), token, way, process: None }
    }

    /// The same with another token.
    pub fn with(&self, token: &str) -> Self {
        Self { token: token.into(), ..self.clone() }
    }

    /// The same as a process that names itself so.
    pub fn as_process(&self, name: &str) -> Self {
        Self { process: Some(name.into()), ..self.clone() }
    }

    /// The same on its way to another replica.
    pub fn through(&self, way: Rest) -> Self {
        Self { way, ..self.clone() }
    }

    /// What the operator says to this; asked again while nobody leads.
    pub async fn next(&self, body: Value) -> Value {
        eventually("somebody leads and answers", SOON, async || {
            let answer = self.next_once(&body).await;
            if answer.status == 503 {
                return None;
            }
            assert_eq!(answer.status, 200, "{body}: {}", answer.text);
            Some(answer.json())
        })
        .await
    }

    pub async fn next_once(&self, body: &Value) -> Answer {
        self.say("next", None, body).await
    }

    /// A task, once there is one.
    pub async fn task(&self) -> Value {
        self.task_with(json!({"beats": true})).await
    }

    pub async fn task_with(&self, body: Value) -> Value {
        let mut body = body;
        eventually("the worker is given a task", SOON, async || {
            let answer = self.next(body.clone()).await;
            body.as_object_mut().expect("an object").remove("done");
            Some(answer["task"].clone()).filter(|task| !task.is_null())
        })
        .await
    }

    /// Hands the lease in, and asks for nothing that takes time.
    pub async fn done(&self, lease: &Value, mut done: Value) -> Value {
        done["lease"] = lease.clone();
        self.next(json!({"done": done, "wait": 0, "beats": true})).await
    }

    pub async fn progress(&self, lease: &Value, said: &Value) -> Answer {
        self.say("progress", lease.as_str(), said).await
    }

    pub async fn error(&self, lease: &Value, said: &Value) -> Answer {
        self.say("error", lease.as_str(), said).await
    }

    /// Puts a large result.
    pub async fn result(&self, lease: &Value, content_type: &str, content: String) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let lease = lease.as_str().expect("a lease");
        let headers = [("authorization", bearer.as_str()), ("content-type", content_type), ("task-lease", lease)];
        self.way.send(Method::PUT, "/worker/v1/result", &headers, Some(content)).await
    }

    /// Leaves a checkpoint.
    pub async fn leave(&self, lease: &Value, content: &str) -> Answer {
        self.about(Method::PUT, "checkpoint", lease, content.into()).await
    }

    /// The last checkpoint of the lease's run.
    pub async fn left(&self, lease: &Value) -> Answer {
        self.about(Method::GET, "checkpoint", lease, String::new()).await
    }

    async fn about(&self, method: Method, path: &str, lease: &Value, content: String) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let lease = lease.as_str().expect("a lease");
        let headers = [("authorization", bearer.as_str()), ("content-type", "text/plain"), ("task-lease", lease)];
        self.way.send(method, &format!("/worker/v1/{path}"), &headers, Some(content)).await
    }

    /// What the operator says to this; `None` where nobody answers, or somebody who does not lead.
    pub async fn try_next(&self, body: &Value) -> Option<Value> {
        let next = (Method::POST, "next");
        let answer = self.try_to_say(SOON, next, None, "application/json", body.to_string()).await?;
        assert!(answer.status == 200 || answer.status == 503, "{body}: {answer:?}");
        (answer.status == 200).then(|| answer.json())
    }

    /// A call whose answer may not come within this time.
    pub async fn try_to_say(
        &self,
        within: std::time::Duration,
        (method, path): (Method, &str),
        lease: Option<&str>,
        content_type: &str,
        body: String,
    ) -> Option<Answer> {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = vec![("authorization", bearer.as_str()), ("content-type", content_type)];
        headers.extend(lease.map(|lease| ("task-lease", lease)));
        self.way.try_to_send(within, method, &format!("/worker/v1/{path}"), &headers, body).await
    }

    async fn say(&self, path: &str, lease: Option<&str>, body: &Value) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
        headers.extend(lease.map(|lease| ("task-lease", lease)));
        headers.extend(self.process.as_deref().map(|process| ("task-process", process)));
        self.way.send(Method::POST, &format!("/worker/v1/{path}"), &headers, Some(body.to_string())).await
    }
}

impl Namespace {
    /// The container of this worker ends, as its kubelet tells it.
    pub async fn worker_ends(&self, worker: &WarmWorker, exit_code: i32) {
        let ended = json!({"exitCode": exit_code, "finishedAt": jiff::Timestamp::now().round(jiff::Unit::Second).expect("a time")});
        let phase = if exit_code == 0 { "Succeeded" } else { "Failed" };
        let status = json!({"status": {"phase": phase, "startTime": "2026-01-01T00:00:00Z", "containerStatuses": [{
            "name": "worker", "image": "localhost/busybox:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": ended}}]}});
        let patched = self.pods().patch_status(&worker.pod, &PatchParams::default(), &Patch::Merge(status)).await;
        patched.expect("its pod is there");
    }

    /// The pods of this pool that are there and stay.
    pub async fn workers_now(&self, pool: &str) -> Vec<Pod> {
        let pods = self.pods_now().await.into_iter();
        let mut pods: Vec<Pod> = pods
            .filter(|pod| pod.labels().get("taskmanager.dev/pool").is_some_and(|name| name == pool))
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .collect();
        pods.sort_by_key(ResourceExt::name_any);
        pods
    }

    /// The same, once there are just so many.
    pub async fn workers_of(&self, pool: &str, count: usize) -> Vec<Pod> {
        eventually(&format!("pool {pool} has {count} workers"), SOON, async || {
            Some(self.workers_now(pool).await).filter(|pods| pods.len() == count)
        })
        .await
    }
}
