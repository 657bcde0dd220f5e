//! Very many workers.

use std::time::Duration;

use futures::stream::{self, StreamExt};
use harness::*;
use serde_json::json;
use task_manager::api::WorkerPool;

use super::costs::while_they_work;

/// How many workers wait at once, unless FLOOD_WORKERS says it.
const SOME: usize = 300;
/// The most that a thousand of them may cost, in KiB.
const MEMORY: u64 = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(600);

/// Memory that the operator holds, in KiB.
fn memory(operator: &Operator) -> u64 {
    let pid = operator.pid().expect("it runs");
    let told = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let held = told.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    held.trim().trim_end_matches("kB").trim().parse().expect("a number")
}

#[tokio::test]
async fn of_workers_that_wait_for_work_a_thousand_cost_less_than_64_mebibytes() {
    let many = std::env::var("FLOOD_WORKERS").ok().and_then(|many| many.parse().ok()).unwrap_or(SOME);
    in_namespace("pool-many", async |ns| {
        ns.account_for_pods().await;
        ns.create(&pool_type("work", "warm")).await;
        let operator = Operator::with_worker(&ns, &[]).await;
        ns.create(&task("warm-up")).await;
        ns.create(&worker_pool("warm", 1, 1)).await;
        let first = WarmWorker::all(&ns, "warm", 1, &operator.worker()).await.remove(0);
        let lease = first.task().await["lease"].clone();
        assert_eq!(first.done(&lease, json!({})).await["kept"], json!(true));
        let before = memory(&operator);

        let count = many as i32;
        let wider = json!({"spec": {"replicas": {"min": count, "max": count}, "heartbeatSeconds": 60}});
        let pools = ns.api::<WorkerPool>();
        pools.patch("warm", &Default::default(), &kube::api::Patch::Merge(&wider)).await.expect("it is taken");
        let all_there = eventually("all pods are there", PATIENCE, async || {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some(ns.workers_now("warm").await).filter(|pods| pods.len() == many)
        });
        // That may take longer than the first worker may be silent.
        let pods = while_they_work(std::slice::from_ref(&first), 25, all_there).await;
        // Their tokens are reviewed a few at once, for all of them come from one address.
        let workers = stream::iter(pods).map(async |pod| {
            let worker = WarmWorker::of(&ns, &pod, operator.worker()).await;
            let known = async || (worker.progress(&json!("none"), &json!({})).await.status == 409).then_some(());
            eventually("its token is known", SOON, known).await;
            worker
        });
        let workers: Vec<WarmWorker> = workers.buffer_unordered(3).collect().await;
        while_they_work(&workers, 25, async {
            eventually("all wait for work", PATIENCE, async || {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let idle = operator.metrics().await.count("task_manager_pool_workers", &[("state", "idle")]);
                (idle == many as u64).then_some(())
            })
            .await;
            // Half of them have asked anew by then.
            tokio::time::sleep(Duration::from_secs(15)).await;
            let cost = memory(&operator).saturating_sub(before);
            println!("{many} workers that wait cost {} MiB, beyond {} MiB", cost >> 10, before >> 10);
            assert!(cost < MEMORY * many as u64 / 1000, "{} MiB", cost >> 10);
            // Those at work are heard all the same.
            assert_eq!(first.progress(&json!("none"), &json!({})).await.status, 409);
        })
        .await;
    })
    .await;
}
