//! The flags of `task-manager worker-check`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

#[derive(Clone, Debug, Args)]
pub struct WorkerCheckOptions {
    /// Address on which the worker is waited for; port 0 is any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub addr: SocketAddr,

    /// File for the worker's token, which is written here [default: one in the folder for temporary files].
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Seconds for which the worker may say nothing.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub patience: u64,

    /// The command that starts the worker [default: it is waited for].
    #[arg(last = true)]
    pub command: Vec<OsString>,
}
