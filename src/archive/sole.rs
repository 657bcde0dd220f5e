//! Sees to it that a file of SQLite has one operator alone: by the number of replicas that it is told, and by a lock on a
//! file beside it, which the kernel takes back when the process ends. Never waits for the lock.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::Archive;
use super::database::location::Backend;

/// Another operator uses the file, or is to.
#[derive(Debug, thiserror::Error)]
pub enum NotSole {
    #[error(
        "{replicas} replicas cannot share {archive}: several replicas need one archive that all reach; name a PostgreSQL, or run one replica"
    )]
    Several { replicas: u32, archive: String },
    #[error(
        "another operator has {archive} open: a file of SQLite is for one replica; end the other one, or name a PostgreSQL for both"
    )]
    Taken { archive: String },
}

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct Sole(#[allow(dead_code, reason = "it is held, not used")] Option<File>);

impl Archive {
    /// Takes the archive for one of so many replicas. A file that cannot be locked for another reason, such as a folder
    /// that is not there, is left to whoever opens the archive: that need not succeed at once.
    pub async fn for_replicas(&self, replicas: u32) -> Result<Sole, NotSole> {
        let Backend::Sqlite { file } = &self.0.location.backend else { return Ok(Sole(None)) };
        if replicas > 1 {
            return Err(NotSole::Several { replicas, archive: self.to_string() });
        }
        let beside = file.with_extension("lock");
        match self.0.location.ask_of_files(move || lock(&beside)).await {
            Ok(Ok(lock)) => Ok(Sole(Some(lock))),
            Ok(Err(TryLockError::WouldBlock)) => Err(NotSole::Taken { archive: self.to_string() }),
            Ok(Err(TryLockError::Error(error))) => Ok(unlocked(self, &error.to_string())),
            Err(error) => Ok(unlocked(self, &error.to_string())),
        }
    }
}

fn unlocked(archive: &Archive, error: &str) -> Sole {
    tracing::warn!(%archive, error, "its file cannot be locked, so a second operator that uses it would not be noticed");
    Sole(None)
}

fn lock(file: &Path) -> Result<File, TryLockError> {
    let file = File::options().create(true).truncate(false).write(true).open(file).map_err(TryLockError::Error)?;
    file.try_lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Options;

    fn at(url: &str) -> Archive {
        Archive::at(url, &Options::default()).expect("a URL")
    }

    #[tokio::test]
    async fn a_file_of_sqlite_is_for_one_operator_at_a_time() {
        let folder = std::env::temp_dir().join(format!("task-manager-sole-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let url = format!("sqlite:{}/archive.db", folder.display());
        let first = at(&url).for_replicas(1).await.expect("nobody else has it");
        let told = at(&url).for_replicas(1).await.expect_err("it is taken").to_string();
        assert!(told.contains("another operator") && told.contains("PostgreSQL"), "{told}");
        drop(first);
        at(&url).for_replicas(1).await.expect("it was given back");
        std::fs::remove_dir_all(&folder).expect("removed");
        at(&url).for_replicas(1).await.expect("where it cannot be locked, the operator starts all the same");
    }

    #[tokio::test]
    async fn several_replicas_need_a_postgresql() {
        let told = at("sqlite:a.db").for_replicas(2).await.expect_err("refused").to_string();
        assert!(told.contains("2 replicas") && told.contains("name a PostgreSQL"), "{told}");
        at("postgres://me:secret@db/tasks").for_replicas(3).await.expect("that is what it is for");
    }
}
