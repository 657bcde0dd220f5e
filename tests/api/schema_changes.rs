//! The changes of a task that the API server accepts.

use harness::*;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
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

/// The definition of Task in a group of its own, without any rule or with all.
fn definition(group: &str, with_rules: bool) -> CustomResourceDefinition {
    fn without_rules(schema: &mut Value) {
        match schema {
            Value::Object(fields) => {
                fields.remove("x-kubernetes-validations");
                fields.values_mut().for_each(without_rules);
            }
            Value::Array(items) => items.iter_mut().for_each(without_rules),
            _ => {}
        }
    }
    let tasks = task_manager::api::crds().into_iter().find(|crd| crd.spec.names.kind == "Task").expect("Task");
    let mut written = serde_json::to_value(tasks).expect("JSON");
    written["metadata"]["name"] = json!(format!("tasks.{group}"));
    written["spec"]["group"] = json!(group);
    for names in ["shortNames", "categories"] {
        written["spec"]["names"].as_object_mut().expect("names").remove(names);
    }
    if !with_rules {
        without_rules(&mut written["spec"]);
    }
    serde_json::from_value(written).expect("a definition")
}

#[tokio::test]
async fn a_task_that_was_stored_before_a_rule_came_can_be_read_and_written_on() {
    in_namespace("ratchet", async |ns| {
        let group = format!("{}.example.com", ns.name);
        let definitions = Api::<CustomResourceDefinition>::all(ns.client.clone());
        definitions.create(&PostParams::default(), &definition(&group, false)).await.expect("a definition");
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(&group, "v1alpha1", "Task"));
        let tasks = Api::<DynamicObject>::namespaced_with(ns.client.clone(), &ns.name, &kind);
        let spec = json!({"type": "Not A Name", "queue": "Nightly", "resources": {"limits": {"memory": "100m"}, "requests": {"cpu": 5000}}});
        let written = json!({"apiVersion": format!("{group}/v1alpha1"), "kind": "Task", "metadata": {"name": "old"}, "spec": spec});
        let old: DynamicObject = serde_json::from_value(written).expect("an object");
        let how = PostParams::default();
        eventually("it is stored", SOON, async || tasks.create(&how, &old).await.ok().map(drop)).await;
        let apply = PatchParams::apply("test").force();
        let mut with_rules = serde_json::to_value(definition(&group, true)).expect("JSON");
        with_rules["apiVersion"] = json!("apiextensions.k8s.io/v1");
        with_rules["kind"] = json!("CustomResourceDefinition");
        definitions.patch(&format!("tasks.{group}"), &apply, &Patch::Apply(with_rules)).await.expect("the rules");
        let new = DynamicObject { metadata: kube::api::ObjectMeta { name: Some("new".into()), ..Default::default() }, ..old.clone() };
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        eventually("the rules are in force", SOON, async || tasks.create(&dry, &new).await.err().map(drop)).await;
        let status = json!({"status": {"state": "Processing", "reason": "Admitted"}});
        tasks.patch_status("old", &PatchParams::default(), &Patch::Merge(status)).await.expect("its status is written");
        let label = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"suspend": true}});
        tasks.patch("old", &PatchParams::default(), &Patch::Merge(label)).await.expect("what is not wrong changes");
        let worse = json!({"spec": {"resources": {"limits": {"memory": "50m"}}}});
        let said = refusal(tasks.patch("old", &PatchParams::default(), &Patch::Merge(worse)).await, "a new slip");
        assert!(said.contains("write 100Mi, not 100m"), "{said}");
        let better = json!({"spec": {"resources": {"limits": {"memory": "50Mi"}, "requests": {"cpu": "1"}}}});
        tasks.patch("old", &PatchParams::default(), &Patch::Merge(better)).await.expect("it is mended");
        let _ = definitions.delete(&format!("tasks.{group}"), &DeleteParams::default()).await;
    })
    .await;
}
