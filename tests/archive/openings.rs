//! An archive is opened: for the first time, again, by several at once, and where it cannot be.

use std::time::Duration;

use futures::future::join_all;
use harness::{PgBouncer, Postgres, open_archive};
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use task_manager::archive::{Archive, Error, Options};

use crate::crashes::{Writer, are_there};
use crate::stage::{Store, completed};

on_all!(
    an_archive_that_is_opened_again_has_what_was_put,
    an_archive_may_be_opened_by_many_at_once,
    an_archive_may_be_opened_by_several_processes_at_once,
    the_first_call_prepares_what_nobody_has_prepared,
    tables_of_another_make_are_refused,
    tables_of_a_newer_version_are_used,
);

async fn an_archive_that_is_opened_again_has_what_was_put(store: Store) {
    store.open().await.put(&completed("u-1", 10)).await.expect("it is put");
    let again = store.open().await;
    assert_eq!(again.find("u-1").await.expect("an answer"), Some(completed("u-1", 10)));
    again.probe().await.expect("it answers");
}

async fn an_archive_may_be_opened_by_many_at_once(store: Store) {
    let archives = join_all((0..8).map(|_| store.open())).await;
    let puts = archives.iter().zip(0..).map(async |(archive, number)| {
        archive.put(&completed(&format!("u-{number}"), number)).await.expect("it is put");
    });
    join_all(puts).await;
    are_there(&archives[0], &(0..8).map(|number| format!("u-{number}")).collect::<Vec<_>>()).await;
}

async fn an_archive_may_be_opened_by_several_processes_at_once(store: Store) {
    let mut writers: Vec<_> = (0..4).map(|number| Writer::new(store.writer(&format!("process{number}")))).collect();
    let mut uids = vec![];
    for writer in &mut writers {
        uids.extend(writer.acknowledged(5).await);
    }
    are_there(&store.open().await, &uids).await;
}

async fn the_first_call_prepares_what_nobody_has_prepared(store: Store) {
    let options = Options { deadline: crate::stage::PATIENT, ..Options::default() };
    let archive = Archive::at(&store.url, &options).expect("a URL");
    archive.put(&completed("u-1", 10)).await.expect("it is put");
    assert_eq!(archive.find("u-1").await.expect("an answer"), Some(completed("u-1", 10)));
}

/// Somebody else does something to the database.
pub async fn meddle(store: &Store, sql: &str) {
    let mut connection = AnyConnection::connect(&store.url).await.expect("a connection");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("it is done");
    connection.close().await.expect("it closes");
}

async fn tables_of_another_make_are_refused(store: Store) {
    drop(store.open().await);
    meddle(&store, "UPDATE archive_migrations SET digest = 'another'").await;
    let refused = open_archive(&store.url, &Options::default()).await.expect_err("it is refused");
    assert!(matches!(&refused, Error::Refused(told) if told.contains("version 1")), "{refused}");
}

async fn tables_of_a_newer_version_are_used(store: Store) {
    drop(store.open().await);
    meddle(&store, "INSERT INTO archive_migrations (version, digest) VALUES (99, 'newer')").await;
    store.open().await.put(&completed("u-1", 10)).await.expect("it is put");
}

async fn refused(url: &str) -> Error {
    open_archive(url, &Options { deadline: Duration::from_secs(20), ..Options::default() }).await.expect_err(url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_of_another_kind_is_refused_with_what_to_write() {
    let told = refused("mysql://db/tasks").await.to_string();
    assert!(told.contains("write sqlite:///") && told.contains("postgres://"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_written_is_named() {
    let store = Store::sqlite();
    let folder = store.folder();
    std::fs::write(folder.join("file"), "").expect("a file");
    let missing = folder.join("missing").join("archive.db");
    let below_a_file = folder.join("file").join("archive.db");
    for (path, why) in [
        (missing, "missing cannot be written: No such file or directory"),
        (below_a_file, "file cannot be written: Not a directory"),
        // Not even root may write there.
        ("/proc/archive.db".into(), "/proc cannot be written"),
    ] {
        let told = refused(&format!("sqlite://{}", path.display())).await;
        assert!(matches!(&told, Error::Refused(text) if text.contains(why)), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_database_is_left_as_it_is() {
    let store = Store::sqlite();
    let file = store.folder().join("archive.db");
    let text = "my diary\n".repeat(1000);
    std::fs::write(&file, &text).expect("a file");
    let told = refused(&store.url).await;
    assert!(matches!(told, Error::Corrupt(_)), "{told}");
    assert!(std::fs::read_to_string(&file).expect("the file") == text, "the file was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_nobody_serves_is_down() {
    let told = refused("postgres://postgres@127.0.0.1:1/tasks").await;
    assert!(matches!(&told, Error::Down(text) if text.contains("refused")), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_or_a_user_that_does_not_exist_is_refused_by_name() {
    let server = Postgres::shared().await;
    for (url, why) in [
        (server.url("nowhere"), "database \"nowhere\" does not exist"),
        (server.url("postgres").replace("postgres@", "nobody@"), "role \"nobody\" does not exist"),
    ] {
        let told = refused(&url).await;
        assert!(matches!(&told, Error::Refused(text) if text.contains(why)), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_hold_every_text_is_refused() {
    let url = Postgres::shared().await.database_with("ENCODING 'LATIN1' TEMPLATE template0").await;
    let told = refused(&url).await;
    assert!(matches!(&told, Error::Refused(text) if text.contains("LATIN1")), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_is_not_set_up_for_the_driver_is_refused_with_the_setting_that_it_lacks() {
    let told = refused(&PgBouncer::as_installed().await).await.to_string();
    assert!(told.contains("ignore_startup_parameters = extra_float_digits"), "{told}");
}
