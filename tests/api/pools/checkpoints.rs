//! Checkpoints over leases: the answer that brings a task says whether there is one.

use std::time::Duration;

use futures::future::join_all;
use harness::*;
use serde_json::{Value, json};
use task_manager::api::State;

use super::warm;

/// Workers that leave a checkpoint at once, and the most that all of them may cost, in KiB.
const MANY: usize = 100;
const MEMORY: u64 = 96 << 10;
const LARGEST: usize = 1 << 20;

fn failed() -> Value {
    json!({"error": {"message": "it broke off"}})
}

#[tokio::test]
async fn the_next_attempt_of_a_warm_task_is_told_of_the_checkpoint_and_finds_it() {
    in_namespaces("pool-checkpoint", async |ns| {
        let (_operator, workers) = warm(&ns, 1).await;
        let worker = &workers[0];
        ns.create(&task("one")).await;
        let first = worker.task().await;
        assert_eq!(first.get("checkpoint"), None, "a first attempt: {first}");
        assert_eq!(worker.left(&first["lease"]).await.status, 404);
        assert_eq!(worker.leave(&first["lease"], "60 %").await.status, 204);
        // One that has lost its memory is given the same attempt again.
        let again = worker.next(json!({"wait": 0})).await["task"].clone();
        assert_eq!((&again["lease"], &again["checkpoint"]), (&first["lease"], &json!(true)));
        assert_eq!(worker.done(&first["lease"], failed()).await["kept"], json!(true));
        assert_eq!(worker.leave(&first["lease"], "late").await.status, 409);
        assert_eq!(worker.left(&first["lease"]).await.status, 409);
        let second = worker.task().await;
        assert_eq!((&second["attempt"], &second["checkpoint"]), (&json!(2), &json!(true)));
        let left = worker.left(&second["lease"]).await;
        assert_eq!((left.status, left.text.as_str(), left.header("task-attempt")), (200, "60 %", Some("1")));
        assert_eq!(worker.done(&second["lease"], json!({})).await["kept"], json!(true));
        ns.task_in("one", State::Completed).await;
        assert_eq!(checkpoints_of(&ns).await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_second_attempt_without_a_checkpoint_is_told_of_none_unless_the_store_is_away() {
    in_namespace("pool-checkpoint-none", async |ns| {
        let (_operator, workers) = warm(&ns, 1).await;
        let worker = &workers[0];
        ns.create(&task("one")).await;
        let first = worker.task().await;
        assert_eq!(worker.done(&first["lease"], failed()).await["kept"], json!(true));
        let second = worker.task().await;
        assert_eq!((&second["attempt"], second.get("checkpoint")), (&json!(2), None));
        let held = Held::hold(&ns).await;
        assert_eq!(worker.leave(&second["lease"], "60 %").await.status, 503);
        assert_eq!(worker.done(&second["lease"], failed()).await["kept"], json!(true));
        let third = worker.task().await;
        assert_eq!((&third["attempt"], &third["checkpoint"]), (&json!(3), &json!(true)), "nobody knows");
        assert_eq!(worker.left(&third["lease"]).await.status, 503);
        held.let_go().await;
        eventually("the store says that there is none", SOON, async || {
            (worker.left(&third["lease"]).await.status == 404).then_some(())
        })
        .await;
    })
    .await;
}

/// The most memory that the operator has held at once so far, in KiB.
fn most_memory(operator: &Operator) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", operator.pid().expect("it runs"))).expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Says it until it is answered with this; how often that was.
async fn until(status: u16, say: impl AsyncFn() -> Answer) -> (Answer, u32) {
    for times in 1.. {
        let answer = say().await;
        if answer.status == status {
            return (answer, times);
        }
        assert_eq!(answer.status, 503, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    unreachable!("it is said without end")
}

#[tokio::test]
async fn a_hundred_workers_leave_a_mebibyte_at_once_and_fetch_it_within_bounded_memory() {
    in_namespace("pool-checkpoint-many", async |ns| {
        ns.account_for_pods().await;
        ns.create(&worker_pool("warm", MANY as i32, MANY as i32)).await;
        ns.create(&pool_type("work", "warm")).await;
        let operator = Operator::with_worker(&ns, &["--default-queue-tasks", "200"]).await;
        for number in 0..MANY {
            ns.create(&task(&format!("task-{number}"))).await;
        }
        let workers = WarmWorker::all(&ns, "warm", MANY, &operator.worker()).await;
        // None has promised to be heard.
        let given =
            join_all(workers.iter().map(async |worker| worker.task_with(json!({})).await["lease"].clone())).await;
        let before = most_memory(&operator);
        let contents: Vec<String> = (0..MANY).map(|number| format!("{number:07}\n").repeat(LARGEST / 8)).collect();
        let each = || workers.iter().zip(&given).zip(&contents);
        let puts =
            join_all(each().map(async |((worker, lease), content)| {
                until(204, async || worker.leave(lease, content).await).await.1
            }));
        let puts: u32 = puts.await.iter().sum();
        assert_eq!(checkpoints_of(&ns).await, MANY as i64);
        let gets = join_all(each().map(async |((worker, lease), content)| {
            let (answer, times) = until(200, async || worker.left(lease).await).await;
            assert!(answer.text == *content, "another content");
            times
        }));
        let gets: u32 = gets.await.iter().sum();
        let cost = most_memory(&operator).saturating_sub(before);
        println!("{MANY} checkpoints: {puts} calls to leave and {gets} to fetch them, {} MiB at most", cost >> 10);
        assert!(cost < MEMORY, "{} MiB", cost >> 10);
        assert!(
            operator.metrics().await.count("task_manager_archive_up", &[]) == 1,
            "the archive is not taken for down"
        );
    })
    .await;
}
