//! A task that a later version of the operator admitted to an executor which this one does not know: versions roll back.

use std::time::Duration;

use harness::*;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use task_manager::api::State;

use crate::stage::{seen_waiting, status, version};

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
