//! The admission policies that come with the operator, as they are installed. Who is an administrator is let in by all.

use harness::*;
use serde_json::{Value, json};

const USER: &str = "mallory";
const LABEL: &str = "taskmanager.dev/task-uid";

async fn install(ns: &Namespace, policy: &str) {
    let file = target().join("../manifests/policies").join(policy);
    let file = file.to_str().expect("a path that is text");
    let said = ns.kubectl(&["apply", "--server-side", "--force-conflicts", "--filename", file]).await;
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

/// A person who may make Jobs and pods here, and nothing else.
async fn a_person(ns: &Namespace) {
    let group = "rbac.authorization.k8s.io";
    let rules = json!([{"apiGroups": ["", "batch"], "resources": ["pods", "jobs", "pods/status"], "verbs": ["create", "get", "patch", "update"]}]);
    let version = format!("{group}/v1");
    ns.create_raw(json!({"apiVersion": version, "kind": "Role", "metadata": {"name": USER}, "rules": rules}))
        .await
        .expect("accepted");
    ns.create_raw(json!({"apiVersion": version, "kind": "RoleBinding", "metadata": {"name": USER},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": USER},
        "subjects": [{"apiGroup": group, "kind": "User", "name": USER}]}))
        .await
        .expect("accepted");
}

/// The API server's answer to this request of that person; empty where it accepts.
async fn refused(ns: &Namespace, arguments: &[&str]) -> Option<String> {
    let said = ns.kubectl(&[&["--as", USER], arguments].concat()).await;
    (!said.status.success()).then(|| String::from_utf8_lossy(&said.stderr).into_owned())
}

fn written(ns: &Namespace, kind: &str, labels: Value) -> String {
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "work", "image": "localhost/busybox:1"}]});
    let (version, spec) = match kind {
        "Job" => ("batch/v1", json!({"template": {"spec": pod}})),
        _ => ("v1", pod),
    };
    let name = if labels.as_object().is_some_and(|labels| labels.is_empty()) { "plain" } else { "forged" };
    let mut metadata = json!({"name": name, "labels": labels});
    if name == "forged" {
        // As the operator makes them: a task owns the Job, or the bare pod.
        metadata["ownerReferences"] = json!([{"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task", "name": "one",
            "uid": "5d0c5a54-0000-4000-8000-000000000000", "controller": true}]);
    }
    let manifest = json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec});
    let file = target().join("test-logs").join(format!("{}-{kind}-{name}.json", ns.name));
    std::fs::write(&file, manifest.to_string()).expect("a manifest");
    file.to_string_lossy().into_owned()
}

#[tokio::test]
async fn only_who_may_write_a_tasks_status_may_create_jobs_and_pods_of_tasks() {
    in_namespace("children-policy", async |ns| {
        install(&ns, "task-children.yaml").await;
        a_person(&ns).await;
        for kind in ["Job", "Pod"] {
            let forged = written(&ns, kind, json!({LABEL: "somebody"}));
            eventually("it is refused: the policy is in force", SOON, async || {
                let tried = refused(&ns, &["create", "--dry-run=server", "--filename", &forged]).await?;
                tried.contains("leave it out").then_some(())
            })
            .await;
            let plain = written(&ns, kind, json!({}));
            assert_eq!(refused(&ns, &["create", "--filename", &plain]).await, None, "{kind}");
            let labelled = refused(&ns, &["label", kind, "plain", &format!("{LABEL}=somebody")]).await;
            assert!(labelled.is_some_and(|said| said.contains("leave it out")), "{kind}");
            assert_eq!(refused(&ns, &["label", kind, "plain", "team=docs"]).await, None, "{kind}");
            // The operator has the right, as an administrator has.
            let made = ns.kubectl(&["create", "--filename", &forged]).await;
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            assert_eq!(refused(&ns, &["label", kind, "forged", "team=docs"]).await, None, "it bore the label before");
        }
    })
    .await;
}

#[tokio::test]
async fn only_who_may_write_a_tasks_status_may_change_our_labels_and_annotations() {
    in_namespace("marks-policy", async |ns| {
        install(&ns, "task-children.yaml").await;
        a_person(&ns).await;
        for kind in ["Job", "Pod"] {
            let ours = written(&ns, kind, json!({LABEL: "somebody"}));
            let made = ns.kubectl(&["create", "--filename", &ours]).await;
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            let annotated = ns.kubectl(&["annotate", kind, "forged", "taskmanager.dev/holds={}"]).await;
            assert!(annotated.status.success(), "the operator has the right: {annotated:?}");
            eventually("its label stays: the policy is in force", SOON, async || {
                let tried = refused(&ns, &["label", "--dry-run=server", kind, "forged", &format!("{LABEL}-")]).await?;
                tried.contains("leave them as they are").then_some(())
            })
            .await;
            for change in [
                ["label", kind, "forged", "taskmanager.dev/attempt=7"],
                ["annotate", kind, "forged", "taskmanager.dev/holds-"],
                ["annotate", kind, "forged", "taskmanager.dev/payload={}"],
            ] {
                let said = refused(&ns, &change).await;
                assert!(said.is_some_and(|said| said.contains("leave them as they are")), "{change:?}");
            }
            let other =
                refused(&ns, &["annotate", "--overwrite", kind, "forged", "taskmanager.dev/holds={\"a\":1}"]).await;
            assert!(other.is_some(), "{kind}");
            for change in [["label", kind, "forged", "team=docs"], ["annotate", kind, "forged", "example.com/note=1"]] {
                assert_eq!(refused(&ns, &change).await, None, "{change:?}");
            }
            let restored = ns.kubectl(&["label", kind, "forged", &format!("{LABEL}-")]).await;
            assert!(restored.status.success(), "{restored:?}");
        }
        let deadline = r#"{"spec": {"activeDeadlineSeconds": 5}}"#;
        for kind in ["Job", "Pod"] {
            let lowered = ["patch", kind, "forged", "--type=merge", "--patch", deadline];
            let again = ns.kubectl(&["label", "--overwrite", kind, "forged", &format!("{LABEL}=somebody")]).await;
            assert!(again.status.success(), "{again:?}");
            assert!(refused(&ns, &lowered).await.is_some_and(|said| said.contains("activeDeadlineSeconds")), "{kind}");
            let by_us = ns.kubectl(&lowered).await;
            assert!(by_us.status.success(), "the operator has the right: {by_us:?}");
        }
        let ours = json!({"metadata": {"labels": {LABEL: null}}, "status": {"message": "x"}}).to_string();
        let by_status = ["patch", "pod", "forged", "--subresource=status", "--type=merge", "--patch", &ours];
        assert!(refused(&ns, &by_status).await.is_some_and(|said| said.contains("leave them as they are")));
    })
    .await;
}

#[tokio::test]
async fn only_who_may_write_a_tasks_status_may_make_chunks_and_items_stay_with_their_run() {
    in_namespace("chunks-policy", async |ns| {
        install(&ns, "task-chunks.yaml").await;
        let user = ns.user("mallory", &["view", "edit"]).await;
        let task = |name: &str, spec: Value| {
            json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task", "metadata": {"name": name}, "spec": spec})
        };
        let note = json!({"batch": "one", "uid": "u", "runId": "1", "began": "0", "number": 1, "indexes": "0-4"});
        let chunk = task("forged", json!({"type": "work", "chunk": note}));
        eventually("it is refused: the policy is in force", SOON, async || {
            let tried = user.create(chunk.clone()).await;
            match tried {
                Err(kube::Error::Api(said)) => said.message.contains("leave it as it is").then_some(()),
                Ok(_) => {
                    let _ = ns.tasks().delete("forged", &kube::api::DeleteParams::default()).await;
                    None
                }
                Err(_) => None,
            }
        })
        .await;
        let one = task("one", json!({"type": "work", "batch": {"items": [1, {"a": 2}]}}));
        user.create(one).await.expect("a batch is anybody's");
        let change = |spec: Value| {
            let patch = json!({"spec": spec}).to_string();
            let user = &user;
            async move { user.refused(&["patch", "task", "one", "--type=merge", "--patch", &patch]).await }
        };
        let said = change(json!({"batch": {"items": [1, {"b": 2}]}})).await;
        assert!(said.is_some_and(|said| said.contains("items can change only together with runId")));
        assert_eq!(change(json!({"batch": {"parallelism": 3}})).await, None);
        assert_eq!(change(json!({"runId": "2", "batch": {"items": [3]}})).await, None);
        let said = change(json!({"chunk": note})).await;
        assert!(said.is_some_and(|said| said.contains("leave it as it is")));
    })
    .await;
}
