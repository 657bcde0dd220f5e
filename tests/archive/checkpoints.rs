//! Checkpoints of runs that are not over.

use std::sync::Arc;

use sqlx::{AnyConnection, Connection, Row};
use task_manager::api::Reason;
use task_manager::archive::{Archive, AttemptKey, Checkpoint, Error, PruneLimits};

use crate::openings::meddle;
use crate::stage::{Store, completed, record, second, unfinished};

on_all!(
    a_checkpoint_reads_back_as_it_was_until_another_takes_its_place,
    a_checkpoint_of_a_mebibyte_is_taken_and_a_byte_more_is_not,
    an_earlier_attempt_or_run_does_not_overwrite_a_later_ones_checkpoint,
    another_run_finds_no_checkpoint_of_the_one_before,
    the_final_record_of_a_run_deletes_its_checkpoint_and_takes_no_other,
    the_record_of_an_earlier_run_of_the_same_run_id_leaves_the_checkpoint,
    a_checkpoint_that_came_with_the_final_record_or_has_none_is_pruned,
);

fn key(uid: &str, began: i64, attempt: i32) -> AttemptKey<'_> {
    AttemptKey { uid, run_id: "1", began: second(began), attempt }
}

fn checkpoint(attempt: i32, content: &[u8]) -> Checkpoint {
    let content_type = "application/octet-stream".into();
    Checkpoint { attempt, content_type, content: Arc::new(content.to_vec()), stored_at: second(5) }
}

async fn put(archive: &Archive, key: &AttemptKey<'_>, content: &[u8]) -> Result<(), Error> {
    archive.put_checkpoint(key, &checkpoint(key.attempt, content)).await
}

async fn stored(archive: &Archive, key: &AttemptKey<'_>) -> Option<Checkpoint> {
    let found = archive.checkpoint(key).await.expect("an answer");
    assert_eq!(archive.has_checkpoint(key).await.expect("an answer"), found.is_some());
    found
}

/// The rows that there are, whoever may read them.
async fn rows(store: &Store) -> i64 {
    let mut connection = AnyConnection::connect(&store.url).await.expect("a connection");
    let counted = sqlx::query("SELECT count(*) FROM archive_checkpoints").persistent(false);
    counted.fetch_one(&mut connection).await.expect("a count").get(0)
}

async fn a_checkpoint_reads_back_as_it_was_until_another_takes_its_place(store: Store) {
    let archive = store.open().await;
    assert_eq!(stored(&archive, &key("u-1", 0, 1)).await, None);
    let bytes: Vec<u8> = (0..=255).collect();
    for (attempt, content) in [(1, bytes.as_slice()), (1, b""), (3, b"third")] {
        put(&archive, &key("u-1", 0, attempt), content).await.expect("it is stored");
        // Whichever attempt asks.
        for asks in [1, 4] {
            assert_eq!(stored(&archive, &key("u-1", 0, asks)).await, Some(checkpoint(attempt, content)));
        }
    }
    assert_eq!(stored(&archive, &key("u-2", 0, 1)).await, None);
    for content_type in ["text/plain\r\nX: y".to_owned(), "\0".into(), "x".repeat(300)] {
        let wrong = Checkpoint { content_type, ..checkpoint(1, b"") };
        let refused = archive.put_checkpoint(&key("u-2", 0, 1), &wrong).await;
        assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    }
    assert_eq!(rows(&store).await, 1);
}

async fn a_checkpoint_of_a_mebibyte_is_taken_and_a_byte_more_is_not(store: Store) {
    let archive = store.open().await;
    let largest = vec![7; 1 << 20];
    put(&archive, &key("u-1", 0, 1), &largest).await.expect("it is stored");
    assert!(stored(&archive, &key("u-1", 0, 2)).await.is_some_and(|found| *found.content == largest));
    let refused = put(&archive, &key("u-2", 0, 1), &vec![7; (1 << 20) + 1]).await;
    assert!(matches!(refused, Err(Error::TooLarge { bytes: 1_048_577, limit: 1_048_576, .. })), "{refused:?}");
}

async fn an_earlier_attempt_or_run_does_not_overwrite_a_later_ones_checkpoint(store: Store) {
    let archive = store.open().await;
    put(&archive, &key("u-1", 0, 3), b"third").await.expect("it is stored");
    let late = put(&archive, &key("u-1", 0, 2), b"late").await;
    assert!(matches!(late, Err(Error::Outdated(_))), "{late:?}");
    // The same runId again, after another: attempts are counted anew.
    put(&archive, &key("u-1", 9, 1), b"again").await.expect("it is stored");
    let late = put(&archive, &key("u-1", 0, 4), b"late").await;
    assert!(matches!(late, Err(Error::Outdated(_))), "{late:?}");
    assert_eq!(stored(&archive, &key("u-1", 9, 2)).await, Some(checkpoint(1, b"again")));
}

async fn another_run_finds_no_checkpoint_of_the_one_before(store: Store) {
    let archive = store.open().await;
    put(&archive, &key("u-1", 0, 1), b"first").await.expect("it is stored");
    assert_eq!(stored(&archive, &key("u-1", 9, 1)).await, None, "the same runId again");
    let second = AttemptKey { run_id: "2", ..key("u-1", 9, 1) };
    assert_eq!(stored(&archive, &second).await, None);
}

async fn the_final_record_of_a_run_deletes_its_checkpoint_and_takes_no_other(store: Store) {
    let archive = store.open().await;
    // The records say that they began in second 0.
    let began = completed("u-1", 10).began();
    let of = |uid| AttemptKey { began, ..key(uid, 0, 1) };
    for uid in ["u-1", "u-2", "u-3"] {
        put(&archive, &of(uid), b"far").await.expect("it is stored");
    }
    archive.put(&unfinished("u-1", 8)).await.expect("it is put");
    assert!(stored(&archive, &of("u-1")).await.is_some(), "its run goes on");
    archive.put(&completed("u-1", 10)).await.expect("it is put");
    archive.put(&record("u-2", 10, |record| record.summary.reason = Reason::Deleted)).await.expect("it is put");
    for uid in ["u-1", "u-2"] {
        assert_eq!(stored(&archive, &of(uid)).await, None);
        let late = put(&archive, &of(uid), b"late").await;
        assert!(matches!(late, Err(Error::Outdated(_))), "{late:?}");
    }
    assert!(stored(&archive, &of("u-3")).await.is_some());
    assert_eq!(rows(&store).await, 1);
}

async fn the_record_of_an_earlier_run_of_the_same_run_id_leaves_the_checkpoint(store: Store) {
    let archive = store.open().await;
    let before = completed("u-1", 10);
    archive.put(&before).await.expect("it is put");
    let later = AttemptKey { began: before.began() + jiff::SignedDuration::from_secs(5), ..key("u-1", 0, 1) };
    put(&archive, &later, b"far").await.expect("a later run is not over");
    archive.put(&completed("u-1", 11)).await.expect("a late record of the run before is put");
    assert_eq!(stored(&archive, &later).await, Some(checkpoint(1, b"far")));
}

async fn a_checkpoint_that_came_with_the_final_record_or_has_none_is_pruned(store: Store) {
    let archive = store.open().await;
    let began = completed("u-1", 10).began();
    archive.put(&completed("u-1", 10)).await.expect("it is put");
    archive.put(&unfinished("u-2", 10)).await.expect("it is put");
    for uid in ["u-2", "lost"] {
        put(&archive, &AttemptKey { began, ..key(uid, 0, 1) }, b"far").await.expect("it is stored");
    }
    // Two transactions of PostgreSQL that do not see one another.
    meddle(
        &store,
        &format!(
            "INSERT INTO archive_checkpoints (uid, run_id, began, attempt, stored, content_type, content) \
             SELECT 'u-1', run_id, {}, 1, stored, content_type, content FROM archive_checkpoints WHERE uid = 'u-2'",
            began.as_microsecond()
        ),
    )
    .await;
    let for_ever = PruneLimits { older_than: jiff::Timestamp::MIN, keep_at_most: u64::MAX };
    archive.prune(&for_ever).await.expect("it is pruned");
    assert_eq!(rows(&store).await, 2, "that of the run that is over is gone at once");
    // They were stored in second 5.
    archive.prune(&PruneLimits { older_than: second(6), ..for_ever }).await.expect("it is pruned");
    let left = AttemptKey { began, ..key("u-2", 0, 1) };
    assert!(stored(&archive, &left).await.is_some() && rows(&store).await == 1, "that without any record is gone");
}
