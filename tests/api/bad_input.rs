//! Wrong input: each gets a clear sentence at the right place, stops nothing else and loses nothing. (Refusals of the
//! schema are in `schema`; those of a type's maximum are in `waiting`.)

use harness::*;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use task_manager::api::{Reason, State};

use crate::stage::{manifest, refusal, set, started, status};

fn payload(bytes: usize) -> Value {
    json!({"type": "work", "payload": {"text": "x".repeat(bytes)}})
}

#[tokio::test]
async fn a_payload_of_ten_mebibytes_is_refused_by_the_api_server() {
    in_namespace("ten-mebibytes", async |ns| {
        let (_node, _operator) = set(&ns, &[]).await;
        let said = refusal(ns.create_raw(manifest("Task", "large", payload(10 << 20))).await, "10 MiB");
        assert!(said.contains("too large") && said.contains("limit is"), "{said}");
        ns.create(&task("small")).await;
        ns.task_in("small", State::Completed).await;
    })
    .await;
}

#[tokio::test]
async fn a_payload_of_two_hundred_kibibytes_fails_its_task_with_the_limit_in_words() {
    in_namespace("two-hundred", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        ns.create_raw(manifest("Task", "large", payload(200 << 10))).await.expect("the API server takes it");
        ns.create(&task("small")).await;
        let failed = status(&ns.task_in("large", State::Failed).await);
        let message = failed.message.unwrap_or_default();
        assert_eq!(failed.reason, Reason::PayloadTooLarge);
        assert!(message.contains("has 204811 bytes as compact JSON; type work allows 32768"), "{message}");
        ns.task_in("small", State::Completed).await;
        assert_eq!(node.starts_of("large"), 0);
    })
    .await;
}

#[tokio::test]
async fn a_name_may_be_as_long_as_kubernetes_lets_it_be() {
    in_namespace("long-name", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        let long = ["a"; 127].join(".");
        assert_eq!(long.len(), 253);
        ns.create(&task(&long)).await;
        let second = format!("{}b", &long[..252]);
        ns.create(&task(&second)).await;
        ns.task_in(&long, State::Completed).await;
        ns.task_in(&second, State::Completed).await;
        let jobs = ns.jobs_now().await;
        assert!(jobs.iter().all(|job| job.name_any().len() <= 63));
        assert_eq!((node.starts_of(&long), node.starts_of(&second), jobs.len()), (1, 1, 2), "their names do not meet");
    })
    .await;
}

#[tokio::test]
async fn what_a_task_says_is_no_reference_to_the_pods_environment() {
    in_namespace("dollars", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::Hold]);
        ns.create(&task("one").with(|spec| spec.kb_id = Some("$(SECRET) ünïcødé 🦀".into()))).await;
        started(&node, "one", 1).await;
        let pod = ns.pods_now().await.remove(0);
        let container = pod.spec.expect("a spec").containers.remove(0);
        let variables = container.env.unwrap_or_default();
        let kb_id = variables.iter().find(|variable| variable.name == "TASK_KB_ID").expect("TASK_KB_ID");
        assert_eq!(kb_id.value.as_deref(), Some("$$(SECRET) ünïcødé 🦀"), "the kubelet makes one $ of two");
    })
    .await;
}

#[tokio::test]
async fn a_template_that_sets_what_is_ours_is_told_on_its_type_and_its_tasks_wait() {
    in_namespace("ours", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        let with = |field: &str, value: Value| {
            let mut template = task_type("x").spec.template;
            template["spec"][field] = value;
            json!({ "template": template })
        };
        let containers = json!([{"name": "work", "image": "busybox", "env": [{"name": "TASK_ID", "value": "mine"}]}]);
        for (name, spec, words) in [
            ("deadline", with("activeDeadlineSeconds", json!(5)), "activeDeadlineSeconds"),
            ("variable", with("containers", containers), "TASK_ID"),
            ("no-pod", with("containers", json!("none")), "containers"),
        ] {
            ns.create_raw(manifest("TaskType", name, spec)).await.expect("the API server takes any template");
            ns.create(&task(name).with(|spec| spec.type_ = name.into())).await;
            let waits = ns.task_when(name, "says why", |_, status| status.reason == Reason::TypeNotReady).await;
            let message = status(&waits).message.unwrap_or_default();
            assert!(message.contains(words) && message.contains(name), "{message}");
        }
        ns.create(&task("one")).await;
        ns.task_in("one", State::Completed).await;
        assert_eq!(node.starts().len(), 1);
        let repaired = Patch::Merge(json!({"spec": task_type("x").spec}));
        ns.types().patch("no-pod", &PatchParams::default(), &repaired).await.expect("repaired");
        ns.task_in("no-pod", State::Completed).await;
    })
    .await;
}

#[tokio::test]
async fn a_type_that_is_deleted_while_its_tasks_run_and_wait_loses_none_of_them() {
    in_namespace("type-deleted", async |ns| {
        ns.create(&task_queue("default", 1)).await;
        let (node, _operator) = set(&ns, &[]).await;
        node.script("runs", [Outcome::Hold]);
        ns.create(&task("runs")).await;
        started(&node, "runs", 1).await;
        ns.create(&task("waits")).await;
        ns.types().delete("work", &DeleteParams::default()).await.expect("deleted");
        ns.task_when("waits", "names what is missing", |_, status| status.reason == Reason::TypeMissing).await;
        node.end("runs", Outcome::result("done"));
        let done = status(&ns.task_in("runs", State::Completed).await);
        assert_eq!((done.attempt, done.result), (1, Some(json!("done"))));
        ns.create(&task_type("work")).await;
        ns.task_in("waits", State::Completed).await;
    })
    .await;
}
