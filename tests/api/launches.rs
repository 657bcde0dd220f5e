//! Launches that do not go as they should: refused, failed, or carried out though nobody answered.

use std::time::Duration;

use harness::faults::{Fault, Kind, Plan, Point, Wire, WiredOperator};
use harness::*;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use task_manager::api::{Executor, Reason, State, Task, TaskStatus};
use task_manager::core::launch::names::LABEL_TASK_UID;

use crate::stage::{set, started, status, told};

/// A launch is given back after a minute, and tried again half a minute later.
const PATIENCE: Duration = Duration::from_secs(150);
/// Longer than a launch that failed waits before it is tried again.
const LAG: Duration = Duration::from_secs(15);

fn read<K: DeserializeOwned>(manifest: Value) -> K {
    serde_json::from_value(manifest).expect("a manifest")
}

fn at(kind: Kind, label: &str, fault: Fault) -> Plan {
    Plan::At(Point { kind, label: label.into(), occurrence: 1 }, fault)
}

/// A webhook that must be asked about the Jobs of this namespace, and that nobody serves.
fn broken_webhook(ns: &Namespace) -> ValidatingWebhookConfiguration {
    read(json!({"metadata": {"name": ns.name}, "webhooks": [{
        "name": "broken.example.com", "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://127.0.0.1:1/"}, "timeoutSeconds": 1,
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns.name}},
        "rules": [{"apiGroups": ["batch"], "apiVersions": ["v1"], "resources": ["jobs"], "operations": ["CREATE"]}]}]}))
}

#[tokio::test]
async fn a_launch_that_a_broken_webhook_prevents_is_reported_uncounted_and_tried_again() {
    in_namespace("webhook", async |ns| {
        let webhooks = Api::<ValidatingWebhookConfiguration>::all(ns.client.clone());
        webhooks.create(&PostParams::default(), &broken_webhook(&ns)).await.expect("accepted");
        eventually("the API server asks it", SOON, async || {
            let tried = ns.jobs().create(&PostParams { dry_run: true, ..PostParams::default() }, &a_job()).await;
            tried.is_err().then_some(())
        })
        .await;
        let (node, _operator) = set(&ns, &["--default-queue-tasks", "1"]).await;
        ns.create(&task("one")).await;
        let tells = |_: &Task, status: &TaskStatus| status.reason == Reason::LaunchFailed;
        let waits = ns.task_within(PATIENCE, "one", "says that it cannot be launched", tells).await;
        assert_eq!(told(&waits), ("Processing".into(), Reason::LaunchFailed, 1));
        let message = status(&waits).message.unwrap_or_default();
        assert!(message.contains("broken.example.com") && !message.contains("Status {"), "{message}");
        assert!(status(&waits).conditions.iter().all(|condition| condition.reason == "LaunchFailed"));

        let is_given_back = |_: &Task, status: &TaskStatus| status.state == State::Queued;
        let back = ns.task_within(PATIENCE, "one", "has given its slot back", is_given_back).await;
        assert_eq!(told(&back), ("Queued".into(), Reason::LaunchFailed, 0));
        assert_eq!((status(&back).attempts.len(), status(&back).admitted), (0, None));

        webhooks.delete(&ns.name, &DeleteParams::default()).await.expect("deleted");
        let is_completed = |_: &Task, status: &TaskStatus| status.state == State::Completed;
        let done = status(&ns.task_within(PATIENCE, "one", "is Completed", is_completed).await);
        assert_eq!((done.attempt, done.failures + done.disruptions, node.starts_of("one")), (1, 0, 1));
    })
    .await;
}

fn a_job() -> k8s_openapi::api::batch::v1::Job {
    read(json!({"metadata": {"name": "tried"}, "spec": {"template": {"spec":
        {"restartPolicy": "Never", "containers": [{"name": "work", "image": "localhost/busybox:1"}]}}}}))
}

/// The resource of which each attempt makes one, and the name under which a quota counts it.
fn launched() -> (&'static str, &'static str) {
    match executor() {
        Executor::Job => ("jobs", "count/jobs.batch"),
        Executor::Pod | Executor::Pool => ("pods", "count/pods"),
    }
}

/// One launch at once. Nobody but us keeps its status here, which is what is admitted by.
async fn a_quota_of_one(ns: &Namespace) {
    let hard = json!({launched().1: "1"});
    let quota: ResourceQuota = read(json!({"metadata": {"name": "one"}, "spec": {"hard": hard}}));
    ns.create(&quota).await;
    let counted = Patch::Merge(json!({"status": {"hard": hard, "used": {launched().1: "0"}}}));
    let quotas = ns.api::<ResourceQuota>();
    quotas.patch_status("one", &PatchParams::default(), &counted).await.expect("a status");
}

#[tokio::test]
async fn a_launch_whose_answer_was_lost_keeps_its_slot_when_the_second_try_is_refused() {
    in_namespaces("quota", async |ns| {
        a_quota_of_one(&ns).await;
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        node.script("one", [Outcome::Hold]);
        let tasks = ns.record::<Task>().await;
        ns.create(&task("one")).await;
        // The watches do not show soon what was made either.
        let behind = Plan::Behind { resources: vec!["jobs", "pods"], lag: LAG };
        let wire = Wire::of([at(Kind::Write, &format!("POST {} one", launched().0), Fault::AnswerLost), behind]);
        let operator = WiredOperator::start(&ns, &wire, &[]);
        started(&node, "one", 1).await;
        let [tried, asked] = ["POST {} one", "GET {}/one"].map(|label| label.replace("{}", launched().0));
        eventually("it was tried again", PATIENCE, async || (wire.passed_of(&tried) == 2).then_some(())).await;
        eventually("it was asked for", PATIENCE, async || (wire.passed_of(&asked) == 1).then_some(())).await;
        node.end("one", Outcome::result("done"));
        let is_final = |_: &Task, status: &TaskStatus| status.state.is_final();
        let done = status(&ns.task_within(PATIENCE, "one", "is final", is_final).await);
        assert_eq!((done.state, done.attempt, node.starts_of("one")), (State::Completed, 1, 1));
        let gave_back = tasks.seen().iter().any(|seen| status(&seen.object).next_attempt_at.is_some());
        assert!(!gave_back, "{wire}");
        operator.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_task_cancelled_before_its_launch_is_answered_is_final_only_after_its_pod() {
    in_namespaces("cancel-launch", async |ns| {
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        node.script("one", [Outcome::Hold]);
        node.linger("one");
        ns.create(&task("one")).await;
        // The watches do not show soon what was made either.
        let behind = Plan::Behind { resources: vec!["jobs", "pods"], lag: LAG };
        let wire = Wire::of([at(Kind::Write, &format!("POST {} one", launched().0), Fault::AnswerLost), behind]);
        let operator = WiredOperator::start(&ns, &wire, &[]);
        started(&node, "one", 1).await;
        ns.patch_task("one", json!({"cancel": true})).await.expect("accepted");
        let is_heard = |_: &Task, status: &TaskStatus| status.reason == Reason::Stopping || status.state.is_final();
        let heard = ns.task_within(PATIENCE, "one", "says that it was heard", is_heard).await;
        assert_eq!(told(&heard), ("Processing".into(), Reason::Stopping, 1), "{wire}");
        node.let_go("one");
        let is_final = |_: &Task, status: &TaskStatus| status.state.is_final();
        let ended = status(&ns.task_within(PATIENCE, "one", "is final", is_final).await);
        assert_eq!((ended.state, ended.attempts.len(), node.starts_of("one")), (State::Cancelled, 1, 1));
        operator.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_first_launch_waits_until_it_is_known_which_priority_classes_there_are() {
    in_namespace("classes", async |ns| {
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        ns.create(&task("one")).await;
        let wire = Wire::new(at(Kind::Read, "LIST priorityclasses", Fault::NeverSent));
        let operator = WiredOperator::start(&ns, &wire, &[]);
        started(&node, "one", 1).await;
        let passed = wire.passed();
        let when = |label: &str| passed.iter().find(|passed| passed.point.label == label).map(|passed| passed.at);
        let (asked, launched) =
            (when("LIST priorityclasses").expect("asked"), when("POST jobs one").expect("launched"));
        assert!(launched - asked > Duration::from_secs(9), "{wire}");
        operator.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_deleted_task_kept_by_a_finalizer_ends_its_work_and_holds_its_slot_until_that_has_ended() {
    in_namespaces("finalizer", async |ns| {
        let (node, _operator) = set(&ns, &["--default-queue-tasks", "1"]).await;
        node.script("kept", [Outcome::Hold]);
        node.linger("kept");
        let mut kept = task("kept");
        kept.metadata.finalizers = Some(vec!["example.com/backup".into()]);
        ns.create(&kept).await;
        started(&node, "kept", 1).await;
        ns.tasks().delete("kept", &DeleteParams::default()).await.expect("deleted");
        ns.create(&task("waits")).await;
        let is_ended = async || {
            let pods = ns.pods_now().await;
            pods.iter().all(|pod| pod.metadata.deletion_timestamp.is_some()).then_some(())
        };
        eventually("its pod is deleted", SOON, is_ended).await;
        stays("its pod holds the slot", A_MOMENT, async || node.starts_of("waits") == 0).await;
        assert!(ns.task("kept").await.metadata.deletion_timestamp.is_some(), "it is still there");
        node.let_go("kept");
        ns.task_in("waits", State::Completed).await;
        assert_eq!(node.starts_of("kept"), 1, "it is never launched again");
        let released = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        ns.tasks().patch("kept", &PatchParams::default(), &released).await.expect("released");
    })
    .await;
}

#[tokio::test]
async fn a_pod_that_somebody_took_our_label_from_runs_on_and_gets_it_back() {
    in_namespaces("unlabelled", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::Hold]);
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        let pod = ns.pods_now().await.pop().expect("a pod").name_any();
        let unlabelled = Patch::Merge(json!({"metadata": {"labels": {LABEL_TASK_UID: null}}}));
        ns.pods().patch(&pod, &PatchParams::default(), &unlabelled).await.expect("accepted");
        eventually("it has the label again", SOON, async || {
            let pod = ns.pods().get(&pod).await.ok()?;
            pod.labels().contains_key(LABEL_TASK_UID).then_some(())
        })
        .await;
        node.end("one", Outcome::succeed());
        let done = status(&ns.task_in("one", State::Completed).await);
        assert_eq!((done.attempt, done.disruptions, node.starts_of("one")), (1, 0, 1));
    })
    .await;
}
