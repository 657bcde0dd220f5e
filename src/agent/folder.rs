//! The files of one lease, in a folder of its own that goes with it.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::api::worker_protocol::LeasedTask;

/// The folder of all leases, removed when the agent ends.
pub struct Folders {
    root: PathBuf,
    next: AtomicU64,
}

impl Folders {
    /// A folder of this process in `parent`.
    pub fn within(parent: &Path) -> io::Result<Self> {
        let root = parent.join(format!("task-manager-worker-{}", std::process::id()));
        // One of a container before, whose process had the same id.
        drop(fs::remove_dir_all(&root));
        DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
        Ok(Self { root, next: AtomicU64::new(0) })
    }

    /// The progress file of a process that has one task in its life.
    pub fn progress(&self) -> PathBuf {
        self.root.join("progress")
    }

    /// Its checkpoint.
    pub fn checkpoint(&self) -> PathBuf {
        self.root.join("checkpoint")
    }

    /// A fresh folder with the files of this task.
    pub fn of(&self, task: &LeasedTask) -> io::Result<Folder> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let folder = Folder { path: self.root.join(number.to_string()) };
        DirBuilder::new().mode(0o700).create(&folder.path)?;
        DirBuilder::new().mode(0o700).create(folder.temporary())?;
        fs::write(folder.payload(), task.payload.get())?;
        fs::write(folder.result(), "")?;
        Ok(folder)
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.root));
    }
}

/// The folder of one lease.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    fn payload(&self) -> PathBuf {
        self.path.join("payload.json")
    }

    pub fn result(&self) -> PathBuf {
        self.path.join("result")
    }

    pub fn progress(&self) -> PathBuf {
        self.path.join("progress")
    }

    pub fn checkpoint(&self) -> PathBuf {
        self.path.join("checkpoint")
    }

    fn temporary(&self) -> PathBuf {
        self.path.join("tmp")
    }

    /// Variables of the work: those of a Job's container, and those that only a worker's have.
    pub fn variables(&self, task: &LeasedTask) -> Vec<(&'static str, OsString)> {
        let mut variables: Vec<(&'static str, OsString)> = vec![
            ("TASK_ID", task.id.clone().into()),
            ("TASK_NAME", task.name.clone().into()),
            ("TASK_TYPE", task.type_.clone().into()),
            ("TASK_ATTEMPT", task.attempt.to_string().into()),
            ("TASK_KB_ID", task.kb_id.clone().unwrap_or_default().into()),
            ("TASK_PAYLOAD_FILE", self.payload().into()),
            ("TASK_RESULT_FILE", self.result().into()),
            ("TASK_PROGRESS_FILE", self.progress().into()),
            ("TASK_CHECKPOINT_FILE", self.checkpoint().into()),
            ("TASK_LEASE", task.lease.clone().into()),
            ("TMPDIR", self.temporary().into()),
        ];
        variables.extend(task.traceparent.iter().map(|parent| ("TRACEPARENT", parent.clone().into())));
        variables
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.path));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use jiff::Timestamp;
    use serde_json::value::RawValue;

    use super::*;

    pub fn task() -> LeasedTask {
        LeasedTask {
            lease: "lease-1".into(),
            id: "uid".into(),
            name: "manual-7".into(),
            type_: "work".into(),
            attempt: 2,
            kb_id: None,
            payload: RawValue::from_string(r#"{"pages": 1.50}"#.into()).expect("JSON"),
            timeout_seconds: 600,
            ends_at: Timestamp::MAX,
            heartbeat_seconds: 10,
            memory_bytes: None,
            checkpoint: false,
            traceparent: None,
        }
    }

    #[test]
    fn each_lease_has_a_fresh_folder_that_goes_with_it() {
        let parent = std::env::temp_dir().join(format!("folders-{}", std::process::id()));
        let folders = Folders::within(&parent).expect("a folder");
        let (one, other) = (folders.of(&task()).expect("a folder"), folders.of(&task()).expect("a folder"));
        assert_ne!(one.path, other.path);
        assert_eq!(fs::read_to_string(one.payload()).expect("a payload"), r#"{"pages": 1.50}"#);
        assert_eq!(fs::read(one.result()).expect("a result file"), b"");
        let path = one.path.clone();
        fs::write(path.join("tmp/left"), "over").expect("written");
        drop((one, other));
        assert!(!path.exists() && folders.root.exists());
        drop(folders);
        assert_eq!(fs::read_dir(&parent).expect("a folder").count(), 0);
        fs::remove_dir(&parent).expect("removed");
    }

    #[test]
    fn the_work_finds_what_it_finds_in_a_jobs_container_and_its_lease() {
        let folder = Folder { path: "/nowhere/1".into() };
        let with_trace = LeasedTask { traceparent: Some("00-a-b-01".into()), kb_id: Some("kb".into()), ..task() };
        let read = |task: &LeasedTask, name: &str| {
            let variables = folder.variables(task);
            variables.into_iter().find(|(named, _)| *named == name).map(|(_, value)| value.into_string().expect("text"))
        };
        for (name, value) in [
            ("TASK_ID", "uid"),
            ("TASK_NAME", "manual-7"),
            ("TASK_TYPE", "work"),
            ("TASK_ATTEMPT", "2"),
            ("TASK_KB_ID", ""),
            ("TASK_PAYLOAD_FILE", "/nowhere/1/payload.json"),
            ("TASK_RESULT_FILE", "/nowhere/1/result"),
            ("TASK_PROGRESS_FILE", "/nowhere/1/progress"),
            ("TASK_CHECKPOINT_FILE", "/nowhere/1/checkpoint"),
            ("TASK_LEASE", "lease-1"),
            ("TMPDIR", "/nowhere/1/tmp"),
        ] {
            assert_eq!(read(&task(), name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(read(&task(), "TRACEPARENT"), None);
        assert_eq!(read(&with_trace, "TRACEPARENT").as_deref(), Some("00-a-b-01"));
        assert_eq!(read(&with_trace, "TASK_KB_ID").as_deref(), Some("kb"));
    }
}
