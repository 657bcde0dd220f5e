//! Whether an archive takes what it is given is found out, and told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use harness::{A_MOMENT, SOON, eventually, stays};
use sqlx::{AnyConnection, Connection, Executor};
use task_manager::archive::{Error, Filter, Guard};
use tokio::time::{sleep, timeout};

use crate::stage::{PATIENT, Store, completed};

on_all!(
    an_archive_that_refuses_every_record_is_down_until_it_takes_them,
    an_archive_that_refuses_one_record_is_up,
    an_archive_that_comes_and_goes_is_trusted_later_each_time,
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

async fn becomes(guard: &Guard, up: bool) {
    let mut trouble = guard.trouble();
    let found = timeout(SOON, trouble.wait_for(|trouble| trouble.is_none() == up)).await;
    found.unwrap_or_else(|_| panic!("it does not become up: {up}")).expect("the guard is there");
}

/// Seconds between the first probe and the second.
const DOUBLED: Duration = Duration::from_secs(2);
/// Far less than the longest pause.
const NOT_LONG: Duration = Duration::from_secs(20);

async fn an_archive_that_comes_and_goes_is_trusted_later_each_time(store: Store) {
    let guard = Arc::new(Guard::of(store.open().await));
    let mut owner = AnyConnection::connect(&store.url).await.expect("a connection");
    owner.execute(LOSE).await.expect("it is renamed");
    let watched = tokio::spawn({
        let guard = guard.clone();
        async move { guard.watch_over().await }
    });
    becomes(&guard, false).await;
    owner.execute(FIND).await.expect("it is renamed");
    becomes(&guard, true).await;
    guard.put(&completed("u-1", 1)).await.expect("it is put");

    owner.execute(LOSE).await.expect("it is renamed");
    let began = Instant::now();
    let records: Vec<_> = (0..32).map(|number| completed(&format!("u-{number}"), number)).collect();
    join_all(records.iter().map(|record| guard.put(record))).await;
    becomes(&guard, false).await;
    owner.execute(FIND).await.expect("it is renamed");
    becomes(&guard, true).await;
    let took = began.elapsed();
    assert!((DOUBLED..NOT_LONG).contains(&took), "it is up again after {took:?}");
    watched.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_too_busy_for_one_record_is_not_down() {
    let store = Store::postgres().await;
    let guard = Guard::of(store.open_with(Duration::from_secs(2)).await);
    guard.put(&completed("held-1", 1)).await.expect("it is put");
    let mut other = AnyConnection::connect(&store.url).await.expect("a connection");
    let mut held = other.begin().await.expect("a transaction");
    held.execute("SELECT * FROM archive_records FOR UPDATE").await.expect("the record is held");
    let (late, record) = (completed("held-1", 2), completed("u-2", 2));
    let (late, taken) = futures::join!(guard.put(&late), guard.put(&record));
    taken.expect("it is put");
    assert!(matches!(&late, Err(Error::Down(_))), "{late:?}");
    assert!(guard.is_up(), "it takes records");
}

/// Records that wait for the archive at once: more than can be stored within its deadline.
const WAITING: i64 = 400;
/// The times for which another process holds the file and leaves it, again and again.
const HELD: Duration = Duration::from_millis(400);
const LEFT: Duration = Duration::from_millis(150);

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_another_held_for_long_is_up_again_while_the_other_keeps_writing() {
    let store = Store::sqlite();
    let guard = Guard::of(store.open_with(Duration::from_secs(2)).await);
    let mut other = AnyConnection::connect(&store.url).await.expect("a connection");
    let held = other.begin_with("BEGIN IMMEDIATE").await.expect("the file is held");
    let waiting = (0..WAITING).map(async |number| {
        let record = completed(&format!("u-{number}"), number);
        eventually("it is put", PATIENT, async || guard.put(&record).await.ok()).await;
    });
    let turns = async {
        becomes(&guard, false).await;
        stays("it is down", A_MOMENT, async || !guard.is_up()).await;
        held.rollback().await.expect("the file is free");
        becomes(&guard, true).await;
        let mut writer = AnyConnection::connect(&store.url).await.expect("a connection");
        let writes = async {
            loop {
                let held = writer.begin_with("BEGIN IMMEDIATE").await.expect("the file is held");
                sleep(HELD).await;
                held.rollback().await.expect("the file is free");
                sleep(LEFT).await;
            }
        };
        tokio::select! {
            () = writes => {}
            () = becomes(&guard, false) => {}
        }
    };
    tokio::select! {
        () = guard.watch_over() => {}
        () = turns => panic!("it is down again: {:?}", *guard.trouble().borrow()),
        _ = join_all(waiting) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn that_a_file_was_moved_away_is_told_and_what_is_owed_is_put_when_it_is_back() {
    let store = Store::sqlite();
    let guard = Guard::of(store.open().await);
    guard.put(&completed("u-1", 1)).await.expect("it is put");
    std::fs::rename(store.file(), store.folder().join("moved.db")).expect("it is moved");
    guard.put(&completed("u-2", 2)).await.expect_err("nobody would find it");
    let told = guard.trouble().borrow().clone().expect("a sentence");
    assert!(told.contains("archive.db is not the one that was opened"), "{told}");
    std::fs::rename(store.folder().join("moved.db"), store.file()).expect("it is back");
    let is_put = eventually("it is put", SOON, async || guard.put(&completed("u-2", 2)).await.ok());
    tokio::select! {
        () = guard.watch_over() => {}
        () = is_put => {}
    }
    let found = store.open().await.find("u-2").await.expect("an answer");
    assert_eq!((guard.is_up(), found), (true, Some(completed("u-2", 2))));
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
    assert_eq!(archive.count(&Filter::default()).await.expect("a number").many, 0);
    archive.probe().await.expect("it takes what it is given");
    assert_eq!(archive.find("").await.expect("an answer"), None);
}
