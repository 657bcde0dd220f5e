//! Records that are too old or too many are deleted, and no others.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AnyConnection, Connection, Executor};
use task_manager::archive::{Archive, AttemptKey, Filter, LargeResult, PruneLimits};

use crate::stage::{Store, completed, put_all, second, unfinished};

on_all!(
    records_that_are_too_old_are_forgotten,
    of_too_many_records_the_oldest_are_forgotten,
    more_than_a_batch_is_forgotten_at_once,
    results_are_forgotten_with_their_records,
    a_result_whose_record_never_came_is_forgotten_when_it_is_old,
    the_logs_of_the_last_ten_attempts_are_kept_and_forgotten_with_their_record,
);

const FOR_EVER: PruneLimits = PruneLimits { older_than: jiff::Timestamp::MIN, keep_at_most: u64::MAX };

async fn with_records(store: &Store, many: i64) -> Archive {
    let archive = store.open().await;
    let records: Vec<_> = (0..many).map(|number| completed(&format!("u-{number}"), number)).collect();
    put_all(&archive, &records).await;
    archive
}

async fn left(archive: &Archive) -> Vec<String> {
    let page = archive.list(&Filter::default(), None, 1000).await.expect("a list");
    page.items.into_iter().map(|item| item.uid).collect()
}

async fn forgotten(archive: &Archive, retention: PruneLimits) -> u64 {
    archive.prune(&retention).await.expect("it is pruned")
}

async fn records_that_are_too_old_are_forgotten(store: Store) {
    let archive = with_records(&store, 10).await;
    archive.put(&unfinished("running", 2)).await.expect("it is put");
    assert_eq!(forgotten(&archive, FOR_EVER).await, 0);
    assert_eq!(forgotten(&archive, PruneLimits { older_than: second(7), ..FOR_EVER }).await, 8);
    assert_eq!(left(&archive).await, ["u-9", "u-8", "u-7"]);
    assert_eq!(forgotten(&archive, PruneLimits { older_than: second(7), ..FOR_EVER }).await, 0);
}

async fn of_too_many_records_the_oldest_are_forgotten(store: Store) {
    let archive = with_records(&store, 10).await;
    assert_eq!(forgotten(&archive, PruneLimits { keep_at_most: 10, ..FOR_EVER }).await, 0);
    assert_eq!(forgotten(&archive, PruneLimits { keep_at_most: 2, ..FOR_EVER }).await, 8);
    assert_eq!(left(&archive).await, ["u-9", "u-8"]);
    assert_eq!(forgotten(&archive, PruneLimits { older_than: second(9), keep_at_most: 2 }).await, 1);
    assert_eq!(forgotten(&archive, PruneLimits { keep_at_most: 0, ..FOR_EVER }).await, 1);
    assert!(left(&archive).await.is_empty());
}

async fn more_than_a_batch_is_forgotten_at_once(store: Store) {
    let archive = with_records(&store, 1203).await;
    assert_eq!(forgotten(&archive, PruneLimits { keep_at_most: 1, ..FOR_EVER }).await, 1202);
    assert_eq!(left(&archive).await, ["u-1202"]);
}

async fn put_result(archive: &Archive, uid: &str, stored: i64) {
    let content = Arc::new(b"large".to_vec());
    let (content_type, stored_at) = ("text/plain".into(), second(stored));
    let result = LargeResult { began: second(0), attempt: 1, content_type, content, stored_at };
    archive.put_result(uid, "1", &result).await.expect("it is stored");
}

async fn has_result(archive: &Archive, uid: &str) -> bool {
    archive.result(uid, "1").await.expect("an answer").is_some()
}

async fn results_are_forgotten_with_their_records(store: Store) {
    let archive = with_records(&store, 2).await;
    put_result(&archive, "u-0", 50).await;
    put_result(&archive, "u-1", 50).await;
    assert_eq!(forgotten(&archive, PruneLimits { keep_at_most: 1, ..FOR_EVER }).await, 1);
    assert!(!has_result(&archive, "u-0").await && has_result(&archive, "u-1").await);
}

async fn a_result_whose_record_never_came_is_forgotten_when_it_is_old(store: Store) {
    let archive = with_records(&store, 1).await;
    put_result(&archive, "u-0", 10).await;
    put_result(&archive, "lost", 10).await;
    put_result(&archive, "running", 30).await;
    let kept = completed("u-0", 30);
    archive.put(&kept).await.expect("it is put");
    assert_eq!(forgotten(&archive, PruneLimits { older_than: second(20), ..FOR_EVER }).await, 0);
    assert!(!has_result(&archive, "lost").await);
    assert!(has_result(&archive, "u-0").await && has_result(&archive, "running").await);
}

async fn the_logs_of_the_last_ten_attempts_are_kept_and_forgotten_with_their_record(store: Store) {
    let archive = with_records(&store, 2).await;
    let key = |uid, began, attempt| AttemptKey { uid, run_id: "1", began: second(began), attempt };
    for attempt in 1..=12 {
        let log = format!("attempt {attempt}: any \0 text\n");
        archive.put_log(&key("u-0", 0, attempt), &log, second(50)).await.expect("it is kept");
    }
    archive.put_log(&key("u-0", 7, 1), "of another run", second(50)).await.expect("it is kept");
    let log = async |began, attempt| archive.log(&key("u-0", began, attempt)).await.expect("an answer");
    assert_eq!((log(0, 2).await, log(0, 3).await.as_deref()), (None, Some("attempt 3: any \0 text")));
    assert_eq!(log(0, 12).await.as_deref(), Some("attempt 12: any \0 text"));
    assert_eq!(log(7, 1).await.as_deref(), Some("of another run"), "under a runId that is used again");
    archive.put_log(&key("lost", 0, 1), "a", second(10)).await.expect("it is kept");
    assert_eq!(forgotten(&archive, PruneLimits { older_than: second(1), keep_at_most: 1 }).await, 1);
    assert_eq!(log(0, 12).await, None);
    forgotten(&archive, PruneLimits { older_than: second(20), ..FOR_EVER }).await;
    assert_eq!(archive.log(&key("lost", 0, 1)).await.expect("an answer"), None);
}

/// As deleting large results is slow, or more of it.
const SLOW: &str = "CREATE FUNCTION slow() RETURNS trigger AS $$ BEGIN PERFORM pg_sleep(0.2); RETURN OLD; END $$ \
    LANGUAGE plpgsql; \
    CREATE TRIGGER slow BEFORE DELETE ON archive_records FOR EACH ROW EXECUTE FUNCTION slow(); \
    CREATE TRIGGER slow BEFORE DELETE ON archive_results FOR EACH ROW EXECUTE FUNCTION slow()";

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_forgotten_within_the_deadline_is_forgotten_in_smaller_parts() {
    let store = Store::postgres().await;
    let archive = with_records(&store, 12).await;
    for number in 0..12 {
        put_result(&archive, &format!("u-{number}"), 5).await;
    }
    let mut owner = AnyConnection::connect(&store.url).await.expect("a connection");
    owner.execute(sqlx::raw_sql(SLOW)).await.expect("it is slow");
    // Twelve of them take longer.
    let hasty = store.open_with(Duration::from_secs(2)).await;
    assert_eq!(forgotten(&hasty, PruneLimits { keep_at_most: 0, ..FOR_EVER }).await, 12);
    assert!(left(&archive).await.is_empty() && !has_result(&archive, "u-0").await);
}
