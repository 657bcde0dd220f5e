//! A batch that is changed while it runs, cancelled, deleted, or run again.

use harness::*;
use kube::api::DeleteParams;
use serde_json::json;
use task_manager::api::{Reason, State};

use super::*;
use crate::stage::{refusal, set, status};

#[tokio::test]
async fn parallelism_chunk_size_and_tolerance_work_while_a_batch_runs() {
    in_namespaces("steered", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.chunks(|file| {
            let items = items_of(file);
            let fate = failing(items.indexes().filter(|index| index % 10 == 3), false);
            if items.contains(0) { Outcome::Hold } else { Outcome::after(std::time::Duration::from_millis(200), fate) }
        });
        let spec = json!({"count": 100, "chunkSize": 10, "parallelism": 2, "maxFailedItems": 2});
        ns.create_raw(batch("steered", spec, json!({}))).await.expect("accepted");
        ns.task_within(A_BATCH, "steered", "stops", |_, status| status.reason == Reason::TooManyFailedItems).await;
        let stopped = counts(&ns.task("steered").await);
        assert!(stopped.failed == 3 && stopped.not_started > 0, "{stopped:?}");
        stays("no new chunk starts", A_MOMENT, async || chunks_now(&ns).await.len() == 1).await;

        ns.patch_task("steered", json!({"batch": {"maxFailedItems": "10%", "chunkSize": 5, "parallelism": 6}}))
            .await
            .expect("changed");
        eventually("more chunks are there", SOON, async || (chunks_now(&ns).await.len() > 3).then_some(())).await;
        let first =
            chunks_now(&ns).await.into_iter().min_by_key(|chunk| chunk.spec.chunk.as_ref().map(|its| its.number));
        ns.task_within(A_BATCH, "steered", "has all but the first chunk", |task, _| counts(task).not_started == 0)
            .await;
        node.end(&first.expect("a chunk").name_any(), failing([3], false));
        let task = in_state(&ns, "steered", State::Completed).await;
        let of = counts(&task);
        assert_eq!((of.done, of.failed), (90, 10));
        let changed = ns.patch_task("steered", json!({"batch": {"count": 101}})).await;
        assert!(refusal(changed, "another count").contains("batch can change only together with runId"));
        nothing_is_left(&ns).await;
    })
    .await;
}

#[tokio::test]
async fn a_batch_that_is_cancelled_ends_its_chunks_and_then_itself() {
    in_namespaces("cancelled", async |ns| {
        let (node, mut operator) = set(&ns, &[]).await;
        node.chunks(|file| if items_of(file).contains(0) { Outcome::succeed() } else { Outcome::Hold });
        ns.create_raw(batch("long", json!({"count": 100, "chunkSize": 10, "parallelism": 3}), json!({})))
            .await
            .expect("accepted");
        ns.task_within(A_BATCH, "long", "runs", |task, _| counts(task).done == 10 && counts(task).running == 30).await;
        operator.crash().await;
        ns.patch_task("long", json!({"cancel": true})).await.expect("changed");
        let task = in_state(&ns, "long", State::Cancelled).await;
        let of = counts(&task);
        assert_eq!((of.done, of.cancelled, of.not_started, of.running), (10, 30, 60, 0));
        assert_eq!(status(&task).reason, Reason::Cancelled);
        assert_eq!(chunks_now(&ns).await.len(), 0);
        let pods = ns.pods_now().await;
        assert!(
            pods.iter().all(|pod| pod.status.as_ref().is_none_or(|status| status.phase.as_deref() != Some("Running")))
        );
    })
    .await;
}

#[tokio::test]
async fn a_new_run_id_begins_with_all_items_anew() {
    in_namespaces("again", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.chunks(|file| if items_of(file).contains(15) { Outcome::Hold } else { Outcome::succeed() });
        ns.create_raw(batch("again", json!({"count": 20, "chunkSize": 10}), json!({}))).await.expect("accepted");
        ns.task_within(A_BATCH, "again", "runs", |task, _| counts(task).done == 10).await;
        node.chunks(|_| Outcome::succeed());
        ns.patch_task("again", json!({"runId": "2", "batch": {"count": 30}})).await.expect("changed");
        let task = ns
            .task_within(A_BATCH, "again", "is done anew", |_, status| {
                status.state == State::Completed && status.run_id.as_deref() == Some("2")
            })
            .await;
        assert_eq!(counts(&task).done, 30);
    })
    .await;
}

#[tokio::test]
async fn a_chunk_that_somebody_deletes_is_done_by_another_and_a_deleted_batch_leaves_nothing() {
    in_namespaces("deleted", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.chunks(|_| Outcome::Hold);
        ns.create_raw(batch("deleted", json!({"count": 10, "chunkSize": 5, "parallelism": 1}), json!({})))
            .await
            .expect("accepted");
        ns.task_within(A_BATCH, "deleted", "runs", |task, _| counts(task).running == 5).await;
        let [chunk] = <[_; 1]>::try_from(chunks_now(&ns).await).expect("one chunk");
        ns.tasks().delete(&chunk.name_any(), &DeleteParams::background()).await.expect("deleted");
        let another = eventually("another chunk has these items", SOON, async || {
            chunks_now(&ns).await.into_iter().find(|another| another.name_any() != chunk.name_any())
        })
        .await;
        let indexes = |task: &Task| task.spec.chunk.as_ref().map(|chunk| chunk.indexes.clone());
        assert_eq!(indexes(&another), indexes(&chunk));
        ns.tasks().delete("deleted", &DeleteParams::background()).await.expect("deleted");
        eventually("nothing is left", SOON, async || {
            (chunks_now(&ns).await.is_empty() && ns.launched_now().await.is_empty()).then_some(())
        })
        .await;
    })
    .await;
}
