//! Quotas that count Jobs and pods, finished ones among them, and quotas that want a limit named.

use std::time::Duration;

use harness::eventually;
use k8s_openapi::api::core::v1::ResourceQuota;
use serde_json::json;
use task_manager::api::{Reason, State, Task};

use e2e::told::says_within;
use e2e::world::{A_CHANGE, World, never_again, on_a_node, on_a_node_over_each_executor};

/// For four tasks of which two fit: each refusal is slept over.
const ALL_FOUR: Duration = Duration::from_secs(130);

async fn quota(world: &World, resource: &str, hard: &str) {
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "quota"}, "spec": {"hard": {resource: hard}},
    });
    world.namespace.apply(quota).await.expect("the quota is accepted");
    eventually("the quota holds", A_CHANGE, async || {
        let status = world.namespace.api::<ResourceQuota>().get("quota").await.ok()?.status?;
        (status.hard?.get(resource)?.0 == hard && status.used?.contains_key(resource)).then_some(())
    })
    .await;
}

/// Four tasks of a moment each end where there is room for the objects of two.
async fn all_four_complete(world: &World) {
    world.work("true").await;
    let mut tasks: Vec<Task> = vec![];
    for name in ["one", "two", "three", "four"] {
        tasks.push(world.task(name).await);
    }
    eventually("all four tasks are Completed", ALL_FOUR, async || {
        for task in &tasks {
            let status = world.status(task).await;
            assert!(!status.state.is_final() || status.state == State::Completed, "{:?}", status.message);
            if status.state != State::Completed {
                return None;
            }
        }
        Some(())
    })
    .await;
    for task in &tasks {
        let status = world.status(task).await;
        assert_eq!((status.failures, status.disruptions), (0, 0), "{:?}", status.attempts);
        assert_eq!(status.archived, Some(true), "what has gone to make room is in the archive");
    }
}

#[tokio::test]
async fn finished_jobs_make_room_where_a_quota_counts_jobs() {
    on_a_node("quota-jobs", async |world| {
        quota(world, "count/jobs.batch", "2").await;
        all_four_complete(world).await;
    })
    .await;
}

#[tokio::test]
async fn finished_pods_make_room_where_a_quota_counts_pods() {
    on_a_node_over_each_executor("quota-pods", async |world| {
        quota(world, "count/pods", "2").await;
        all_four_complete(world).await;
    })
    .await;
}

#[tokio::test]
async fn a_quota_that_wants_a_limit_named_is_told_with_the_limit_that_it_wants() {
    on_a_node("failed-quota", async |world| {
        quota(world, "limits.cpu", "1").await;
        let task = world.script_with("task", "true", never_again).await;
        let told = says_within(world, &task, A_CHANGE, &["QuotaExceeded", "must specify limits.cpu"]).await;
        assert_eq!(told.reason, Reason::QuotaExceeded);
        let resources =
            json!({"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"cpu": "100m", "memory": "32Mi"}});
        world.change_type("task", json!({"defaults": {"resources": resources}})).await;
        let status = world.completes(&task).await;
        assert_eq!((status.failures, status.disruptions), (0, 0));
    })
    .await;
}
