//! More disk than an attempt may use: the kubelet ends its pod, and that is the work's own failure.

use e2e::world::{World, on_a_node, retry};
use task_manager::api::{AttemptOutcome, Reason, Task, TaskTypeSpec};

/// Writes 32 MiB to `path` in its first attempt, and goes on until it is ended.
fn fills(path: &str) -> String {
    format!("[ $TASK_ATTEMPT = 1 ] || exit 0; dd if=/dev/zero of={path} bs=1M count=32; sleep 300")
}

async fn task(world: &World, name: &str, script: &str, change: impl FnOnce(&mut TaskTypeSpec)) -> Task {
    world
        .script_with(name, script, |kind| {
            retry(kind).limit = Some(1);
            change(kind);
        })
        .await
}

/// Its first attempt was ended for its use of disk and counted, and the next one completed.
async fn was_limited(world: &World, task: &Task) {
    let status = world.completes(task).await;
    assert_eq!((status.attempt, status.failures, status.disruptions), (2, 1, 0), "{:?}", status.attempts);
    let first = &status.attempts[0];
    assert_eq!((first.outcome, first.reason), (AttemptOutcome::Failed, Reason::DiskLimit), "{:?}", first.message);
    assert_eq!(world.pods_of(task).len(), 2);
    world.assert_one_pod_at_a_time();
}

#[tokio::test]
async fn a_volume_that_grows_beyond_its_size_limit_is_a_failure() {
    on_a_node("disk-volume", async |world| {
        let task = task(world, "task", &fills("/fill/file"), |kind| {
            kind.template["spec"]["volumes"] = serde_json::json!([{"name": "fill", "emptyDir": {"sizeLimit": "4Mi"}}]);
            kind.template["spec"]["containers"][0]["volumeMounts"] =
                serde_json::json!([{"name": "fill", "mountPath": "/fill"}]);
        })
        .await;
        was_limited(world, &task).await;
    })
    .await;
}

#[tokio::test]
async fn a_container_that_writes_more_than_its_ephemeral_storage_is_a_failure() {
    on_a_node("disk-container", async |world| {
        let task = task(world, "task", &fills("/tmp/file"), |kind| {
            kind.template["spec"]["containers"][0]["resources"] =
                serde_json::json!({"requests": {"ephemeral-storage": "4Mi"}, "limits": {"ephemeral-storage": "4Mi"}});
        })
        .await;
        was_limited(world, &task).await;
    })
    .await;
}
