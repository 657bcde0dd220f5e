//! What becomes of items: done, tried again, failed; each counted once, though the operator is killed.

use harness::*;
use serde_json::json;
use task_manager::api::{Reason, State};

use super::*;
use crate::stage::{set, status};

#[tokio::test]
async fn a_thousand_items_are_done_or_fail_once_though_the_operator_is_killed() {
    in_namespaces("batch", async |ns| {
        ns.create(&task_queue("default", 8)).await;
        let (node, mut operator) = set(&ns, &[]).await;
        let runs = Runs::default();
        let counted = runs.clone();
        // Three fail twice and then succeed, and one fails for good.
        node.chunks(move |file| {
            let run = count(&counted, &items_of(file));
            let fails = |index: u32, runs: u32| index == 999 || [0, 17, 500].contains(&index) && runs <= 2;
            let failed = run.into_iter().filter(|(index, runs)| fails(*index, *runs)).map(|(index, _)| index);
            Outcome::after(std::time::Duration::from_millis(300), failing(failed, true))
        });
        ns.create_raw(batch(
            "big",
            json!({"count": 1000, "chunkSize": 50, "parallelism": 4}),
            json!({"payload": {"a": 1}}),
        ))
        .await
        .expect("it is accepted");
        let mut most = 0;
        for done in [100, 400, 700] {
            ns.task_within(A_BATCH, "big", "goes on", |task, _| counts(task).done >= done).await;
            most = most.max(chunks_now(&ns).await.len());
            operator.crash().await;
        }
        let task = in_state(&ns, "big", State::Failed).await;
        let told = status(&task);
        assert_eq!(told.reason, Reason::TooManyFailedItems, "{:?}", told.message);
        let of = counts(&task);
        assert_eq!((of.total, of.done, of.failed, of.running), (1000, 999, 1, 0));
        assert_eq!(of.failed_items.as_deref(), Some("999"));
        assert_eq!(told.progress.and_then(|progress| progress.done), Some(999));
        assert!(most <= 4, "{most} chunks at once");
        let runs = runs.lock().expect("no test panicked in it").clone();
        let expected = |index: u32| if [0, 17, 500, 999].contains(&index) { 3 } else { 1 };
        let odd: Vec<_> = (0..1000).filter(|index| runs.get(index) != Some(&expected(*index))).collect();
        assert_eq!(odd, Vec::<u32>::new(), "each item ran as often as it had to");
        nothing_is_left(&ns).await;
    })
    .await;
}

#[tokio::test]
async fn an_item_that_ends_its_chunk_is_found_by_halving() {
    in_namespaces("poison", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.chunks(|file| match items_of(file).contains(13) {
            true => Outcome::exit(139),
            false => Outcome::succeed(),
        });
        let retry = json!({"retry": {"limit": 0}});
        ns.create_raw(batch("poison", json!({"count": 40, "chunkSize": 20, "maxFailedItems": 1}), retry))
            .await
            .expect("accepted");
        let task = in_state(&ns, "poison", State::Completed).await;
        let of = counts(&task);
        assert_eq!((of.done, of.failed, of.failed_items.as_deref()), (39, 1, Some("13")));
        assert_eq!(status(&task).result, Some(json!({"total": 40, "done": 39, "failed": 1})));
    })
    .await;
}

#[tokio::test]
async fn items_that_are_written_down_reach_the_work_with_their_indexes() {
    in_namespaces("written", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
        let files = seen.clone();
        node.chunks(move |file| {
            files.lock().expect("no test panicked in it").push(serde_json::from_str(file).expect("JSON"));
            Outcome::succeed()
        });
        let items = json!(["a", {"b": 1}, 3, null, [5]]);
        ns.create_raw(batch("written", json!({"items": items, "chunkSize": 2, "parallelism": 1}), json!({})))
            .await
            .expect("accepted");
        in_state(&ns, "written", State::Completed).await;
        let seen = seen.lock().expect("no test panicked in it").clone();
        assert_eq!(
            seen,
            [
                json!({"indexes": "0-1", "items": ["a", {"b": 1}]}),
                json!({"indexes": "2-3", "items": [3, null]}),
                json!({"indexes": "4", "items": [[5]]}),
            ]
        );
    })
    .await;
}
