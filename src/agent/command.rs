//! Looks for the command before any task is taken.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The command, if there is such a program, at its path or in a folder of PATH.
pub fn found(command: &[OsString], path: Option<&OsString>) -> Option<Vec<OsString>> {
    let program = Path::new(command.first()?);
    let is_program =
        |path: &Path| path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    let found = if program.components().count() > 1 || program.is_absolute() {
        Some(program.to_owned()).filter(|path| is_program(path))
    } else {
        std::env::split_paths(path?).map(|folder| folder.join(program)).find(|path| is_program(path))
    };
    found.map(|_| command.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_looked_for_before_any_task_is_taken() {
        let path = OsString::from("/nowhere:/bin:/usr/bin");
        let of = |program: &str| found(&[program.into(), "-c".into()], Some(&path)).is_some();
        assert!(of("sh") && of("/bin/sh"));
        assert!(!of("no-such-program") && !of("/etc/passwd") && !of("/bin/no-such-program") && !of("./sh") && !of(""));
        assert!(found(&[], Some(&path)).is_none());
    }
}
