//! What warm workers cost the API server, by its own count, and the operator's memory.

use std::time::{Duration, Instant};

use futures::future::join_all;
use harness::*;
use kube::ResourceExt;
use serde_json::{Value, json};
use task_manager::api::{Task, WorkerPool};

const TASKS: u64 = 20;
/// The time for which an idle pool is watched, beyond the minute that a token's review lasts.
const WATCHED_FOR: Duration = Duration::from_secs(65);
/// Between two writes of a task's progress.
const BETWEEN_PROGRESS: i64 = 30;

/// A pool as `warm` makes it, of an operator whose requests are counted.
async fn counted(ns: &Namespace, workers: i32) -> (Operator, Account, Vec<WarmWorker>) {
    ns.account_for_pods().await;
    ns.create(&worker_pool("warm", workers, workers)).await;
    ns.create(&pool_type("work", "warm")).await;
    let account = ns.account().await;
    let operator = Operator::with_worker_as(ns, account.kubeconfig.clone(), &[]).await;
    let workers = WarmWorker::all(ns, "warm", workers as usize, &operator.worker()).await;
    (operator, account, workers)
}

/// Asks for work again and again, hangs for so many seconds each time, and hands in at once what it is given.
async fn works(worker: &WarmWorker, wait: u32) {
    let mut body = json!({"wait": wait, "beats": true});
    loop {
        let answer = worker.next_once(&body).await;
        if answer.status == 503 {
            // As Retry-After says: of many tokens from one address only some are reviewed at once.
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        }
        assert_eq!(answer.status, 200, "{body}: {}", answer.text);
        let answer = answer.json();
        body = json!({"wait": wait, "beats": true});
        if let Some(lease) = answer["task"].get("lease") {
            body["done"] = json!({"lease": lease, "result": 1});
        }
    }
}

/// Plays these workers while something is done.
pub async fn while_they_work<T>(workers: &[WarmWorker], wait: u32, done: impl Future<Output = T>) -> T {
    tokio::select! {
        _ = join_all(workers.iter().map(|worker| works(worker, wait))) => unreachable!("they work for ever"),
        done = done => done,
    }
}

/// Waits until the pool's status says that all its workers are idle.
async fn all_idle(ns: &Namespace, workers: i32) {
    eventually("the pool's status says that all are idle", SOON, async || {
        let status = ns.api::<WorkerPool>().get("warm").await.ok()?.status?;
        (status.idle == workers && status.ready == workers).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_warm_task_costs_the_api_server_two_writes_beyond_its_creation() {
    in_namespace("pool-costs", async |ns| {
        let (operator, account, workers) = counted(&ns, 4).await;
        let costs = while_they_work(&workers, 5, async {
            all_idle(&ns, 4).await;
            let before = account.requests().await;
            for number in 0..TASKS {
                ns.create(&task(&format!("t-{number}"))).await;
            }
            ns.all_final(SOON).await;
            account.requests().await - before
        })
        .await;
        assert_eq!((costs.statuses, costs.launches, costs.other_writes), (2 * TASKS, 0, 0), "{costs:?}");
        assert_eq!(costs.reads, 0, "the payload comes with the answer to the admission: {costs:?}");
        let metrics = operator.metrics().await;
        let given = |worker: &str| metrics.count("task_manager_pool_tasks_given_total", &[("worker", worker)]);
        assert_eq!(given("idle") + given("awaited"), TASKS, "{}", metrics.text);
        assert!(given("idle") > 0, "workers were idle when the first ones came");
        assert_eq!(metrics.count("task_manager_pool_dispatch_seconds_count", &[("pool", "warm")]), TASKS);
        account.remove().await;
    })
    .await;
}

#[tokio::test]
async fn an_idle_pool_costs_no_write_and_a_token_is_reviewed_once_a_minute() {
    in_namespace("pool-idle", async |ns| {
        let (operator, account, workers) = counted(&ns, 4).await;
        let unasked = account.requests().await;
        // Each asks once a second, so that each has spoken some sixty times.
        let (settled, asked) = while_they_work(&workers, 1, async {
            all_idle(&ns, 4).await;
            let before = account.requests().await;
            let mut last = before;
            stays("nothing is written", WATCHED_FOR, async || {
                tokio::time::sleep(Duration::from_secs(1)).await;
                last = account.requests().await;
                last.writes() == before.writes()
            })
            .await;
            (last - before, last - unasked)
        })
        .await;
        assert!(settled.leases > 0, "its lease is renewed, so it is counted: {settled:?}");
        assert!((4..=3 * 4).contains(&asked.reviews), "{asked:?}");
        assert!(settled.reviews <= 2 * 4, "at most two in {WATCHED_FOR:?}: {settled:?}");
        let metrics = operator.metrics().await;
        assert_eq!(metrics.count("task_manager_token_reviews_total", &[("result", "ok")]), asked.reviews);
        assert_eq!(metrics.count("task_manager_pool_workers", &[("pool", "warm"), ("state", "idle")]), 4);
        account.remove().await;
    })
    .await;
}

#[tokio::test]
async fn calls_at_once_with_one_token_cost_one_review() {
    in_namespace("pool-reviews", async |ns| {
        let (_operator, account, workers) = counted(&ns, 1).await;
        let before = account.requests().await;
        let calls = (0..20).map(async |_| workers[0].progress(&json!("none"), &json!({})).await.status);
        assert_eq!(join_all(calls).await, [409; 20]);
        assert_eq!((account.requests().await - before).reviews, 1);
        account.remove().await;
    })
    .await;
}

/// The percentages that the versions of a task show, one after another, with when they were seen.
fn written(tasks: &Recorder<Task>, name: &str) -> Vec<(Value, jiff::Timestamp)> {
    let mut written: Vec<(Value, jiff::Timestamp)> = vec![];
    for seen in tasks.seen().into_iter().filter(|seen| seen.object.name_any() == name) {
        let progress = seen.object.status.and_then(|status| status.progress);
        let progress = json!(progress);
        if !progress.is_null() && written.last().is_none_or(|(last, _)| *last != progress) {
            written.push((progress, seen.at));
        }
    }
    written
}

#[tokio::test]
async fn progress_is_written_once_in_half_a_minute_at_most() {
    in_namespace("pool-progress", async |ns| {
        let (_operator, account, workers) = counted(&ns, 1).await;
        let tasks = ns.record::<Task>().await;
        let worker = &workers[0];
        ns.create(&task("long")).await;
        let lease = worker.task().await["lease"].clone();
        let began = Instant::now();
        let before = account.requests().await;
        while began.elapsed() < WATCHED_FOR {
            let said = json!({"done": began.elapsed().as_millis() as u64, "message": "on it"});
            assert_eq!(worker.progress(&lease, &said).await.status, 204);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let costs = account.requests().await - before;
        let written = written(&tasks, "long");
        assert_eq!(worker.done(&lease, json!({})).await["kept"], json!(true));
        let pauses = written.windows(2).map(|pair| pair[1].1.duration_since(pair[0].1).as_secs());
        assert!(pauses.clone().all(|pause| pause >= BETWEEN_PROGRESS - 1), "{written:?}");
        assert!((2..=3).contains(&written.len()), "{written:?}");
        assert!(costs.statuses <= 4, "that it runs, and its progress: {costs:?}");
        account.remove().await;
    })
    .await;
}
