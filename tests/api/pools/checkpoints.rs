//! Checkpoints over leases: the answer that brings a task says whether there is one.

use harness::*;
use serde_json::{Value, json};
use task_manager::api::State;

use super::warm;

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
