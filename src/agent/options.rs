//! The flags of `task-manager worker`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

#[derive(Clone, Debug, Args)]
pub struct WorkerOptions {
    /// How many tasks run at once: the pool's slotsPerWorker.
    #[arg(long, env = "TASK_SLOTS", value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub slots: u32,

    /// Seconds between SIGTERM and SIGKILL for work whose time is over.
    #[arg(long, env = "TASK_GRACE_SECONDS", value_name = "SECONDS", default_value_t = 25, value_parser = clap::value_parser!(u64).range(0..=86400))]
    pub grace_seconds: u64,

    /// Folder for the files of tasks, of which each has a folder of its own in it [default: the system's for temporary
    /// files].
    #[arg(long, env = "TASK_WORK_DIR", value_name = "FOLDER")]
    pub dir: Option<PathBuf>,

    /// URL of the operator's worker port.
    #[arg(long, env = "TASK_API_URL", value_name = "URL", required_unless_present_any = ["install", "once"])]
    pub api_url: Option<String>,

    /// File with the pod's own token, read anew for each call.
    #[arg(long, env = "TASK_TOKEN_FILE", value_name = "FILE", required_unless_present_any = ["install", "once"])]
    pub token_file: Option<PathBuf>,

    /// Runs the command once, in the pod of a Job, and tells its progress by TASK_PROGRESS_FILE. It ends with the command's
    /// exit code.
    #[arg(long, conflicts_with_all = ["slots", "install"])]
    pub once: bool,

    /// Copies this program into a folder and ends, for an init container: FOLDER/task-manager.
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    pub install: Option<PathBuf>,

    /// The command that runs once for each task, with its arguments.
    #[arg(last = true, required_unless_present = "install")]
    pub command: Vec<OsString>,
}
