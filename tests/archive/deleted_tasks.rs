//! The records of deleted tasks are written before the operator has ended.

use std::sync::Arc;

use harness::task;
use jiff::Timestamp;
use sqlx::{AnyConnection, Connection, Executor};
use task_manager::archive::{Filter, Guard};
use task_manager::controller::DeletedTasks;

use crate::stage::Store;

/// As a database far away is.
const SLOW: &str = "CREATE FUNCTION slow() RETURNS trigger AS $$ BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END $$ \
    LANGUAGE plpgsql; \
    CREATE TRIGGER slow BEFORE INSERT ON archive_records FOR EACH ROW EXECUTE FUNCTION slow()";
/// One after the other they take longer than a pod has to end.
const MANY: usize = 320;

#[tokio::test(flavor = "multi_thread")]
async fn many_deleted_tasks_are_recorded_before_the_operator_ends_even_if_that_is_slow() {
    let store = Store::postgres().await;
    let archive = store.open().await;
    let mut owner = AnyConnection::connect(&store.url).await.expect("a connection");
    owner.execute(sqlx::raw_sql(SLOW)).await.expect("it is slow");
    let deleted_tasks = DeletedTasks::new(Arc::new(Guard::of(archive.clone())), Arc::default());
    for number in 0..MANY {
        let mut task = task(&format!("t-{number}"));
        task.metadata.uid = Some(format!("u-{number}"));
        deleted_tasks.take(&task, Timestamp::UNIX_EPOCH);
    }
    assert_eq!(deleted_tasks.drain().await, 0, "of these none is written");
    assert_eq!(archive.count(&Filter::default()).await.expect("a count").many, MANY as u64);
}
