//! What dry runs tell, and what follows where they tell nothing or too little.

use harness::*;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use task_manager::api::{State, Task, TaskType};

use crate::stage::{manifest, started, status};
use crate::templates::{kind, limit_range, quota, read, ready};

/// Admits a task in the name of a leader that knew of 100m of cpu that the template does not name.
async fn admit(ns: &Namespace, name: &str) {
    let task = ns.create(&task(name)).await;
    let status = json!({"observedGeneration": task.metadata.generation, "runId": "1", "state": "Processing", "reason": "Admitted",
        "priority": "normal", "arrival": task.metadata.resource_version, "attempt": 1, "queuedAt": "2026-01-01T00:00:00Z",
        "admittedAt": "2026-01-01T00:00:00Z",
        "admitted": {"queue": "default", "type": "work", "resources": {"cpu": "100m", "memory": "128Mi"}}});
    let change = Patch::Merge(json!({ "status": status }));
    ns.tasks().patch_status(name, &PatchParams::default(), &change).await.expect("a status");
}

#[tokio::test]
async fn a_new_leader_whose_dry_run_is_refused_launches_what_was_admitted_before() {
    in_namespace("refused-dry-run", async |ns| {
        ns.apply(kind(json!({}), json!({}), json!({}))).await.expect("accepted");
        let queue = json!({"capacity": {"resources": {"cpu": "1", "memory": "1Gi"}}});
        ns.apply(manifest("TaskQueue", "default", queue)).await.expect("accepted");
        let names = ["one", "two", "three", "four"];
        for name in names {
            admit(&ns, name).await;
        }
        quota(&ns, json!({"count/pods": "0"}), json!({"count/pods": "0"})).await;
        let tasks = ns.record::<Task>().await;
        let _operator = ns.operator(&[]).await;
        let said = ready(&ns, "Unknown").await;
        assert!(
            said.message.contains("exceeded quota: q") && said.message.contains("by the template"),
            "{}",
            said.message
        );
        for name in names {
            eventually("its Job is there", SOON, async || {
                let jobs = ns.jobs_now().await;
                let is_its = |owner: &str| owner == name;
                jobs.iter()
                    .any(|job| job.metadata.owner_references.iter().flatten().any(|of| is_its(&of.name)))
                    .then_some(())
            })
            .await;
        }
        let was_queued = |task: &Task| status(task).state == State::Queued && status(task).given_back > 0;
        assert!(!tasks.seen().iter().any(|seen| was_queued(&seen.object)), "no slot was taken back");
    })
    .await;
}

#[tokio::test]
async fn a_quota_that_is_full_later_leaves_the_last_answer_in_force_and_says_so() {
    in_namespace("last-answer", async |ns| {
        limit_range(&ns, json!({"default": {"cpu": "200m"}, "defaultRequest": {"cpu": "100m"}})).await;
        let node = ns.fake_node();
        node.otherwise(Outcome::Hold);
        let _operator = ns.operator(&[]).await;
        ns.apply(kind(json!({}), json!({}), json!({}))).await.expect("accepted");
        ready(&ns, "True").await;
        node.inject(read(json!({"name": "proxy", "image": "x", "resources": {"requests": {"cpu": "50m"}}})));
        quota(&ns, json!({"count/configmaps": "9", "pods": "1"}), json!({"count/configmaps": "0", "pods": "0"})).await;
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        let full = Patch::Merge(json!({"status": {"used": {"pods": "1"}}}));
        let quotas = ns.api::<k8s_openapi::api::core::v1::ResourceQuota>();
        quotas.patch_status("q", &PatchParams::default(), &full).await.expect("a status");
        // The larger pod has the type checked at once.
        let said = ready(&ns, "Unknown").await;
        assert!(said.message.contains("by the last answer that held one"), "{}", said.message);
        ns.create(&task("two")).await;
        let two = ns.task_in("two", State::Processing).await;
        assert_eq!(
            status(&two).admitted.expect("a slot").resources["cpu"].0,
            "150m",
            "the answer, and what came beside"
        );
    })
    .await;
}

#[tokio::test]
async fn a_pod_that_came_out_larger_is_told_and_counted_from_then_on_without_a_write_per_task() {
    in_namespace("larger", async |ns| {
        let queue = json!({"capacity": {"resources": {"cpu": "1"}}});
        ns.apply(manifest("TaskQueue", "default", queue)).await.expect("accepted");
        let node = ns.fake_node();
        node.otherwise(Outcome::Hold);
        node.inject(read(json!({"name": "proxy", "image": "x", "resources": {"requests": {"cpu": "400m"}}})));
        let operator = ns.operator(&[]).await;
        ns.apply(kind(json!({}), json!({"resources": {"requests": {"cpu": "100m"}}}), json!({})))
            .await
            .expect("accepted");
        ready(&ns, "True").await;
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        eventually("it is told", SOON, async || {
            let kind: TaskType = ns.types().get("work").await.ok()?;
            let status = kind.status?;
            let is_told =
                status.conditions.iter().any(|seen| seen.message.contains("larger than the dry run said, by cpu 400m"));
            (is_told && status.surplus["cpu"].0 == "400m").then_some(())
        })
        .await;
        ns.create(&task("two")).await;
        started(&node, "two", 1).await;
        let held = |task: &Task| status(task).admitted.expect("a slot").resources["cpu"].0.clone();
        assert_eq!(held(&ns.task("two").await), "500m");
        assert_eq!(held(&ns.task("one").await), "100m", "nothing is written for the one that runs");
        ns.create(&task("three")).await;
        stays("the third has no room beside twice 500m", A_MOMENT, async || node.starts_of("three") == 0).await;
        drop(operator);
        let _next = ns.operator(&[]).await;
        stays("nor with the next leader", A_MOMENT, async || node.starts_of("three") == 0).await;
        node.end("one", Outcome::succeed());
        started(&node, "three", 1).await;
    })
    .await;
}
