//! Faults of a database file.

use std::path::Path;
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use harness::{A_MOMENT, SOON, eventually, open_archive};
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use task_manager::archive::{Archive, Error, Options};
use tokio::process::Command;
use tokio::time::timeout;

use crate::crashes::{Writer, are_there};
use crate::stage::{PATIENT, Store, completed};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_another_holds_is_down_for_writers_alone_and_only_so_long() {
    let store = Store::sqlite();
    let archive = store.open_with(Duration::from_secs(2)).await;
    archive.put(&completed("u-1", 1)).await.expect("it is put");

    let mut other = AnyConnection::connect(&store.url).await.expect("a connection");
    let held = other.begin_with("BEGIN IMMEDIATE").await.expect("the file is held");
    let told = archive.put(&completed("u-2", 2)).await.expect_err("the file is held");
    assert!(matches!(&told, Error::Down(_)), "{told}");
    assert_eq!(archive.find("u-1").await.expect("an answer"), Some(completed("u-1", 1)));

    held.rollback().await.expect("the file is free");
    eventually("it is put", SOON, async || archive.put(&completed("u-2", 2)).await.ok()).await;
}

/// The file was moved, removed or replaced: nothing is taken that nobody would find, and then it goes on.
async fn goes_on_with_what_is_there(store: &Store, archive: &Archive) {
    is_gone(&archive.put(&completed("new-1", 1)).await.expect_err("nobody would find it"));
    archive.put(&completed("new-1", 1)).await.expect("it is put");
    are_there(&store.open().await, &["new-1".into()]).await;
}

fn is_gone(told: &Error) {
    assert!(matches!(told, Error::Down(text) if text.contains("moved, removed or replaced")), "{told}");
}

async fn knows(archive: &Archive, uid: &str) -> bool {
    archive.find(uid).await.expect("an answer").is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_moved_away_is_complete_and_is_used_again_when_it_is_back() {
    let store = Store::sqlite();
    let archive = store.open().await;
    archive.put(&completed("old-1", 1)).await.expect("it is put");
    let moved = store.folder().join("moved.db");
    std::fs::rename(store.file(), &moved).expect("it is moved");
    is_gone(&archive.put(&completed("new-1", 1)).await.expect_err("nobody would find it"));
    stays_gone(&store, &archive).await;

    // A copy: SQLite itself cannot bear that an open file is moved.
    let copy = store.folder().join("copy.db");
    std::fs::copy(&moved, &copy).expect("a copy");
    let options = Options { deadline: PATIENT, ..Options::default() };
    let copy = open_archive(&format!("sqlite://{}", copy.display()), &options).await.expect("it opens");
    are_there(&copy, &["old-1".into()]).await;
    assert!(!knows(&copy, "new-1").await);
    std::fs::rename(&moved, store.file()).expect("it is back");
    archive.put(&completed("new-1", 1)).await.expect("it is put");
    are_there(&store.open().await, &["old-1".into(), "new-1".into()]).await;
}

/// No empty archive takes the place of the one that is gone.
async fn stays_gone(store: &Store, archive: &Archive) {
    for _ in 0..2 {
        let told = archive.put(&completed("new-1", 1)).await.expect_err("there is no archive");
        assert!(matches!(&told, Error::Down(text) if text.contains("is gone; put it back")), "{told}");
    }
    assert!(!store.file().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_removed_is_made_anew_only_by_who_begins() {
    let store = Store::sqlite();
    let archive = store.open().await;
    archive.put(&completed("old-1", 1)).await.expect("it is put");
    assert!(knows(&archive, "old-1").await, "it is open for reading too");
    for file in std::fs::read_dir(store.folder()).expect("a folder") {
        std::fs::remove_file(file.expect("a file").path()).expect("it is removed");
    }
    is_gone(&archive.put(&completed("new-1", 1)).await.expect_err("nobody would find it"));
    stays_gone(&store, &archive).await;
    store.open().await.put(&completed("new-1", 1)).await.expect("it is put");
    assert!(knows(&archive, "new-1").await && !knows(&archive, "old-1").await, "one file for all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_takes_the_files_place_is_used() {
    let store = Store::sqlite();
    let archive = store.open().await;
    archive.put(&completed("old-1", 1)).await.expect("it is put");
    let backup = store.folder().join("backup.db");
    let mut other = AnyConnection::connect(&store.url).await.expect("a connection");
    let backed_up = format!("VACUUM INTO '{}'", backup.display());
    sqlx::raw_sql(AssertSqlSafe(backed_up)).execute(&mut other).await.expect("a backup");
    other.close().await.expect("it closes");
    archive.put(&completed("lost-1", 1)).await.expect("it is put");

    std::fs::rename(&backup, store.file()).expect("it is restored");
    goes_on_with_what_is_there(&store, &archive).await;
    assert_eq!((knows(&archive, "old-1").await, knows(&archive, "lost-1").await), (true, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_goes_into_a_file_while_that_is_moved_away_is_not_taken() {
    let store = Store::sqlite();
    let archive = store.open().await;
    let mut other = AnyConnection::connect(&store.url).await.expect("a connection");
    let held = other.begin_with("BEGIN IMMEDIATE").await.expect("the file is held");
    let record = completed("old-1", 1);
    let mut put = pin!(archive.put(&record));
    timeout(A_MOMENT, put.as_mut()).await.expect_err("the file is held");
    std::fs::rename(store.file(), store.folder().join("moved.db")).expect("it is moved");
    held.rollback().await.expect("the file is free");
    is_gone(&put.await.expect_err("it is in the file that was moved"));
}

/// Puts into a folder of three mebibytes, most of which is taken by a file `filler`. Others see the folder under
/// /proc only: it is mounted for the writer alone.
fn writer_on_a_small_disk(store: &Store) -> tokio::process::Child {
    const SCRIPT: &str =
        r#"mount -t tmpfs -o size=3m small "$1" && head -c 2m /dev/zero >"$1/filler" && exec "$2" "$3" full"#;
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    Command::new("unshare")
        .args(if is_root { &["--mount"][..] } else { &["--mount", "--map-root-user"] })
        .args(["sh", "-c", SCRIPT, "sh"])
        .arg(store.folder())
        .args([env!("CARGO_BIN_EXE_archive-writer"), &store.url])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("unshare can be started")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_when_there_is_room_again_it_goes_on() {
    let store = Store::sqlite();
    let child = writer_on_a_small_disk(&store);
    let process = child.id().expect("it runs");
    let mut writer = Writer::new(child);
    writer.acknowledged(1).await;
    let full = loop {
        let line = writer.line().await.expect("it goes on");
        if !line.starts_with("put ") {
            break line;
        }
    };
    assert!(full.starts_with("full: the archive has no room left"), "{full}");

    let folder = Path::new("/proc")
        .join(process.to_string())
        .join("root")
        .join(store.folder().strip_prefix("/").expect("absolute"));
    std::fs::remove_file(folder.join("filler")).expect("room is made");
    assert_eq!(writer.acknowledged(10).await.len(), 10);
}
