//! Results that are too large for a status.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use task_manager::archive::{Archive, Error, Guard, LargeResult};
use tokio::time::sleep;

use crate::openings::meddle;
use crate::stage::{Store, completed, second};

on_all!(
    a_result_reads_back_as_it_was,
    a_result_of_sixteen_mebibytes_is_taken_and_a_byte_more_is_not,
    the_result_of_the_latest_attempt_stays,
    a_content_type_that_is_none_is_refused,
    a_result_may_take_longer_than_a_record_and_meanwhile_the_archive_is_not_down,
);

fn result(attempt: i32, content: &[u8]) -> LargeResult {
    let content_type = "application/octet-stream".into();
    LargeResult { began: second(0), attempt, content_type, content: Arc::new(content.to_vec()), stored_at: second(5) }
}

async fn stored(archive: &Archive) -> Option<LargeResult> {
    archive.result("u-1", "1").await.expect("an answer")
}

async fn a_result_reads_back_as_it_was(store: Store) {
    let archive = store.open().await;
    let bytes: Vec<u8> = (0..=255).collect();
    for content in [bytes.as_slice(), b""] {
        archive.put_result("u-1", "1", &result(1, content)).await.expect("it is stored");
        assert_eq!(stored(&archive).await, Some(result(1, content)));
    }
    archive.put(&completed("u-1", 10)).await.expect("its record may come later");
    assert_eq!(stored(&archive).await, Some(result(1, b"")));
}

async fn a_result_of_sixteen_mebibytes_is_taken_and_a_byte_more_is_not(store: Store) {
    let archive = store.open().await;
    let largest = result(1, &vec![7; 16 << 20]);
    archive.put_result("u-1", "1", &largest).await.expect("it is stored");
    assert!(stored(&archive).await == Some(largest), "it reads back");
    let refused = archive.put_result("u-2", "1", &result(1, &vec![7; (16 << 20) + 1])).await;
    assert!(matches!(refused, Err(Error::TooLarge { bytes: 16_777_217, limit: 16_777_216, .. })), "{refused:?}");
}

async fn the_result_of_the_latest_attempt_stays(store: Store) {
    let archive = store.open().await;
    for (attempt, content) in [(1, b"one"), (3, b"two"), (3, b"six")] {
        archive.put_result("u-1", "1", &result(attempt, content)).await.expect("it is stored");
    }
    let late = archive.put_result("u-1", "1", &result(2, b"late")).await;
    assert!(matches!(late, Err(Error::Outdated(_))), "{late:?}");
    assert_eq!(stored(&archive).await, Some(result(3, b"six")));
    // The same runId again, after another: attempts are counted anew.
    let again = LargeResult { began: second(9), ..result(1, b"again") };
    archive.put_result("u-1", "1", &again).await.expect("it is stored");
    let late = archive.put_result("u-1", "1", &result(4, b"late")).await;
    assert!(matches!(late, Err(Error::Outdated(_))), "{late:?}");
    assert_eq!(stored(&archive).await, Some(again));
}

async fn a_content_type_that_is_none_is_refused(store: Store) {
    let archive = store.open().await;
    for content_type in ["text/plain\r\nX: y".to_owned(), "\0".into(), "x".repeat(300)] {
        let refused = archive.put_result("u-1", "1", &LargeResult { content_type, ..result(1, b"") }).await;
        assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    }
    assert_eq!(stored(&archive).await, None);
}

/// Storing a result takes some seconds: the server sleeps, SQLite counts.
const SLOW_ON_POSTGRES: &str = "CREATE FUNCTION slow() RETURNS trigger AS $$ BEGIN PERFORM pg_sleep(4); RETURN NEW; END $$ \
    LANGUAGE plpgsql; \
    CREATE TRIGGER slow BEFORE INSERT ON archive_results FOR EACH ROW EXECUTE FUNCTION slow()";
const SLOW_ON_SQLITE: &str = "CREATE TRIGGER slow AFTER INSERT ON archive_results BEGIN \
    SELECT count(*) FROM archive_results, (WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 \
    FROM numbers WHERE number < 20000000) SELECT number FROM numbers); END";
const DEADLINE: Duration = Duration::from_secs(1);

async fn a_result_may_take_longer_than_a_record_and_meanwhile_the_archive_is_not_down(store: Store) {
    let guard = Guard::of(store.open_with(DEADLINE).await);
    meddle(&store, if store.url.starts_with("sqlite") { SLOW_ON_SQLITE } else { SLOW_ON_POSTGRES }).await;
    let began = Instant::now();
    let large = result(1, b"large");
    let records = async {
        sleep(Duration::from_millis(200)).await;
        let puts = (0..8).map(async |number| guard.put(&completed(&format!("u-{number}"), number)).await);
        join_all(puts).await
    };
    let (stored, _) = futures::join!(guard.put_result("u-1", "1", &large), records);
    stored.expect("it is stored");
    assert!(began.elapsed() > DEADLINE, "it took {:?}", began.elapsed());
    assert!(guard.is_up());
    guard.put(&completed("after", 1)).await.expect("it is put");
}
