//! What is left of a task that was deleted with its children spared.

use harness::*;
use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::stage::seconds;

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
