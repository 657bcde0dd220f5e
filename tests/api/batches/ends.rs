//! How batches end that cannot go on, and what they wait for.

use harness::*;
use serde_json::json;
use task_manager::api::{Reason, State};

use super::*;
use crate::stage::{refusal, set, status};

#[tokio::test]
async fn a_batch_whose_chunks_all_fail_ends_after_ten_of_them() {
    in_namespaces("all-fail", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.chunks(|_| Outcome::exit(1));
        ns.create_raw(batch("all-fail", json!({"count": 1000, "parallelism": 2}), json!({}))).await.expect("accepted");
        let task = in_state(&ns, "all-fail", State::Failed).await;
        assert_eq!(status(&task).reason, Reason::ChunksFail);
        let started = node.starts().len();
        assert!((10..=12).contains(&started), "{started} chunks were started");
        assert_eq!((counts(&task).done, counts(&task).failed), (0, 0));
        nothing_is_left(&ns).await;
    })
    .await;
}

#[tokio::test]
async fn a_batch_without_items_is_done_and_a_wrong_one_is_refused_in_words() {
    in_namespace("odd-batches", async |ns| {
        let (_node, _operator) = set(&ns, &[]).await;
        ns.create_raw(batch("none", json!({"count": 0}), json!({}))).await.expect("accepted");
        in_state(&ns, "none", State::Completed).await;
        let wrong = [
            (json!({"count": 10_000_001}), "less than or equal to 10000000"),
            (json!({"count": 5, "maxFailedItems": "1.5%"}), "in quotation marks"),
            (json!({"count": 5, "maxFailedItems": -1}), "write a number of items"),
            (json!({"count": 5, "items": [1]}), "one and only one"),
            (json!({"chunkSize": 5}), "one and only one"),
            (json!({"count": 5, "parallelism": 0}), "greater than or equal to 1"),
        ];
        for (wrong, words) in wrong {
            let refused = refusal(ns.create_raw(batch("wrong", wrong.clone(), json!({}))).await, "a wrong batch");
            assert!(refused.contains(words), "{wrong}: {refused}");
        }
    })
    .await;
}

#[tokio::test]
async fn rest_takes_a_batch_and_tells_its_progress() {
    in_namespace("rest-batch", async |ns| {
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        let operator = Operator::with_rest(&ns, &[]).await;
        node.chunks(|file| failing(items_of(file).indexes().filter(|index| *index == 7), false));
        let body = json!({"task_type": "work", "batch": {"count": 20, "chunk_size": 5, "max_failed_items": "5%"}});
        let id = operator.rest().submit(&body).await;
        let status = eventually("it is completed", A_BATCH, async || {
            let status = operator.rest().status(&id).await;
            (status["status"] == "completed").then_some(status)
        })
        .await;
        assert_eq!((&status["progress"]["done"], &status["progress"]["total"]), (&json!(19), &json!(20)));
        let whole = operator.rest().get(&format!("/api/v1/tasks/{id}")).await.json();
        let batch = &whole["batch"];
        assert_eq!((&batch["failed"], &batch["failed_items"]), (&json!(1), &json!("7")), "{whole}");
        let result = operator.rest().get(&format!("/api/v1/tasks/{id}/result")).await.json();
        assert_eq!(result["result"], json!({"total": 20, "done": 19, "failed": 1}));
    })
    .await;
}

#[tokio::test]
async fn while_the_archive_takes_nothing_no_chunk_starts_and_later_all_items_are_done_once() {
    in_namespace("away-batch", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        let runs = Runs::default();
        let counted = runs.clone();
        node.chunks(move |file| {
            count(&counted, &items_of(file));
            Outcome::after(Duration::from_millis(500), Outcome::succeed())
        });
        ns.create_raw(batch("away", json!({"count": 30, "chunkSize": 1, "parallelism": 2}), json!({})))
            .await
            .expect("accepted");
        ns.task_within(A_BATCH, "away", "goes on", |task, _| counts(task).done > 0).await;
        let held = Held::hold(&ns).await;
        ns.task_within(A_BATCH, "away", "says so", |_, status| status.reason == Reason::StoreUnavailable).await;
        eventually("what ran has ended", SOON, async || {
            let begun = |chunk: &Task| status(chunk).attempt > 0 && !status(chunk).state.is_final();
            (!chunks_now(&ns).await.iter().any(begun)).then_some(())
        })
        .await;
        let started = node.starts().len();
        stays("no chunk starts", A_MOMENT, async || node.starts().len() == started).await;
        held.let_go().await;
        let task = in_state(&ns, "away", State::Completed).await;
        assert_eq!(counts(&task).done, 30);
        assert!(runs.lock().expect("no test panicked in it").values().all(|runs| *runs == 1));
        nothing_is_left(&ns).await;
    })
    .await;
}
