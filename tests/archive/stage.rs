//! Where a test keeps its archive, and records to put into it.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub use harness::records::{completed, second};
use harness::{PgBouncer, Postgres, open_archive, target};
use task_manager::api::{Reason, State};
use task_manager::archive::{Archive, Options, Record};

/// On a machine that has much else to do nothing is late by so little that a test should fail for it.
pub const PATIENT: Duration = Duration::from_secs(60);

/// An empty place for an archive, removed after the test.
pub struct Store {
    pub url: String,
    /// A pooler is in between.
    pub is_pooled: bool,
    folder: Option<PathBuf>,
}

impl Store {
    pub fn sqlite() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let folder = target().join("archives").join(name);
        std::fs::create_dir_all(&folder).expect("a folder for the archive");
        Self { url: format!("sqlite://{}/archive.db", folder.display()), is_pooled: false, folder: Some(folder) }
    }

    pub async fn postgres() -> Self {
        Self { url: Postgres::shared().await.database().await, is_pooled: false, folder: None }
    }

    pub async fn behind_pgbouncer() -> Self {
        Self { url: PgBouncer::shared().await.database().await, is_pooled: true, folder: None }
    }

    /// The folder that holds a file of SQLite.
    pub fn folder(&self) -> PathBuf {
        self.folder.clone().expect("a place of SQLite")
    }

    /// The file of SQLite.
    pub fn file(&self) -> PathBuf {
        self.folder().join("archive.db")
    }

    pub async fn open(&self) -> Archive {
        self.open_with(PATIENT).await
    }

    pub async fn open_with(&self, deadline: Duration) -> Archive {
        open_archive(&self.url, &Options { deadline, ..Options::default() }).await.expect("the archive opens")
    }

    /// A process that puts records without end and says on each line which one was acknowledged.
    pub fn writer(&self, name: &str) -> tokio::process::Child {
        tokio::process::Command::new(env!("CARGO_BIN_EXE_archive-writer"))
            .args([&self.url, name])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the writer can be started")
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// A completed record, changed by `change`.
pub fn record(uid: &str, finished: i64, change: impl FnOnce(&mut Record)) -> Record {
    let mut record = completed(uid, finished);
    change(&mut record);
    record
}

/// The same, as it was before it ended: archived at that second.
pub fn unfinished(uid: &str, archived: i64) -> Record {
    record(uid, archived, |record| {
        record.summary.state = State::Processing;
        record.summary.reason = Reason::Running;
        record.summary.finished_at = None;
        record.details.result = None;
    })
}

pub async fn put_all(archive: &Archive, records: &[Record]) {
    for record in records {
        archive.put(record).await.expect("it is put");
    }
}
