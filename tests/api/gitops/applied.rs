//! What is applied again, by each tool in its own way; and who owns what.

use std::fs;

use harness::*;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::ResourceExt;
use kube::api::{ObjectMeta, Patch, PatchParams};
use serde_json::{Value, json};
use task_manager::api::{Reason, State, Task, TaskQueue, TaskType};

use crate::stage::{manifest, set, started, version};

/// The names under which Argo CD, Flux and kubectl write.
const MANAGERS: [&str; 3] = ["argocd-controller", "kustomize-controller", "kubectl"];

fn written(name: &str) -> Value {
    let spec = json!({
        "type": "work", "payload": {"a": {"b": [1, null]}, "n": 0.5}, "retry": {"factor": 1.5},
        "resources": {"requests": {"cpu": 1}, "limits": {"memory": "1Gi"}},
    });
    manifest("Task", name, spec)
}

async fn apply_as(ns: &Namespace, manager: &str, manifest: &Value) -> Task {
    let name = manifest["metadata"]["name"].as_str().expect("a name");
    let how = PatchParams::apply(manager).force();
    ns.tasks().patch(name, &how, &Patch::Apply(manifest)).await.expect("accepted")
}

#[tokio::test]
async fn finished_tasks_that_any_tool_applies_again_are_not_written() {
    in_namespace("gitops-again", async |ns| {
        let (node, operator) = set(&ns, &[]).await;
        for manager in MANAGERS {
            apply_as(&ns, manager, &written(manager)).await;
        }
        let mut done = vec![];
        for manager in MANAGERS {
            done.push(ns.task_in(manager, State::Completed).await);
        }
        let writes = operator.writes().await;
        for before in &done {
            let name = before.name_any();
            for _ in 0..2 {
                let after = apply_as(&ns, &name, &written(&name)).await;
                assert_eq!(version(&after.metadata), version(&before.metadata), "{name}");
            }
        }
        // The first time that another takes an object over, the API server notes it as an owner; the spec stays as it is.
        for (before, next) in done.iter().zip(["kubectl", "argocd-controller", "kustomize-controller"]) {
            let taken = apply_as(&ns, next, &written(&before.name_any())).await;
            assert_eq!(taken.metadata.generation, before.metadata.generation);
            let again = apply_as(&ns, next, &written(&before.name_any())).await;
            assert_eq!((version(&again.metadata), again.status), (version(&taken.metadata), before.status.clone()));
        }
        stays("nothing runs again, and the operator writes nothing", A_MOMENT, async || {
            node.starts().len() == MANAGERS.len() && operator.writes().await == writes
        })
        .await;
    })
    .await;
}

/// Applies a file with kubectl, and returns what it says.
async fn kubectl_apply(ns: &Namespace, how: &[&str], file: &str) -> String {
    let arguments = [&["apply", "-f", file], how].concat();
    let said = ns.kubectl(&arguments).await;
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).to_string()
}

#[tokio::test]
async fn the_example_is_accepted_runs_and_is_unchanged_when_it_is_applied_again() {
    in_namespace("gitops-example", async |ns| {
        let _node = ns.fake_node();
        let _operator = ns.operator(&[]).await;
        let folder = target().join("../manifests/gitops/work");
        let rendered = ns.kubectl(&["kustomize", folder.to_str().expect("text")]).await;
        assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
        let text = String::from_utf8(rendered.stdout).expect("text");
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).expect("objects");
        for object in &objects {
            let wave = if object["kind"] == "Task" { "2" } else { "1" };
            assert_eq!(object["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"], wave, "{}", object["kind"]);
        }
        let file = target().join("test-logs").join(format!("{}.yaml", ns.name));
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(&file, text).expect("written");
        let file = file.to_str().expect("text");

        let client_side: &[&str] = &[];
        let server_side: &[&str] = &["--server-side", "--force-conflicts"];
        kubectl_apply(&ns, client_side, file).await;
        let count = objects.iter().filter(|object| object["kind"] == "Task").count();
        eventually("all tasks are completed", SOON, async || {
            let tasks = ns.tasks().list(&Default::default()).await.ok()?.items;
            let completed =
                tasks.iter().filter(|task| task.status.as_ref().is_some_and(|status| status.state == State::Completed));
            (completed.count() == count).then_some(())
        })
        .await;
        let versions = async || {
            let tasks = ns.tasks().list(&Default::default()).await.expect("tasks").items;
            tasks.iter().map(|task| version(&task.metadata)).collect::<Vec<_>>()
        };
        let before = versions().await;
        for _ in 0..2 {
            let said = kubectl_apply(&ns, client_side, file).await;
            assert!(
                said.lines().count() == objects.len() && said.lines().all(|line| line.ends_with(" unchanged")),
                "{said}"
            );
        }
        assert_eq!(versions().await, before);
        kubectl_apply(&ns, server_side, file).await;
        let taken = versions().await;
        for _ in 0..2 {
            kubectl_apply(&ns, server_side, file).await;
        }
        assert_eq!(versions().await, taken);
    })
    .await;
}

/// What of the metadata is git's, or anybody's but the API server's.
fn kept(metadata: &ObjectMeta) -> ObjectMeta {
    ObjectMeta { resource_version: None, managed_fields: None, generation: None, ..metadata.clone() }
}

/// What others than git own outside of the status.
fn owned_by_others(metadata: &ObjectMeta) -> Vec<ManagedFieldsEntry> {
    let entries = metadata.managed_fields.clone().unwrap_or_default();
    let is_git = |entry: &ManagedFieldsEntry| entry.manager.as_deref() == Some("gitops");
    entries.into_iter().filter(|entry| !is_git(entry) && entry.subresource.as_deref() != Some("status")).collect()
}

/// Checks all versions of the objects of one kind: of this name, with this spec.
fn assert_only_the_status_is_written<K: ResourceExt>(versions: &[K], spec: impl Fn(&K) -> Value) {
    let first = versions.first().expect("it was seen");
    for later in versions {
        assert_eq!(kept(later.meta()), kept(first.meta()));
        assert_eq!(owned_by_others(later.meta()), []);
        if later.meta().generation == first.meta().generation {
            assert_eq!(spec(later), spec(first));
        }
    }
    let last = versions.last().expect("it was seen");
    let writers = last.managed_fields().iter().filter(|entry| entry.subresource.as_deref() == Some("status"));
    assert!(writers.count() > 0, "the operator has written the status of {}", last.name_any());
}

#[tokio::test]
async fn the_operator_never_writes_what_git_owns() {
    in_namespace("gitops-owned", async |ns| {
        let (tasks, types, queues) =
            (ns.record::<Task>().await, ns.record::<TaskType>().await, ns.record::<TaskQueue>().await);
        let node = ns.fake_node();
        let _operator = ns.operator(&[]).await;
        let kind = serde_json::to_value(task_type("work")).expect("JSON");
        ns.apply(manifest("TaskType", "work", kind["spec"].clone())).await.expect("accepted");
        ns.apply(manifest("TaskQueue", "default", json!({"capacity": {"tasks": 5}}))).await.expect("accepted");
        node.script("good", [Outcome::exit(1), Outcome::result("done"), Outcome::succeed()]);
        node.script("ended", [Outcome::Hold]);
        let names = ["good", "ended", "bad"];
        for (name, retry) in [("good", 1), ("ended", 1), ("bad", 0)] {
            node.script("bad", [Outcome::exit(1)]);
            ns.apply(manifest("Task", name, json!({"type": "work", "retry": {"limit": retry}})))
                .await
                .expect("accepted");
        }
        started(&node, "ended", 1).await;
        let cancelled = json!({"type": "work", "retry": {"limit": 1}, "cancel": true});
        ns.apply(manifest("Task", "ended", cancelled)).await.expect("accepted");
        ns.all_final(SOON).await;
        let again = json!({"type": "work", "retry": {"limit": 1}, "runId": "2"});
        ns.apply(manifest("Task", "good", again)).await.expect("accepted");
        ns.task_when("good", "has run again", |_, status| {
            (status.reason, status.run_id.as_deref()) == (Reason::Succeeded, Some("2"))
        })
        .await;
        for name in names {
            assert_only_the_status_is_written(&tasks.seen_of(name), |task| json!(task.spec));
        }
        eventually("type and queue are written", SOON, async || {
            let written = types.seen_of("work").len() > 1 && queues.seen_of("default").len() > 1;
            written.then_some(())
        })
        .await;
        assert_only_the_status_is_written(&types.seen_of("work"), |kind| json!(kind.spec));
        assert_only_the_status_is_written(&queues.seen_of("default"), |queue| json!(queue.spec));
    })
    .await;
}
