//! A backup is made while a writer goes on, by the database's own means, and is restored into another place: it has all
//! that was acknowledged before it began, and is the same archive.

use harness::{Postgres, open_archive};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use task_manager::archive::{Archive, Options};
use tokio::process::Command;

use crate::crashes::{Writer, are_there};
use crate::stage::{PATIENT, Store, completed};

/// Enough for some to come in while the backup is made.
const BEFORE: usize = 200;

async fn open(url: &str) -> Archive {
    open_archive(url, &Options { deadline: PATIENT, ..Options::default() }).await.expect("the archive opens")
}

/// It has these records, is the archive that `original` is, and can be written.
async fn is_restored(restored: &Archive, original: &Archive, uids: &[String]) {
    are_there(restored, uids).await;
    let (one, other) = (restored.identity().own(), original.identity().own());
    assert_eq!(*one.borrow(), *other.borrow(), "its id goes with it");
    restored.put(&completed("afterwards-1", 1)).await.expect("it is put");
    are_there(restored, &["afterwards-1".into()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_sqlite_makes_while_the_archive_is_written_is_a_backup() {
    let store = Store::sqlite();
    let mut writer = Writer::new(store.writer("busy"));
    let uids = writer.acknowledged(BEFORE).await;
    let copy = store.folder().join("backup.db");
    let mut connection = SqliteConnection::connect(&store.url).await.expect("a connection");
    let vacuum = format!("PRAGMA busy_timeout = 20000; VACUUM INTO '{}'", copy.display());
    sqlx::raw_sql(AssertSqlSafe(vacuum)).execute(&mut connection).await.expect("the copy is made");
    writer.acknowledged(1).await;
    writer.kill().await;
    is_restored(&open(&format!("sqlite:{}", copy.display())).await, &store.open().await, &uids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_sqlite_copied_together_while_nobody_has_them_open_are_a_backup() {
    let store = Store::sqlite();
    let mut writer = Writer::new(store.writer("killed"));
    let mut uids = writer.acknowledged(BEFORE).await;
    // What was acknowledged last is in the write-ahead log alone.
    uids.extend(writer.kill().await);
    let copy = store.folder().join("copy");
    std::fs::create_dir(&copy).expect("a folder");
    for end in ["", "-wal", "-shm"] {
        let file = format!("archive.db{end}");
        let copied = std::fs::copy(store.folder().join(&file), copy.join(&file));
        assert!(copied.is_ok() || end == "-shm", "{file}: {copied:?}");
    }
    is_restored(&open(&format!("sqlite:{}/archive.db", copy.display())).await, &store.open().await, &uids).await;
}

async fn run(command: &mut Command) {
    let done = command.output().await.expect("it can be started");
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_of_postgresql_made_while_the_archive_is_written_is_a_backup() {
    let server = Postgres::shared().await;
    let store = Store::postgres().await;
    let mut writer = Writer::new(store.writer("busy"));
    let uids = writer.acknowledged(BEFORE).await;
    let file = std::env::temp_dir().join(format!("task-manager-{}.dump", std::process::id()));
    run(Postgres::program("pg_dump").args(["--format=custom", "--dbname", &store.url, "--file"]).arg(&file)).await;
    writer.acknowledged(1).await;
    writer.kill().await;
    let restored = server.database().await;
    run(Postgres::program("pg_restore").args(["--no-owner", "--dbname", &restored]).arg(&file)).await;
    std::fs::remove_file(&file).expect("removed");
    is_restored(&open(&restored).await, &store.open().await, &uids).await;
}
