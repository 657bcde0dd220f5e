//! Copies this program into a folder that another container mounts.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
#[error("failed to copy this program to {}", to.display())]
pub struct InstallError {
    to: PathBuf,
    source: io::Error,
}

/// Copies this program to FOLDER/task-manager. It is there whole or not at all, also where an init container is started twice.
pub fn install(folder: &Path) -> Result<PathBuf, InstallError> {
    let to = folder.join("task-manager");
    let copy = || {
        let part = folder.join(format!(".task-manager.{}", std::process::id()));
        fs::copy("/proc/self/exe", &part)?;
        fs::set_permissions(&part, Permissions::from_mode(0o755))?;
        fs::rename(&part, &to)
    };
    copy().map_err(|source| InstallError { to: to.clone(), source })?;
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_copied_whole_and_may_be_run() {
        let folder = std::env::temp_dir().join(format!("install-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        for _ in 0..2 {
            let copied = install(&folder).expect("a copy");
            let (copy, own) = (fs::metadata(&copied).expect("a file"), fs::metadata("/proc/self/exe").expect("a file"));
            assert_eq!((copy.len(), copy.permissions().mode() & 0o777), (own.len(), 0o755));
        }
        assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 1);
        fs::remove_dir_all(&folder).expect("removed");
        assert!(install(&folder).is_err());
    }
}
