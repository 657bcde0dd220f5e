//! Common beginnings of stories.

use std::time::Duration;

use harness::{FakeNode, Namespace, Operator, SOON, eventually, task_type};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DynamicObject, ObjectMeta};
use serde_json::{Value, json};
use task_manager::api::{Reason, Task, TaskStatus};

/// A type "work", somebody to run its pods, and an operator.
pub async fn set(ns: &Namespace, flags: &[&str]) -> (FakeNode, Operator) {
    ns.create(&task_type("work")).await;
    let node = ns.fake_node();
    (node, ns.operator(flags).await)
}

/// Waits until the type "work" is checked: that is written once, beside what its tasks cost.
pub async fn a_checked_type(ns: &Namespace) {
    eventually("the type is checked", SOON, async || {
        ns.types().get("work").await.ok()?.status.filter(|status| !status.conditions.is_empty()).map(drop)
    })
    .await;
}

pub fn status(task: &Task) -> TaskStatus {
    task.status.clone().unwrap_or_default()
}

/// State, reason and attempt in one.
pub fn told(task: &Task) -> (String, Reason, i32) {
    let status = status(task);
    (status.state.to_string(), status.reason, status.attempt)
}

/// A manifest of one of our kinds, as a person writes it.
pub fn manifest(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// The API server's refusal of a manifest or change.
pub fn refusal<T>(answer: kube::Result<T>, what: &str) -> String {
    match answer {
        Err(kube::Error::Api(status)) => status.message,
        Err(error) => panic!("{what}: no answer: {error}"),
        Ok(_) => panic!("{what}: it was accepted"),
    }
}

pub fn version(metadata: &ObjectMeta) -> String {
    metadata.resource_version.clone().unwrap_or_default()
}

pub fn object_version(object: &DynamicObject) -> String {
    version(&object.metadata)
}

/// Its deadline was lowered for a reason, or it is deleted.
pub fn is_being_ended(pod: &Pod) -> bool {
    pod.annotations().contains_key("taskmanager.dev/ended-for") || pod.metadata.deletion_timestamp.is_some()
}

/// Waits until this task's pod has been started so many times.
pub async fn started(node: &FakeNode, task: &str, times: usize) {
    let what = format!("the pod of {task} is started for the {times}. time");
    eventually(&what, harness::SOON, async || (node.starts_of(task) >= times).then_some(())).await;
}

pub fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// Waits until the operator counts so many waiting tasks of normal priority: it has seen them.
pub async fn seen_waiting(operator: &Operator, tasks: u64) {
    let what = format!("the operator has seen {tasks} tasks that wait");
    eventually(&what, harness::SOON, async || {
        let metrics = operator.metrics().await;
        (metrics.count("task_manager_tasks_queued", &[("priority", "normal")]) == tasks).then_some(())
    })
    .await;
}
