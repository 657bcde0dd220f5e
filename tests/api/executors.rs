//! Types that change their executor, what refuses bare pods, and a task that a later version of the operator admitted to an
//! executor which this one does not know: versions roll back.

use std::time::Duration;

use harness::*;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace as KubeNamespace, ResourceQuota};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use task_manager::api::{Executor, Reason, State, Task, TaskStatus};

use crate::stage::{a_checked_type, seen_waiting, set, started, status, version};

/// A slot that was given back is given again after half a minute, at the earliest.
const GIVEN_AGAIN: Duration = Duration::from_secs(150);

/// Longer than any look that a decision asks for by itself, in the cases here.
const A_WHILE: Duration = Duration::from_secs(15);

async fn write(ns: &Namespace, name: &str, status: Value) {
    let patch = Patch::Merge(json!({"status": status}));
    ns.tasks().patch_status(name, &PatchParams::default(), &patch).await.expect("a status");
}

/// As it looks while a warm worker runs its first attempt.
fn run_by_a_pool() -> Value {
    json!({"observedGeneration": 1, "state": "Processing", "reason": "Running", "runId": "1", "arrival": "7", "attempt": 1,
        "queuedAt": "2026-01-01T00:00:00.000000Z", "admittedAt": "2026-01-01T00:00:00.000000Z",
        "startedAt": "2026-01-01T00:00:00.000000Z", "worker": "pool-x",
        "admitted": {"queue": "default", "type": "work", "executor": "Pool"}})
}

#[tokio::test]
async fn a_task_of_an_unknown_executor_is_left_alone_and_keeps_its_slot_until_it_is_over() {
    in_namespace("executor", async |ns| {
        ns.create(&task_type("work")).await;
        ns.create(&task("warm").with(|spec| spec.deadline_seconds = Some(5))).await;
        write(&ns, "warm", run_by_a_pool()).await;
        let node = ns.fake_node();
        let operator = ns.operator(&["--default-queue-tasks", "1"]).await;
        ns.create(&task("waits")).await;
        ns.patch_task("warm", json!({"cancel": true})).await.expect("accepted");
        seen_waiting(&operator, 1).await;
        let before = ns.task("warm").await;
        stays("it is left alone, and holds its slot", A_WHILE, async || {
            let is_untouched = version(&ns.task("warm").await.metadata) == version(&before.metadata);
            is_untouched && node.starts_of("waits") == 0 && ns.jobs_now().await.is_empty()
        })
        .await;
        assert_eq!(status(&before).admitted.and_then(|slot| slot.executor).as_deref(), Some("Pool"));
        // Its own version is back, and ends it.
        write(&ns, "warm", json!({"state": "Cancelled", "reason": "Cancelled", "admitted": null})).await;
        ns.task_in("waits", State::Completed).await;
        assert_eq!(node.starts_of("warm"), 0);
    })
    .await;
}

async fn becomes(ns: &Namespace, executor: Executor) {
    let change = Patch::Merge(json!({"spec": {"executor": executor}}));
    ns.types().patch("work", &PatchParams::default(), &change).await.expect("accepted");
}

/// How many Jobs and how many pods there are.
async fn there(ns: &Namespace) -> (usize, usize) {
    (ns.jobs_now().await.len(), ns.pods_now().await.len())
}

#[tokio::test]
async fn the_next_attempt_is_run_by_the_executor_that_its_type_names_by_then() {
    in_namespace("changes", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::Hold, Outcome::Hold, Outcome::succeed()]);
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        becomes(&ns, Executor::Pod).await;
        stays("the present one goes on", A_MOMENT, async || there(&ns).await == (1, 1)).await;
        node.end("one", Outcome::exit(1));
        started(&node, "one", 2).await;
        let admitted = status(&ns.task_in("one", State::Processing).await).admitted.expect("a slot");
        assert_eq!(admitted.executor.as_deref(), Some("Pod"));
        eventually("of the first attempt nothing is left", SOON, async || (there(&ns).await == (0, 1)).then_some(()))
            .await;
        becomes(&ns, Executor::Job).await;
        node.end("one", Outcome::exit(1));
        let done = status(&ns.task_in("one", State::Completed).await);
        assert_eq!((done.attempt, done.failures, done.disruptions), (3, 2, 0));
        eventually("only the last Job is kept", SOON, async || (there(&ns).await == (1, 1)).then_some(())).await;
    })
    .await;
}

#[tokio::test]
async fn a_slot_of_another_executor_than_the_types_is_given_anew_before_anything_is_launched() {
    in_namespace("between", async |ns| {
        let jobs = ns.record::<Job>().await;
        over(Executor::Pod, async { ns.create(&task_type("work")).await }).await;
        let one = ns.create(&task("one")).await;
        let slot = json!({"queue": "default", "type": "work", "resources": {"cpu": "10m", "memory": "32Mi"}});
        write(
            &ns,
            "one",
            json!({"observedGeneration": 1, "runId": "1", "state": "Processing", "reason": "Admitted",
            "arrival": version(&one.metadata), "attempt": 1, "queuedAt": "2026-01-01T00:00:00Z",
            "admittedAt": "2026-01-01T00:00:00Z", "admitted": slot}),
        )
        .await;
        let tasks = ns.record::<Task>().await;
        let node = ns.fake_node();
        let _operator = ns.operator(&[]).await;
        let done = status(&ns.task_in("one", State::Completed).await);
        assert_eq!((done.attempt, node.starts_of("one"), jobs.count()), (1, 1, 0));
        let is_told = |task: &Task| status(task).reason == Reason::SpecChanged;
        assert!(tasks.seen().iter().any(|seen| is_told(&seen.object)), "it is told why");
    })
    .await;
}

/// Back in the queue with nothing counted, for this reason.
fn was_refused(reason: Reason) -> impl Fn(&Task, &TaskStatus) -> bool {
    move |_, status| {
        let counted = (status.attempt, status.failures + status.disruptions, status.attempts.len());
        (status.state, status.reason, counted) == (State::Queued, reason, (0, 0, 0)) && status.admitted.is_none()
    }
}

#[tokio::test]
async fn a_bare_pod_that_a_quota_refuses_gives_its_slot_back_uncounted_and_is_tried_again() {
    over(
        Executor::Pod,
        in_namespace("pod-quota", async |ns| {
            let (node, _operator) = set(&ns, &["--default-queue-tasks", "1"]).await;
            a_checked_type(&ns).await;
            let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"},
            "spec": {"hard": {"pods": "0"}}});
            ns.create_raw(quota).await.expect("accepted");
            let holds = async |pods: &str| {
                let hard = Patch::Merge(json!({"status": {"hard": {"pods": pods}, "used": {"pods": "0"}}}));
                ns.api::<ResourceQuota>().patch_status("none", &PatchParams::default(), &hard).await.expect("counted");
            };
            holds("0").await;
            ns.create(&task("one")).await;
            let refused = ns.task_when("one", "says so", was_refused(Reason::QuotaExceeded)).await;
            let message = status(&refused).message.unwrap_or_default();
            assert!(message.contains("exceeded quota: none"), "{message}");
            holds("9").await;
            ns.task_within(GIVEN_AGAIN, "one", "completes", |_, status| status.state == State::Completed).await;
            assert_eq!(node.starts_of("one"), 1);
        }),
    )
    .await;
}

#[tokio::test]
async fn a_bare_pod_that_pod_security_refuses_by_then_gives_its_slot_back_and_says_so() {
    over(
        Executor::Pod,
        in_namespace("pod-refused", async |ns| {
            let (node, _operator) = set(&ns, &[]).await;
            a_checked_type(&ns).await;
            let spaces = Api::<KubeNamespace>::all(ns.client.clone());
            let enforces = async |level: &str| {
                let label =
                    Patch::Merge(json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": level}}}));
                spaces.patch(&ns.name, &PatchParams::default(), &label).await.expect("a label");
            };
            enforces("restricted").await;
            ns.create(&task("one")).await;
            let refused = ns.task_when("one", "says so", was_refused(Reason::LaunchRefused)).await;
            let message = status(&refused).message.unwrap_or_default();
            assert!(message.contains("violates PodSecurity"), "{message}");
            enforces("privileged").await;
            ns.task_within(GIVEN_AGAIN, "one", "completes", |_, status| status.state == State::Completed).await;
            assert_eq!((node.starts_of("one"), ns.jobs_now().await.len()), (1, 0));
        }),
    )
    .await;
}
