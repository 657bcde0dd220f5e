//! The changes of a task that the API server accepts.

use harness::*;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::stage::{manifest, refusal};

fn whole() -> Value {
    manifest(
        "Task",
        "one",
        json!({"type": "w", "queue": "q", "kbId": "kb", "payload": {"a": 1, "deep": {"b": [1, 2]}}}),
    )
}

#[tokio::test]
async fn what_a_run_is_about_changes_only_together_with_run_id() {
    in_namespace("run-id", async |ns| {
        ns.create_raw(whole()).await.expect("accepted");
        for (change, words) in [
            (json!({"type": "other"}), "type can change only together with runId: set runId to a new value"),
            (json!({"queue": "other"}), "queue can change only together with runId"),
            (json!({"kbId": "other"}), "kbId can change only together with runId"),
            (json!({"kbId": null}), "kbId can change only together with runId"),
            (json!({"payload": {"a": 2}}), "payload can change only together with runId"),
            (json!({"payload": {"new": 1}}), "payload can change only together with runId"),
            (json!({"payload": {"deep": {"b": [2, 1]}}}), "payload can change only together with runId"),
            (json!({"payload": {"a": null}}), "payload can change only together with runId"),
            (json!({"payload": null}), "payload can change only together with runId"),
        ] {
            let said = refusal(ns.patch_task("one", change.clone()).await, &change.to_string());
            assert!(said.contains(words), "{change} says {said}");
            let mut with_new_run = change.clone();
            with_new_run["runId"] = "2".into();
            let tried = PatchParams { dry_run: true, ..PatchParams::default() };
            let answer = ns.tasks().patch("one", &tried, &Patch::Merge(json!({"spec": with_new_run}))).await;
            assert!(answer.is_ok(), "with a new runId {change} passes: {answer:?}");
        }
        let all = json!({"runId": "2", "type": "x", "queue": "x", "kbId": "x", "payload": {"x": 1}, "priority": "low"});
        ns.patch_task("one", all).await.expect("with a new runId everything changes");
    })
    .await;
}

#[tokio::test]
async fn a_payload_added_later_needs_a_new_run_id_too() {
    in_namespace("added", async |ns| {
        ns.create_raw(manifest("Task", "one", json!({"type": "w"}))).await.expect("accepted");
        for change in [json!({"payload": {"a": 1}}), json!({"kbId": "kb"})] {
            let said = refusal(ns.patch_task("one", change).await, "an addition");
            assert!(said.contains("can change only together with runId"), "{said}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_task_is_not_un_cancelled_but_run_again() {
    in_namespace("un-cancel", async |ns| {
        ns.create_raw(whole()).await.expect("accepted");
        ns.patch_task("one", json!({"cancel": true})).await.expect("cancel passes");
        let said = refusal(ns.patch_task("one", json!({"cancel": false})).await, "un-cancel");
        assert!(
            said.contains(
                "a cancelled task cannot be un-cancelled: to run it again, set cancel to false and runId to a new value"
            ),
            "{said}"
        );
        ns.patch_task("one", json!({"cancel": false, "runId": "2"})).await.expect("a new run passes");
    })
    .await;
}

#[tokio::test]
async fn what_bounds_a_run_may_change_at_any_time() {
    in_namespace("allowed", async |ns| {
        ns.create_raw(whole()).await.expect("accepted");
        for change in [
            json!({"priority": "critical"}),
            json!({"priority": null}),
            json!({"suspend": true}),
            json!({"suspend": false}),
            json!({"timeoutSeconds": 5}),
            json!({"deadlineSeconds": 5}),
            json!({"retry": {"limit": 0, "factor": 1.5}}),
            json!({"resources": {"requests": {"cpu": 1, "memory": "1Gi"}}}),
            json!({"startAfter": "2030-01-01T00:00:00Z"}),
            json!({"startAfter": null}),
            json!({"ttlSecondsAfterFinished": 1}),
            json!({"once": true}),
        ] {
            ns.patch_task("one", change.clone()).await.unwrap_or_else(|error| panic!("{change}: {error}"));
        }
        let again = ns.apply(whole()).await.expect("GitOps applies what it has in its repository");
        assert_eq!(again.data["spec"]["payload"], json!({"a": 1, "deep": {"b": [1, 2]}}));
    })
    .await;
}
