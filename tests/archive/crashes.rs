//! A writer may be killed at any moment: every acknowledged record is there, and the next writer continues.

use harness::records::completed;
use task_manager::archive::{Archive, Filter};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

use crate::stage::{PATIENT, Store};

on_all!(
    what_was_acknowledged_survives_the_death_of_the_writer,
    what_was_acknowledged_is_seen_by_others_at_once,
    calls_that_are_given_up_leave_the_archive_usable,
);

/// A writer, and the lines that it writes.
pub struct Writer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Writer {
    pub fn new(mut child: Child) -> Self {
        let lines = BufReader::new(child.stdout.take().expect("its lines")).lines();
        Self { child, lines }
    }

    pub async fn line(&mut self) -> Option<String> {
        timeout(PATIENT, self.lines.next_line()).await.expect("it says something").expect("a line")
    }

    /// The next so many that were acknowledged.
    pub async fn acknowledged(&mut self, many: usize) -> Vec<String> {
        let mut uids = vec![];
        while uids.len() < many {
            let line = self.line().await.expect("it goes on");
            uids.extend(line.strip_prefix("put ").map(str::to_owned));
        }
        uids
    }

    /// SIGKILL. Returns what was acknowledged and not read yet.
    pub async fn kill(mut self) -> Vec<String> {
        self.child.kill().await.expect("it can be killed");
        let mut uids = vec![];
        while let Some(line) = self.line().await {
            uids.extend(line.strip_prefix("put ").map(str::to_owned));
        }
        uids
    }
}

/// Each of these is there, as the writer made it.
pub async fn are_there(archive: &Archive, uids: &[String]) {
    for uid in uids {
        let number = uid.rsplit('-').next().and_then(|number| number.parse().ok()).expect("a number");
        let found = archive.find(uid).await.expect("an answer");
        assert_eq!(found, Some(completed(uid, number)), "{uid} was acknowledged");
    }
}

async fn what_was_acknowledged_survives_the_death_of_the_writer(store: Store) {
    let mut acknowledged = vec![];
    for life in 0..6 {
        let mut writer = Writer::new(store.writer(&format!("life{life}")));
        acknowledged.extend(writer.acknowledged(10 + 7 * life).await);
        acknowledged.extend(writer.kill().await);
        are_there(&store.open().await, &acknowledged).await;
    }
    let archive = store.open().await;
    let there = archive.count(&Filter::default()).await.expect("a count").many;
    // One of each life may have come in without being acknowledged.
    assert!(there >= acknowledged.len() as u64 && there <= acknowledged.len() as u64 + 6, "{there} are there");
}

async fn what_was_acknowledged_is_seen_by_others_at_once(store: Store) {
    let archive = store.open().await;
    let mut writer = Writer::new(store.writer("other"));
    for _ in 0..20 {
        let uids = writer.acknowledged(1).await;
        are_there(&archive, &uids).await;
    }
    writer.kill().await;
}

async fn calls_that_are_given_up_leave_the_archive_usable(store: Store) {
    let archive = store.open().await;
    for number in 0..100 {
        let record = completed(&format!("given-up-{number}"), number);
        let put = tokio::spawn({
            let archive = archive.clone();
            async move { archive.put(&record).await }
        });
        for _ in 0..number {
            tokio::task::yield_now().await;
        }
        put.abort();
        let _ = put.await;
    }
    archive.put(&completed("last-7", 7)).await.expect("it is put");
    are_there(&archive, &["last-7".into()]).await;
}
