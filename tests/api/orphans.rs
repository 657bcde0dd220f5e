//! Children of a task that was deleted with `--cascade=orphan`.

use harness::*;
use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::stage::{seconds, set};

const HOLDS: &str = r#"{"queue":"default","type":"work","priority":"normal","resources":{}}"#;

fn template() -> Value {
    json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "work", "image": "localhost/busybox:1"}]}})
}

/// A child of a task that is not there: by its label, and by the annotation where it is really ours.
fn child(kind: &str, name: &str, annotations: Value) -> Value {
    let spec = if kind == "Job" { json!({"template": template()}) } else { template()["spec"].clone() };
    json!({"apiVersion": if kind == "Job" { "batch/v1" } else { "v1" }, "kind": kind, "spec": spec,
        "metadata": {"name": name, "labels": {"taskmanager.dev/task-uid": format!("task-of-{name}")}, "annotations": annotations}})
}

async fn goes<K>(api: &Api<K>, name: &str)
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
{
    eventually(&format!("{name} is removed"), seconds(60), async || {
        let there = api.get_opt(name).await.ok()?;
        there.is_none_or(|child| child.meta().deletion_timestamp.is_some()).then_some(())
    })
    .await;
}

/// The same of a bare pod, with a task that it names as its owner.
fn bare_pod(name: &str, version: &str, owner: &str) -> Value {
    let mut pod = child("Pod", name, json!({"taskmanager.dev/holds": HOLDS}));
    pod["metadata"]["ownerReferences"] = json!([{"apiVersion": version, "kind": "Task", "name": owner, "uid": format!("task-of-{name}"), "controller": true}]);
    pod
}

#[tokio::test]
async fn a_bare_pod_goes_when_its_task_is_gone_and_stays_when_its_owner_is_another_kind_of_task() {
    in_namespace("bare-orphans", async |ns| {
        let _operator = ns.operator(&[]).await;
        ns.create_raw(bare_pod("left", "taskmanager.dev/v1alpha1", "gone")).await.expect("accepted");
        ns.create_raw(bare_pod("another", "example.com/v1", "gone")).await.expect("accepted");
        goes(&ns.pods(), "left").await;
        assert!(ns.pods().get("another").await.expect("the pod").metadata.deletion_timestamp.is_none());
    })
    .await;
}

#[tokio::test]
async fn jobs_and_pods_whose_task_is_gone_are_removed_and_those_of_strangers_are_not() {
    in_namespace("orphans", async |ns| {
        let _operator = ns.operator(&[]).await;
        for (kind, name, annotations) in [
            ("Job", "left", json!({"taskmanager.dev/holds": HOLDS})),
            ("Job", "stranger", json!({})),
            ("Pod", "left-pod", json!({"taskmanager.dev/holds": HOLDS})),
            ("Pod", "strange-pod", json!({})),
        ] {
            ns.create_raw(child(kind, name, annotations)).await.expect("it is accepted");
        }
        goes(&ns.jobs(), "left").await;
        goes(&ns.pods(), "left-pod").await;
        let jobs: Vec<_> = ns.jobs_now().await.iter().map(ResourceExt::name_any).collect();
        assert_eq!(jobs, ["stranger"]);
        assert!(ns.pods().get("strange-pod").await.expect("the pod").metadata.deletion_timestamp.is_none());
    })
    .await;
}

/// A pod as this Job's controller makes it.
fn pod_of(job: &Value, uid: &str) -> Value {
    let name = job["metadata"]["name"].clone();
    let mut pod = job["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!(format!("{}-x", name.as_str().expect("a name")));
    pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] = name.clone();
    pod["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid, "controller": true}]);
    pod
}

#[tokio::test]
async fn pods_of_a_foreign_job_stay_and_hold_no_slot_whatever_their_names() {
    in_namespace("forged", async |ns| {
        ns.create(&task_queue("default", 2)).await;
        for (name, own) in [("plain", json!({})), ("labelled", json!({"taskmanager.dev/task-uid": "task-of-labelled"}))]
        {
            let mut job = child("Job", name, json!({}));
            job["spec"]["template"]["metadata"] = json!({"annotations": {"taskmanager.dev/holds": HOLDS},
                "labels": {"taskmanager.dev/task-uid": format!("task-of-{name}")}});
            job["metadata"]["labels"] = own;
            let made = ns.create_raw(job.clone()).await.expect("it is accepted");
            ns.create_raw(pod_of(&job, &made.uid().expect("a uid"))).await.expect("it is accepted");
        }
        let (_node, _operator) = set(&ns, &[]).await;
        ns.create(&task("one")).await;
        ns.task_in("one", task_manager::api::State::Completed).await;
        let mut left: Vec<_> = ns.pods_now().await.iter().map(ResourceExt::name_any).collect();
        left.retain(|name| name.ends_with("-x"));
        assert_eq!(left, ["labelled-x", "plain-x"]);
    })
    .await;
}
