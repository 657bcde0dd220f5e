//! `task-manager worker-check`: tries a client of the worker protocol, in whatever language it is, against an operator that plays
//! it tricks, and says which promises it keeps. Tests of the agent play stories of their own with the same parts.

mod board;
mod call;
mod options;
mod play;
mod promises;
mod report;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::process::Command;

pub use board::{Board, Heard, Pulse};
pub use call::Call;
pub use options::WorkerCheckOptions;
pub use play::{Play, Stuck};
pub use promises::{PROMISES, Promise, Verdict};

use report::Report;

/// A worker that is started by hand is waited for so long.
const BY_HAND: Duration = Duration::from_secs(600);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to listen or to write the token")]
    Begin(#[source] std::io::Error),
    #[error("failed to start the worker {0}")]
    Start(String, #[source] std::io::Error),
    #[error("no worker has called within {} s", BY_HAND.as_secs())]
    Nobody,
}

/// Tries a worker. It failed if a promise was broken.
pub async fn run(options: WorkerCheckOptions) -> Result<ExitCode, Error> {
    let named = options.token_file.clone();
    let token_file = named.clone().unwrap_or_else(temporary_file);
    let report = check(&options, token_file.clone()).await;
    if named.is_none() {
        drop(std::fs::remove_file(token_file));
    }
    let report = report?;
    report.end();
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn temporary_file() -> PathBuf {
    std::env::temp_dir().join(format!("worker-check-{}.token", std::process::id()))
}

async fn check(options: &WorkerCheckOptions, token_file: PathBuf) -> Result<Report, Error> {
    let mut play = Play::begin(options.addr, token_file).await.map_err(Error::Begin)?;
    match options.command.split_first() {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments);
            play.start(command).map_err(|error| Error::Start(program.to_string_lossy().into(), error))?;
        }
        None => {
            println!(
                "Start the worker with:\n  export TASK_API_URL={} TASK_TOKEN_FILE={}\n",
                play.url(),
                play.token_file().display()
            );
            play.patience = BY_HAND;
            let call = play.call().await.map_err(|_| Error::Nobody)?;
            play.leave_open(call);
        }
    }
    play.patience = Duration::from_secs(options.patience);
    Ok(try_all(&mut play).await)
}

/// Tries each promise; where the worker has ended, those that follow need not be tried.
async fn try_all(play: &mut Play) -> Report {
    let mut report = Report::default();
    for promise in PROMISES {
        match (promise.story)(play).await {
            Ok(verdict) => report.tell(promise.sentence, &verdict),
            Err(stuck) => {
                report.tell(promise.sentence, &Verdict::Broken(stuck.to_string()));
                if matches!(stuck, Stuck::Ended(_)) {
                    return report;
                }
            }
        }
    }
    report
}
