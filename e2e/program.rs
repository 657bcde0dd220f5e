//! A program of this folder that runs beside a test. It ends when its standard input is closed, so with the test
//! at the latest.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub struct Program {
    child: Child,
    /// The first line that it wrote: where it can be reached.
    pub said: String,
}

impl Program {
    /// Starts `command`, and returns once it has written a line.
    pub fn start(mut command: Command) -> Self {
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.unwrap_or_else(|error| panic!("{command:?} can be started: {error}"));
        let mut said = String::new();
        let output = child.stdout.take().expect("its output is read");
        BufReader::new(output).read_line(&mut said).expect("it writes text");
        assert!(!said.is_empty(), "{command:?} has ended: its errors are above");
        Self { child, said: said.trim().to_owned() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of this folder.
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}
