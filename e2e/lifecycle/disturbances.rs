//! Disturbances of running work by people and the cluster: the work is retried, and no failure is counted.

use std::time::Duration;

use harness::{Namespace, With, eventually, http_get, stays, task_queue};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace as KubeNamespace, Node, Pod};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::api::{DeleteParams, EvictParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use task_manager::api::{AttemptOutcome, Reason, State, Task};

use e2e::world::{
    A_TASK, WAITS, World, never_again, on_a_node, on_a_node_over_each_executor, pods_can_be_made, retry, shell,
};

/// The first attempt waits to be disturbed.
const FIRST_WAITS: &str = "[ $TASK_ATTEMPT -gt 1 ] || sleep 300";

/// Starts a task without retries, disturbs its first pod, and sees that it is tried again and not counted.
async fn is_tried_again(world: &mut World, reason: Reason, disturb: impl AsyncFnOnce(&Namespace, &Pod)) {
    let task = world.script_with("task", FIRST_WAITS, never_again).await;
    let pod = world.runs(&task).await;
    disturb(&world.namespace, &pod).await;
    let status = world.completes(&task).await;
    assert_eq!((status.attempt, status.failures, status.disruptions), (2, 0, 1), "{:?}", status.attempts);
    let first = &status.attempts[0];
    assert_eq!((first.outcome, first.reason), (AttemptOutcome::Disrupted, reason), "{:?}", first.message);
    assert_eq!(world.pods_of(&task).len(), 2);
    world.assert_one_pod_at_a_time();
    assert_eq!(world.namespace.launched_now().await.len(), 1);
}

#[tokio::test]
async fn a_pod_deleted_by_hand_is_tried_again_and_not_counted() {
    on_a_node_over_each_executor("pod-deleted", async |world| {
        is_tried_again(world, Reason::PodDeleted, async |namespace, pod| {
            namespace.pods().delete(&pod.name_any(), &DeleteParams::default()).await.expect("it is deleted");
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_pod_deleted_without_grace_is_tried_again_and_not_counted() {
    on_a_node("pod-forced", async |world| {
        is_tried_again(world, Reason::PodDeleted, async |namespace, pod| {
            let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
            namespace.pods().delete(&pod.name_any(), &at_once).await.expect("it is deleted");
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_job_deleted_by_hand_is_tried_again_and_not_counted() {
    on_a_node("job-deleted", async |world| {
        is_tried_again(world, Reason::JobDeleted, async |namespace, pod| {
            let job = &pod.labels()["batch.kubernetes.io/job-name"];
            namespace.api::<Job>().delete(job, &DeleteParams::background()).await.expect("it is deleted");
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn an_evicted_pod_is_tried_again_and_not_counted() {
    on_a_node_over_each_executor("evicted", async |world| {
        is_tried_again(world, Reason::Evicted, async |namespace, pod| {
            namespace.pods().evict(&pod.name_any(), &EvictParams::default()).await.expect("it is evicted");
        })
        .await;
    })
    .await;
}

/// Something that the node has one of, and that nothing but these tasks asks for.
const SEAT: &str = "e2e.taskmanager.dev/seat";

#[tokio::test]
async fn a_pod_that_makes_room_for_a_more_important_one_is_tried_again_and_not_counted() {
    on_a_node("preempted", async |world| {
        the_node_has_a_seat(world).await;
        let victim = seated(world, "victim", FIRST_WAITS, -20).await;
        world.runs(&victim).await;
        let urgent = seated(world, "urgent", WAITS, -10).await;
        let pod = world.runs(&urgent).await;
        world.until(&victim, "waits for the seat", |status| status.reason == Reason::Unschedulable).await;
        world.let_go(&pod).await;

        assert_eq!(world.completes(&urgent).await.attempt, 1);
        let status = world.completes(&victim).await;
        assert_eq!((status.attempt, status.failures, status.disruptions), (2, 0, 1), "{:?}", status.attempts);
        let first = &status.attempts[0];
        assert_eq!(
            (first.outcome, first.reason),
            (AttemptOutcome::Disrupted, Reason::Preempted),
            "{:?}",
            first.message
        );
        world.assert_one_pod_at_a_time();
    })
    .await;
}

async fn the_node_has_a_seat(world: &World) {
    let nodes = Api::<Node>::all(world.namespace.client.clone());
    let node = nodes.list(&ListParams::default()).await.expect("nodes").items.remove(0).name_any();
    let seats = json!({SEAT: "1"});
    let patch = Patch::Merge(json!({"status": {"capacity": seats, "allocatable": seats}}));
    nodes.patch_status(&node, &PatchParams::default(), &patch).await.expect("the node has a seat");
}

/// A task that needs the seat, and whose pods push nobody aside but one another.
async fn seated(world: &World, name: &str, script: &str, priority: i32) -> Task {
    let class = format!("e2e-{name}");
    let classes = Api::<PriorityClass>::all(world.namespace.client.clone());
    let manifest = json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": class}, "value": priority,
    });
    classes.patch(&class, &PatchParams::apply("e2e"), &Patch::Apply(manifest)).await.expect("a class");
    world
        .script_with(name, script, |kind| {
            let pod = &mut kind.template["spec"];
            pod["priorityClassName"] = class.into();
            let seat = json!({SEAT: "1"});
            pod["containers"][0]["resources"] = json!({"requests": seat, "limits": seat});
        })
        .await
}

#[tokio::test]
async fn work_that_ends_well_while_it_is_evicted_is_not_run_again() {
    on_a_node("evicted-well", async |world| {
        let script = r#"trap 'echo saved > "$TASK_RESULT_FILE"; exit 0' TERM; echo up; sleep 300 & wait"#;
        let task = world.script("task", script).await;
        let pod = world.is_up(&task).await;
        world.namespace.pods().evict(&pod.name_any(), &EvictParams::default()).await.expect("it is evicted");
        let status = world.completes(&task).await;
        assert_eq!((status.attempt, status.disruptions, status.result), (1, 0, Some(json!("saved"))));
        let message = status.message.expect("a message");
        assert!(
            message.starts_with("the work ended with 0 after the pod was evicted: EvictionByEvictionAPI"),
            "{message}"
        );
        world.nothing_changes(&[&task]).await;
    })
    .await;
}

#[tokio::test]
async fn disruptions_are_bounded_by_their_own_limit() {
    on_a_node("disruptions", async |world| {
        let task = world.script_with("task", "sleep 300", |kind| retry(kind).disruption_limit = Some(1)).await;
        for disruptions in 1..=2 {
            let pod = world.runs(&task).await;
            world.namespace.pods().delete(&pod.name_any(), &DeleteParams::default()).await.expect("it is deleted");
            world.until(&task, "noticed", |status| status.disruptions == disruptions).await;
        }
        let status = world.ends(&task, State::Failed).await;
        assert_eq!((status.reason, status.failures, status.disruptions), (Reason::PodDeleted, 0, 2));
        assert_eq!(world.pods_of(&task).len(), 2);
    })
    .await;
}

/// Takes its time to end, so that a namespace that is deleted stays for a while.
const LINGERS: &str = "trap 'sleep 15; exit 1' TERM; echo up; sleep 300 & wait";

#[tokio::test]
async fn a_namespace_deleted_while_tasks_run_and_wait_hurts_nobody_and_may_come_back() {
    on_a_node("space-deleted", async |world| {
        world.namespace.rights_in_all_namespaces().await;
        world.namespace.create(&task_queue("default", 2)).await;
        let fails = world.script_with("fails", "exit 1", |kind| {
            let retry = retry(kind);
            (retry.initial_seconds, retry.max_seconds) = (Some(10), Some(10));
        });
        let fails = fails.await;
        world.until(&fails, "waits for its retry", |status| status.failures > 0).await;
        let lingers = shell("work", LINGERS).with(|spec| {
            spec.template["spec"]["terminationGracePeriodSeconds"] = 60.into();
        });
        world.namespace.create(&lingers).await;
        for task in [world.task("one").await, world.task("two").await] {
            world.is_up(&task).await;
        }
        let queued = world.task("queued").await;
        // Somebody else's finalizers keep these two there, though they are deleted.
        for task in [&fails, &queued] {
            finalizers(world, task, &["e2e.taskmanager.dev/hold"]).await;
        }

        let spaces = Api::<KubeNamespace>::all(world.namespace.client.clone());
        spaces.delete(&world.namespace.name, &DeleteParams::background()).await.expect("it is deleted");
        let (deleted_at, pods) = (Timestamp::now(), world.all_pods().len());
        eventually("the pods that ran are gone", A_TASK, async || {
            world.namespace.pods_now().await.is_empty().then_some(())
        })
        .await;
        // The retry is due, and there is room for both.
        stays("the operator lives, and starts nothing", IN_A_WHILE, async || {
            world.namespace.pods_now().await.is_empty() && answers(world, "/healthz").await
        })
        .await;
        for task in [&fails, &queued] {
            let status = world.status(task).await;
            assert!(!status.state.is_final() && status.disruptions == 0, "{status:?}");
            finalizers(world, task, &[]).await;
        }
        eventually("the namespace is gone", A_TASK, async || {
            spaces.get_opt(&world.namespace.name).await.ok()?.is_none().then_some(())
        })
        .await;
        assert_eq!(world.all_pods().len(), pods, "in a namespace that goes nothing is started");
        complains_little(world, Timestamp::now().duration_since(deleted_at));

        let again = serde_json::from_value(json!({"metadata": {"name": world.namespace.name}})).expect("a namespace");
        spaces.create(&PostParams::default(), &again).await.expect("it is created again");
        pods_can_be_made(&world.namespace).await;
        world.namespace.create(&shell("work", "true")).await;
        let task: Task = world.task("one").await;
        assert_eq!(world.completes(&task).await.attempt, 1);
    })
    .await;
}

/// Longer than the pause before a retry.
const IN_A_WHILE: Duration = Duration::from_secs(15);

async fn finalizers(world: &World, task: &Task, finalizers: &[&str]) {
    let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    world.namespace.tasks().patch(&task.name_any(), &PatchParams::default(), &patch).await.expect("it is changed");
}

async fn answers(world: &World, path: &str) -> bool {
    http_get(world.operator.health, path).await.is_some_and(|(status, _)| status == 200)
}

/// It looks once a second at its lease, which went with the namespace, and says so; five watches begin anew after
/// longer and longer pauses. More would be a storm.
fn complains_little(world: &World, within: SignedDuration) {
    let log = world.operator.logged();
    let complaints = log.lines().filter(|line| line.contains(" WARN ") || line.contains("ERROR")).count() as i64;
    assert!(complaints <= 50 + 2 * within.as_secs(), "{complaints} complaints within {within:?}:\n{log}");
}
