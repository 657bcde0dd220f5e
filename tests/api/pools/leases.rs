//! Words on leases: late ones, repeated ones, lost ones, and those of others.

use harness::*;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use task_manager::api::{AttemptOutcome, Reason, State};

use super::warm;

#[tokio::test]
async fn a_worker_that_asks_again_is_given_its_task_again_and_the_sixth_time_has_failed_it() {
    in_namespace("pool-again", async |ns| {
        let (_operator, workers) = warm(&ns, 1).await;
        ns.create(
            &task("one").with(|spec| spec.retry = Some(serde_json::from_value(json!({"limit": 0})).expect("a retry"))),
        )
        .await;
        let given = workers[0].task().await;
        for _ in 2..=5 {
            let again = workers[0].next(json!({"wait": 0})).await;
            assert_eq!(again["task"]["lease"], given["lease"]);
        }
        assert_eq!(workers[0].next(json!({"wait": 0})).await["task"], Value::Null);
        let status = ns.task_in("one", State::Failed).await.status.expect("a status");
        assert_eq!((status.reason, status.failures), (Reason::WorkerRestarted, 1));
        let late = workers[0].done(&given["lease"], json!({"result": 1})).await;
        assert_eq!((&late["kept"], &late["why"]), (&json!(false), &json!("Over")));
    })
    .await;
}

#[tokio::test]
async fn a_cancel_reaches_the_worker_with_its_next_heartbeat() {
    in_namespace("pool-cancel", async |ns| {
        let (_operator, workers) = warm(&ns, 1).await;
        ns.create(&task("one")).await;
        let lease = workers[0].task().await["lease"].clone();
        ns.patch_task("one", json!({"cancel": true})).await.expect("it is taken");
        let told = eventually("the worker is told", SOON, async || {
            let answer = workers[0].progress(&lease, &json!({})).await;
            (answer.status == 200).then(|| answer.json())
        })
        .await;
        assert_eq!((&told["cancel"]["reason"], &told["cancel"]["grace_seconds"]), (&json!("Cancelled"), &json!(1)));
        let answer = workers[0].done(&lease, json!({"error": {"message": "stopped"}})).await;
        assert_eq!((&answer["kept"], &answer["why"]), (&json!(false), &json!("Cancelled")));
        assert_eq!(ns.task("one").await.status.expect("a status").state, State::Cancelled);
        assert_eq!(workers[0].progress(&lease, &json!({})).await.status, 409);
    })
    .await;
}

#[tokio::test]
async fn the_worker_of_a_deleted_task_is_told_and_then_gets_another() {
    in_namespace("pool-deleted", async |ns| {
        let (_operator, workers) = warm(&ns, 1).await;
        ns.create(&task("one")).await;
        let lease = workers[0].task().await["lease"].clone();
        ns.tasks().delete("one", &DeleteParams::default()).await.expect("it is deleted");
        eventually("the worker is told", SOON, async || {
            let answer = workers[0].progress(&lease, &json!({})).await;
            (answer.status != 204).then_some(())
        })
        .await;
        ns.create(&task("two")).await;
        let answer = workers[0].done(&lease, json!({})).await;
        assert_eq!(answer["kept"], json!(false), "{answer}");
        assert_eq!(workers[0].task().await["name"], json!("two"));
    })
    .await;
}

#[tokio::test]
async fn the_word_of_a_worker_counts_though_the_operator_was_killed_meanwhile() {
    in_namespace("pool-killed", async |ns| {
        let (mut operator, workers) = warm(&ns, 2).await;
        for name in ["one", "two"] {
            ns.create(&task(name)).await;
        }
        let mut given = vec![];
        for worker in &workers {
            given.push(worker.task().await);
        }
        operator.kill().await;
        operator.start_again().await;
        // One was given and never arrived, as far as anybody knows: it is the same again.
        assert_eq!(workers[0].task().await["lease"], given[0]["lease"]);
        for (worker, task) in workers.iter().zip(&given) {
            assert_eq!(worker.done(&task["lease"], json!({"result": task["name"]})).await["kept"], json!(true));
        }
        for task in ns.all_final(SOON).await {
            let status = task.status.expect("a status");
            assert_eq!((status.state, status.attempt), (State::Completed, 1));
            assert_eq!(status.attempts[0].outcome, AttemptOutcome::Succeeded);
        }
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_promised_to_be_heard_and_is_silent_is_replaced_and_its_task_goes_on_elsewhere() {
    in_namespace("pool-silent", async |ns| {
        let (operator, workers) = warm(&ns, 1).await;
        ns.create(&task("one")).await;
        let lease = workers[0].task().await["lease"].clone();
        let silent = workers[0].pod.clone();
        eventually("the silent worker is gone, and another is there", SOON, async || {
            let there = ns.workers_now("warm").await;
            (there.len() == 1 && there[0].metadata.name.as_ref() != Some(&silent)).then_some(())
        })
        .await;
        let other = WarmWorker::all(&ns, "warm", 1, &operator.worker()).await.remove(0);
        let given = other.task().await;
        assert_eq!((&given["name"], &given["attempt"]), (&json!("one"), &json!(2)));
        let late = workers[0].next_once(&json!({"done": {"lease": lease}, "wait": 0})).await;
        assert!(late.status == 403 || late.status == 401 || late.json()["kept"] == json!(false), "{late:?}");
        assert_eq!(other.done(&given["lease"], json!({})).await["kept"], json!(true));
        let status = ns.task_in("one", State::Completed).await.status.expect("a status");
        assert_eq!((status.failures, status.disruptions, status.attempts[0].reason), (0, 1, Reason::WorkerLost));
    })
    .await;
}

#[tokio::test]
async fn who_is_no_worker_or_asks_for_what_there_is_not_is_told_so() {
    in_namespace("pool-wrong", async |ns| {
        let (_operator, workers) = warm(&ns, 1).await;
        let worker = &workers[0];
        assert_eq!(worker.next_once(&json!({"slot": 1, "wait": 0})).await.problem().0, "invalid");
        assert_eq!(worker.next_once(&json!({"sloth": 1})).await.status, 422);
        let unknown = worker.done(&json!("nobody-knows-this"), json!({})).await;
        assert_eq!((&unknown["kept"], &unknown["why"]), (&json!(false), &json!("Unknown")));
        let large = json!({"done": {"lease": "x", "result": "x".repeat(5000)}, "wait": 0});
        assert_eq!(worker.next_once(&large).await.status, 413);
        let stranger = worker.with("none");
        assert_eq!(stranger.next_once(&json!({"wait": 0})).await.status, 401);
        assert_eq!(worker.progress(&json!("nobody-knows-this"), &json!({})).await.status, 409);
    })
    .await;
}
