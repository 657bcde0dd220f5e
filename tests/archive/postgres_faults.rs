//! Faults of a database server.

use std::time::{Duration, Instant};

use harness::{Postgres, SOON, eventually};
use task_manager::archive::{Archive, Error, Options};

use crate::crashes::are_there;
use crate::stage::{PATIENT, completed};

const DEADLINE: Duration = Duration::from_secs(2);

async fn open(url: &str) -> Archive {
    let archive = Archive::at(url, &Options { deadline: DEADLINE, ..Options::default() }).expect("a URL");
    eventually("the archive is open", SOON, async || archive.prepare().await.ok()).await;
    archive
}

/// It says so itself, long before anybody who calls it loses patience.
async fn is_down(archive: &Archive) -> String {
    let began = Instant::now();
    let told = archive.put(&completed("down-1", 1)).await.expect_err("it is down");
    assert!(matches!(told, Error::Down(_)), "{told}");
    assert!(began.elapsed() < PATIENT, "only after {:?}", began.elapsed());
    told.to_string()
}

async fn works_again(archive: &Archive) {
    eventually("it works again", SOON, async || archive.put(&completed("again-1", 1)).await.ok()).await;
    are_there(archive, &["again-1".into()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_stopped_is_down_and_is_found_again() {
    let server = Postgres::start().await;
    let archive = open(&server.database().await).await;
    archive.put(&completed("before-1", 1)).await.expect("it is put");
    for _ in 0..2 {
        server.stop().await;
        let told = is_down(&archive).await;
        assert!(told.contains("onnection"), "{told}");
        server.start_again().await;
        works_again(&archive).await;
    }
    are_there(&archive, &["before-1".into()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_whose_server_is_down_from_the_start_is_used_when_it_comes() {
    let server = Postgres::start().await;
    let url = server.database().await;
    server.stop().await;
    let archive = Archive::at(&url, &Options::default()).expect("a URL");
    is_down(&archive).await;
    server.start_again().await;
    works_again(&archive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_is_down_within_the_deadline_for_all_at_once() {
    let server = Postgres::start().await;
    let archive = open(&server.database().await).await;
    archive.put(&completed("before-1", 1)).await.expect("it is put");
    server.freeze().await;
    let many = (0..30).map(|_| is_down(&archive));
    futures::future::join_all(many).await;
    is_down(&archive).await;
    server.thaw().await;
    works_again(&archive).await;
    are_there(&archive, &["before-1".into()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_die_idle_are_not_noticed_by_callers() {
    let server = Postgres::start().await;
    let archive = open(&server.database().await).await;
    futures::future::join_all((0..20).map(|_| archive.probe())).await;
    server
        .execute(
            "postgres",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'task-manager'",
        )
        .await;
    archive.put(&completed("after-1", 1)).await.expect("it is put");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_the_death_of_the_server() {
    let server = Postgres::start().await;
    let archive = open(&server.database().await).await;
    let mut acknowledged = vec![];
    for life in 0..3 {
        let puts = (0..400).map(|number| {
            let archive = archive.clone();
            let uid = format!("life{life}-{number}");
            tokio::spawn(async move { archive.put(&completed(&uid, number)).await.ok().map(|()| uid) })
        });
        let puts: Vec<_> = puts.collect();
        eventually("some are put", SOON, async || archive.find(&format!("life{life}-3")).await.ok().flatten()).await;
        server.stop().await;
        for put in puts {
            acknowledged.extend(put.await.expect("it runs"));
        }
        server.start_again().await;
        works_again(&archive).await;
        are_there(&archive, &acknowledged).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_another_holds_is_down_only_so_long() {
    use sqlx::Connection;
    let server = Postgres::shared().await;
    let url = server.database().await;
    let archive = open(&url).await;
    let mut other = sqlx::PgConnection::connect(&url).await.expect("a connection");
    let mut held = other.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE archive_records").execute(&mut *held).await.expect("the table is held");
    is_down(&archive).await;
    held.rollback().await.expect("the table is free");
    works_again(&archive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_read_a_record_is_put() {
    use sqlx::Connection;
    let server = Postgres::shared().await;
    let url = server.database().await;
    let archive = open(&url).await;
    let mut other = sqlx::PgConnection::connect(&url).await.expect("a connection");
    let mut held = other.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE archive_results").execute(&mut *held).await.expect("the table is held");
    let reads = (0..100).map(async |number| archive.result(&format!("u-{number}"), "1").await);
    let mut reads = Box::pin(futures::future::join_all(reads));
    // None of them is answered; this has them begin.
    assert!(futures::poll!(&mut reads).is_pending());
    let record = completed("u-1", 1);
    let put = tokio::select! {
        biased;
        _ = &mut reads => panic!("nothing can be read"),
        put = archive.put(&record) => put,
    };
    put.expect("it is put");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_takes_no_writes_is_down_until_it_does() {
    let server = Postgres::shared().await;
    let url = server.database().await;
    let name = url.rsplit('/').next().expect("a name").to_owned();
    drop(open(&url).await);
    server.execute("postgres", &format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    let archive = Archive::at(&url, &Options { deadline: DEADLINE, ..Options::default() }).expect("a URL");
    is_down(&archive).await;
    server.execute("postgres", &format!("ALTER DATABASE {name} SET default_transaction_read_only = off")).await;
    works_again(&archive).await;
}

/// The name of a database.
fn name(url: &str) -> &str {
    url.rsplit('/').next().expect("a name")
}

/// Now `other` answers where `url` leads; its connections end.
async fn takes_the_place_of(other: &str, url: &str, server: &Postgres) {
    for (from, to) in [(name(url), "away"), (name(other), name(url))] {
        let ends = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{from}'");
        server.execute("postgres", &format!("{ends}; ALTER DATABASE {from} RENAME TO {to}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_behind_the_same_url_is_noticed_and_read_anew() {
    for is_empty in [false, true] {
        let server = Postgres::start().await;
        let (url, other) = (server.database().await, server.database().await);
        let archive = open(&url).await;
        archive.put(&completed("before-1", 1)).await.expect("it is put");
        let id = || archive.identity().own().borrow().clone().expect("an id");
        let before = id();
        if !is_empty {
            drop(open(&other).await);
        }
        takes_the_place_of(&other, &url, &server).await;
        let told = archive.probe().await.expect_err("it is noticed");
        assert!(is_empty || told.to_string().contains("another database answers"), "{told}");
        eventually("it takes records", SOON, async || archive.probe().await.ok()).await;
        assert_ne!(id(), before, "the replicas are told by this that it is not the agreed one");
        assert_eq!(archive.find("before-1").await.expect("an answer"), None);
    }
}
