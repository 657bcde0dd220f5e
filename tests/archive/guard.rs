//! Whether an archive takes what it is given is found out, and told.

use harness::{SOON, eventually};
use sqlx::{AnyConnection, Connection, Executor};
use task_manager::archive::{Error, Filter, Guard};

use crate::stage::{Store, completed};

on_both!(
    an_archive_that_refuses_every_record_is_down_until_it_takes_them,
    an_archive_that_refuses_one_record_is_up,
    a_probe_leaves_nothing_behind_and_is_on_no_list,
);

const LOSE: &str = "ALTER TABLE archive_records RENAME TO lost";
const FIND: &str = "ALTER TABLE lost RENAME TO archive_records";

async fn an_archive_that_refuses_every_record_is_down_until_it_takes_them(store: Store) {
    let guard = Guard::of(store.open().await);
    let mut owner = AnyConnection::connect(&store.url).await.expect("a connection");
    owner.execute(LOSE).await.expect("it is renamed");
    let refused = guard.put(&completed("u-1", 1)).await.expect_err("there is no such table");
    assert!(matches!(refused, Error::Refused(_)) && !guard.is_up(), "{refused}");
    let told = guard.trouble().borrow().clone().expect("a sentence");
    assert!(told.contains("archive_records"), "{told}");

    owner.execute(FIND).await.expect("it is renamed");
    let is_put = eventually("it is put", SOON, async || guard.put(&completed("u-1", 1)).await.ok());
    tokio::select! {
        () = guard.watch_over() => {}
        () = is_put => {}
    }
    assert!(guard.is_up());
}

async fn an_archive_that_refuses_one_record_is_up(store: Store) {
    let guard = Guard::of(store.open().await);
    let mut record = completed("u-1", 1);
    record.details.log = Some("x".repeat(5 << 20));
    guard.put(&record).await.expect_err("it is too large");
    assert!(guard.is_up());
}

async fn a_probe_leaves_nothing_behind_and_is_on_no_list(store: Store) {
    let archive = store.open().await;
    for _ in 0..2 {
        archive.probe().await.expect("it takes what it is given");
    }
    assert_eq!(archive.find("").await.expect("an answer"), None);
    // One that ended in its midst.
    let mut left = completed("u-1", 1);
    left.summary.uid = String::new();
    archive.put(&left).await.expect("it is put");
    assert_eq!(archive.count(&Filter::everywhere()).await.expect("a number"), 0);
    archive.probe().await.expect("it takes what it is given");
    assert_eq!(archive.find("").await.expect("an answer"), None);
}
