//! Containers that never start: no image, no configuration, no room, no quota.

use harness::{eventually, task_queue};
use k8s_openapi::api::core::v1::ResourceQuota;
use serde_json::{Value, json};
use task_manager::api::{Reason, State, Task, TaskTypeSpec};

use e2e::world::{A_CHANGE, World, is_live, never_again, on_a_node, retry};

/// Waits until the task says that its container does not start for this reason, however long its node takes to
/// find out; then its time to start is over.
async fn is_out_of_time(world: &World, task: &Task, reason: Reason) {
    world.until(task, &format!("says {reason}"), |status| status.reason == reason).await;
    world.change_type(&task.spec.type_, json!({"startDeadlineSeconds": 1})).await;
}

/// A start that fails is tried again, for another try may help; tasks of this type are given one.
fn one_start(task_type: &mut TaskTypeSpec) {
    never_again(task_type);
    retry(task_type).disruption_limit = Some(0);
}

/// Failed after one attempt, for this reason.
async fn fails_for_good(world: &World, task: &Task, reason: Reason) -> String {
    let status = world.ends(task, State::Failed).await;
    assert_eq!((status.reason, status.attempt, status.attempts.len()), (reason, 1, 1), "{:?}", status.message);
    assert_eq!((status.attempts[0].reason, status.attempts[0].exit_code), (reason, None));
    world.nothing_changes(&[task]).await;
    assert_eq!(world.pods_of(task).len(), 1);
    status.message.expect("a message")
}

#[tokio::test]
async fn an_image_that_cannot_be_had_fails_a_start_after_its_deadline() {
    on_a_node("no-image", async |world| {
        let never = world.script_with("never", "true", |kind| {
            one_start(kind);
            kind.template["spec"]["containers"][0]["image"] = "localhost/nobody/made-this:7".into();
        });
        let never = never.await;
        let pulled = world.script_with("pulled", "true", |kind| {
            one_start(kind);
            kind.template["spec"]["containers"][0]["image"] = "localhost/nobody/made-this:7".into();
            kind.template["spec"]["containers"][0]["imagePullPolicy"] = "Always".into();
        });
        let pulled = pulled.await;
        for task in [&never, &pulled] {
            is_out_of_time(world, task, Reason::ImageUnavailable).await;
            let message = fails_for_good(world, task, Reason::ImageUnavailable).await;
            assert!(message.contains("localhost/nobody/made-this:7"), "{message}");
        }
        world.nothing_runs().await;
    })
    .await;
}

#[tokio::test]
async fn work_that_starts_just_at_its_start_deadline_is_not_taken_for_a_deletion() {
    on_a_node("just-late", async |world| {
        let mut tasks = vec![];
        for number in 0..6 {
            let just_late = |kind: &mut TaskTypeSpec| {
                kind.start_deadline_seconds = Some(1);
                kind.template["spec"]["terminationGracePeriodSeconds"] = 2.into();
                one_start(kind);
            };
            tasks.push(world.script_with(&format!("late-{number}"), "sleep 1; exit 5", just_late).await);
        }
        for task in &tasks {
            let status = world.ends(task, State::Failed).await;
            let expected = match status.reason {
                Reason::StartTimeout => (0, 1, 1),
                Reason::ExitCode => (1, 0, 1),
                other => panic!("{other}: {:?}", status.attempts),
            };
            assert_eq!((status.failures, status.disruptions, status.attempt), expected, "{:?}", status.attempts);
        }
    })
    .await;
}

#[tokio::test]
async fn a_missing_config_map_fails_a_start_after_its_deadline() {
    on_a_node("no-config", async |world| {
        let variables = world.script_with("variables", "true", |kind| {
            one_start(kind);
            kind.template["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "missing-map"}}]);
        });
        let variables = variables.await;
        is_out_of_time(world, &variables, Reason::ContainerConfig).await;
        let message = fails_for_good(world, &variables, Reason::ContainerConfig).await;
        assert!(message.contains("missing-map"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn a_missing_volume_fails_a_start_after_its_deadline_and_is_named() {
    on_a_node("no-volume", async |world| {
        let volume = world.script_with("volume", "true", |kind| {
            one_start(kind);
            kind.start_deadline_seconds = Some(5);
            kind.template["spec"]["volumes"] = json!([{"name": "map", "configMap": {"name": "missing-map"}}]);
            kind.template["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "map", "mountPath": "/map"}]);
        });
        let volume = volume.await;
        let message = fails_for_good(world, &volume, Reason::ContainerConfig).await;
        assert!(message.contains("missing-map"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn a_command_that_does_not_exist_fails_for_good_at_once() {
    on_a_node("no-command", async |world| {
        let work = world.script_with("work", "true", |kind| {
            kind.template["spec"]["containers"][0]["command"] = json!(["/no/such/program"]);
        });
        let work = work.await;
        let init = world.script_with("init", "true", |kind| {
            kind.template["spec"]["initContainers"] = json!([
                {"name": "fetch", "image": "localhost/busybox:1", "imagePullPolicy": "Never", "command": ["/no/such/program"]},
            ]);
        });
        let init = init.await;
        for task in [&work, &init] {
            let message = fails_for_good(world, task, Reason::ContainerConfig).await;
            assert!(message.contains("/no/such/program"), "{message}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_task_that_no_node_has_room_for_gives_its_slot_back_and_waits() {
    on_a_node("no-room", async |world| {
        world.namespace.create(&task_queue("default", 1)).await;
        let huge = world.script_with("huge", "true", |kind| {
            never_again(kind);
            kind.template["spec"]["containers"][0]["resources"] = json!({});
            kind.defaults.resources = serde_json::from_value(json!({"requests": {"cpu": "1000"}})).expect("resources");
        });
        let huge = huge.await;
        world.until(&huge, "has the slot", |status| status.state == State::Processing).await;
        let small = world.script("small", "true").await;
        is_out_of_time(world, &huge, Reason::Unschedulable).await;

        let status = world.until(&huge, "gave its slot back", |status| status.state == State::Queued).await;
        assert_eq!((status.reason, status.failures, status.disruptions), (Reason::Unschedulable, 0, 0));
        assert!(
            status.admitted.is_none() && status.message.is_some_and(|message| message.contains("Insufficient cpu"))
        );
        world.completes(&small).await;
        assert!(world.pods_of(&huge).iter().all(|seen| seen.deleted || !is_live(&seen.object)), "its pod is gone");
        assert_eq!(world.most_pods_at_once(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_task_that_the_quota_refuses_gives_back_its_slot_and_runs_once_there_is_room() {
    on_a_node("quota", async |world| {
        world.namespace.create(&task_queue("default", 1)).await;
        bound_cpu(world, "50m").await;
        let large = world.script_with("large", "true", |kind| {
            never_again(kind);
            kind.defaults.resources = serde_json::from_value(requests("100m")).expect("resources");
        });
        let large = large.await;
        let told =
            world.until(&large, "says that the quota refuses it", |status| status.reason == Reason::QuotaExceeded);
        let told = told.await;
        assert_eq!(told.state, State::Processing, "a Job without a pod is looked into, and holds its slot");
        assert!(told.message.is_some_and(|message| message.contains("exceeded quota: cpu")));
        let small = world.script("small", "true").await;

        let status = world.until(&large, "gave its slot back", |status| status.state == State::Queued).await;
        assert_eq!((status.reason, status.failures, status.disruptions), (Reason::QuotaExceeded, 0, 0));
        assert!(status.admitted.is_none() && status.attempts.is_empty() && status.next_attempt_at.is_some());
        world.completes(&small).await;
        assert!(world.pods_of(&large).is_empty());

        bound_cpu(world, "1").await;
        let status = world.completes(&large).await;
        assert_eq!((status.failures, status.disruptions, status.attempts.len()), (0, 0, 1));
        assert_eq!(world.pods_of(&large).len(), 1);
        assert_eq!(world.most_pods_at_once(), 1);
    })
    .await;
}

fn requests(cpu: &str) -> Value {
    json!({"requests": {"cpu": cpu, "memory": "8Mi"}, "limits": {"memory": "32Mi"}})
}

/// Bounds what the pods of the namespace may request together, and waits until that holds.
async fn bound_cpu(world: &World, cpu: &str) {
    let quotas = world.namespace.api::<ResourceQuota>();
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "cpu"}, "spec": {"hard": {"requests.cpu": cpu}},
    });
    world.namespace.apply(quota).await.expect("the quota is accepted");
    eventually(&format!("the quota of {cpu} holds"), A_CHANGE, async || {
        let hard = quotas.get("cpu").await.ok()?.status?.hard?;
        hard.get("requests.cpu").is_some_and(|quantity| quantity.0 == cpu).then_some(())
    })
    .await;
}
