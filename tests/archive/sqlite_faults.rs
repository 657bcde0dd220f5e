//! What can go wrong with a file.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use harness::{SOON, eventually};
use sqlx::{AnyConnection, Connection};
use task_manager::archive::Error;
use tokio::process::Command;

use crate::crashes::Writer;
use crate::stage::{Store, completed};

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
