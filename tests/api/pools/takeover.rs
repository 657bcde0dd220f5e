//! Several replicas: what workers say reaches the one that leads, and the next one goes on where it ended.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use harness::*;
use serde_json::{Value, json};
use task_manager::api::{State, TaskStatus};

use super::warm;

/// So long the work of each task takes.
const WORK: Duration = Duration::from_millis(300);
const TASKS: usize = 60;

/// A pool and two replicas, the first of which leads.
async fn two(ns: &Namespace, workers: i32) -> (Operator, Operator, Vec<WarmWorker>) {
    ns.account_for_pods().await;
    ns.create(&worker_pool("warm", workers, workers)).await;
    ns.create(&pool_type("work", "warm")).await;
    let leader = Operator::with_worker(ns, &["--identity", "first"]).await;
    eventually("the first one leads", SOON, async || leader.logged().contains("leads").then_some(())).await;
    let second = leader.replica("second").await;
    let workers = WarmWorker::all(ns, "warm", workers as usize, &leader.worker()).await;
    (leader, second, workers)
}

#[tokio::test]
async fn what_a_worker_says_to_another_replica_reaches_the_one_that_leads() {
    in_namespace("pool-forward", async |ns| {
        let (leader, second, workers) = two(&ns, 1).await;
        let worker = workers[0].through(second.worker());
        // Its call hangs at the one that leads, through the other.
        let (given, _) = tokio::join!(worker.task(), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            ns.create(&task("one")).await
        });
        let lease = &given["lease"];
        assert_eq!(worker.progress(lease, &json!({"percent": 40})).await.status, 204);
        let id = given["id"].as_str().expect("an id");
        assert_eq!(leader.rest().status(id).await["progress"]["percent"], 40);
        assert_eq!(worker.result(lease, "text/plain", "x".repeat(1 << 20)).await.status, 204);
        assert_eq!(worker.done(lease, json!({})).await["kept"], json!(true));
        let status = ns.task("one").await.status.expect("a status");
        assert_eq!((status.state, status.result_ref.map(|kept| kept.bytes)), (State::Completed, Some(1 << 20)));
        // The one that leads answers the same.
        assert_eq!(workers[0].done(lease, json!({})).await["kept"], json!(true));
    })
    .await;
}

#[tokio::test]
async fn a_stop_reaches_a_worker_through_another_replica() {
    in_namespace("pool-forward-stop", async |ns| {
        let (_leader, second, workers) = two(&ns, 1).await;
        let worker = workers[0].through(second.worker());
        ns.create(&task("one")).await;
        let lease = worker.task().await["lease"].clone();
        ns.patch_task("one", json!({"cancel": true})).await.expect("it is taken");
        eventually("the worker is told", SOON, async || {
            let answer = worker.progress(&lease, &json!({})).await;
            (answer.status == 200 && answer.json()["cancel"]["reason"] == "Cancelled").then_some(())
        })
        .await;
        let answer = worker.done(&lease, json!({"error": {"message": "stopped"}})).await;
        assert_eq!((&answer["kept"], &answer["why"]), (&json!(false), &json!("Cancelled")));
    })
    .await;
}

/// How often each lease was worked on, with the name of its task.
type Worked = Mutex<HashMap<String, (String, u32)>>;

/// Works for ever, as a client should: says everything again until it is answered, to each replica in turn.
async fn works(ns: &Namespace, worker: &WarmWorker, ways: &[Rest], worked: &Worked) {
    let mut body = json!({"wait": 2, "beats": true});
    for turn in 0.. {
        // A replica that is away ends the connection, which is no failure of the worker.
        let Some(answer) = worker.through(ways[turn % ways.len()].clone()).try_next(&body).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let hands_in = body["done"].clone();
        if !hands_in.is_null() && answer.get("kept").is_none() {
            continue;
        }
        if let Some(lease) = hands_in["lease"].as_str() {
            assert_eq!(answer["kept"], json!(true), "{answer}");
            let name = worked.lock().expect("nobody panics with it")[lease].0.clone();
            assert!(is_written(&ns.task(&name).await.status.expect("a status")), "{name} is kept and not written");
        }
        body = json!({"wait": 2, "beats": true});
        let Some(lease) = answer["task"]["lease"].as_str() else { continue };
        let name = answer["task"]["name"].as_str().expect("a name").to_owned();
        worked.lock().expect("nobody panics with it").entry(lease.into()).or_insert((name.clone(), 0)).1 += 1;
        tokio::time::sleep(WORK).await;
        body["done"] = json!({"lease": lease, "result": name});
    }
}

fn is_written(status: &TaskStatus) -> bool {
    status.state == State::Completed && status.result.is_some()
}

#[tokio::test]
async fn workers_go_on_when_the_leader_is_killed_and_nothing_is_lost_or_runs_twice() {
    in_namespace("pool-takeover", async |ns| {
        let (mut leader, second, workers) = two(&ns, 4).await;
        let ways = [leader.worker(), second.worker()];
        let worked = Worked::default();
        for number in 0..TASKS {
            ns.create(&task(&format!("t-{number}"))).await;
        }
        let work = workers.iter().map(|worker| works(&ns, worker, &ways, &worked));
        let watched = async {
            eventually("some are done and all are at work", SOON, async || {
                (worked.lock().expect("nobody panics with it").len() >= 12).then_some(())
            })
            .await;
            leader.kill().await;
            let finals = ns.all_final(2 * SOON).await;
            // The last ones are handed in.
            tokio::time::sleep(2 * WORK).await;
            finals
        };
        let finals = tokio::select! {
            _ = futures::future::join_all(work) => unreachable!("they work for ever"),
            finals = watched => finals,
        };
        assert_eq!(finals.len(), TASKS);
        for task in finals {
            let status = task.status.expect("a status");
            assert!(is_written(&status), "{status:?}");
            assert_eq!((status.attempt, status.failures, status.disruptions), (1, 0, 0), "{status:?}");
        }
        let worked = worked.into_inner().expect("nobody panics with it");
        assert_eq!(worked.len(), TASKS, "one lease each: {worked:?}");
        assert!(worked.values().all(|(_, times)| *times == 1), "{worked:?}");
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_is_asked_while_nobody_leads_has_the_worker_come_again() {
    in_namespace("pool-nobody", async |ns| {
        let (mut leader, second, workers) = two(&ns, 1).await;
        let worker = workers[0].through(second.worker());
        ns.create(&task("one")).await;
        let lease: Value = worker.task().await["lease"].clone();
        leader.kill().await;
        let hands_in = json!({"done": {"lease": lease, "result": 1}, "wait": 0});
        let answer = worker.next_once(&hands_in).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{answer:?}");
        let answer = worker.next(hands_in).await;
        assert_eq!(answer["kept"], json!(true));
        assert!(is_written(&ns.task("one").await.status.expect("a status")));
    })
    .await;
}

#[tokio::test]
async fn a_leader_that_stops_is_followed_at_once_and_its_workers_keep_what_they_hold() {
    in_namespace("pool-stopped", async |ns| {
        let (operator, workers) = warm(&ns, 2).await;
        let mut operator = operator;
        for name in ["one", "two"] {
            ns.create(&task(name)).await;
        }
        let leases = [workers[0].task().await["lease"].clone(), workers[1].task().await["lease"].clone()];
        assert!(operator.stop().await.status.success());
        operator.start_again().await;
        for (worker, lease) in workers.iter().zip(&leases) {
            assert_eq!(worker.done(lease, json!({"result": 1})).await["kept"], json!(true));
        }
        for task in ns.all_final(SOON).await {
            let status = task.status.expect("a status");
            assert_eq!((status.state, status.attempt, status.disruptions), (State::Completed, 1, 0));
        }
    })
    .await;
}
