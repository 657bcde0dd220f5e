//! The ends of the chunks of a batch.

use task_manager::archive::{BatchKey, CHUNKS_READ_AT_ONCE, ChunkEnd, PruneLimits};

use crate::stage::{Store, completed, second};

on_all!(
    an_end_is_stored_once_and_ends_are_read_the_last_one_first,
    ends_go_with_the_record_of_their_batch_and_stay_while_it_runs,
);

fn batch(uid: &str, began: i64) -> BatchKey {
    BatchKey { uid: uid.into(), run_id: "1".into(), began: second(began) }
}

fn end(place: i64, number: i64, outcome: &str) -> ChunkEnd {
    ChunkEnd { place, number, outcome: outcome.into() }
}

async fn an_end_is_stored_once_and_ends_are_read_the_last_one_first(store: Store) {
    let (archive, one) = (store.open().await, batch("u-1", 0));
    let more = CHUNKS_READ_AT_ONCE as i64 + 3;
    for place in 1..=more {
        assert!(archive.put_chunk(&one, &end(place, more - place + 1, "{}"), second(1)).await.expect("an answer"));
    }
    for taken in [end(2, 9_999, "other"), end(more + 1, 7, "other"), end(1, more, "{}")] {
        assert!(!archive.put_chunk(&one, &taken, second(2)).await.expect("an answer"), "{taken:?}");
    }
    let first = archive.chunks(&one, i64::MAX).await.expect("an answer");
    let rest = archive.chunks(&one, first.last().expect("ends").place).await.expect("an answer");
    let places: Vec<_> = first.iter().chain(&rest).map(|end| end.place).collect();
    assert_eq!(places, (1..=more).rev().collect::<Vec<_>>());
    assert!(first.iter().chain(&rest).all(|end| end.outcome == "{}" && end.number == more - end.place + 1));
    assert_eq!(
        archive.chunks(&batch("u-1", 5), i64::MAX).await.expect("an answer"),
        [],
        "a run of the same name later"
    );
}

async fn ends_go_with_the_record_of_their_batch_and_stay_while_it_runs(store: Store) {
    let archive = store.open().await;
    for (uid, stored) in [("over", 5), ("running", 5), ("abandoned", 5), ("running", 200)] {
        let (place, number) = (stored, stored);
        archive.put_chunk(&batch(uid, 0), &end(place, number, "{}"), second(stored)).await.expect("stored");
    }
    archive.put(&completed("over", 10)).await.expect("its record");
    let limits = PruneLimits { older_than: second(100), keep_at_most: 1_000 };
    assert_eq!(archive.prune(&limits).await.expect("pruned"), 1);
    let left = async |uid: &str| archive.chunks(&batch(uid, 0), i64::MAX).await.expect("an answer").len();
    assert_eq!([left("over").await, left("running").await, left("abandoned").await], [0, 2, 0]);
}
