//! Wraps the command of a Job's pod: everything stays as it is without, and TASK_PROGRESS_FILE is told to the operator.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::folder::Folders;
use super::heartbeat::look;
use super::operator::{CallError, Operator};
use super::processes::Processes;
use super::progress::ProgressFile;
use super::tell;
use super::work::exit_code;

/// The file is looked at, and told, so often.
const LOOK: Duration = Duration::from_secs(2);
/// After a report that was not taken for another reason than what it says.
const AGAIN: Duration = Duration::from_secs(10);

/// Runs the command to its end, and passes SIGTERM on to it; the exit code is the command's.
pub async fn run(
    command: &[OsString],
    folders: &Folders,
    operator: Option<Arc<Operator>>,
    processes: &Processes,
    over: &CancellationToken,
) -> std::io::Result<ExitCode> {
    let [program, arguments @ ..] = command else { return Err(std::io::ErrorKind::NotFound.into()) };
    let progress = folders.progress();
    let mut command = Command::new(program);
    command.args(arguments).env("TASK_PROGRESS_FILE", &progress).stdin(Stdio::null()).kill_on_drop(true);
    let mut group = processes.start(&mut command)?;
    let _telling = operator.map(|operator| AbortOnDropHandle::new(tokio::spawn(tell_progress(operator, progress))));
    let status = tokio::select! {
        status = group.child.wait() => status?,
        () = over.cancelled() => {
            group.signal(Signal::TERM);
            group.child.wait().await?
        }
    };
    Ok(code(status))
}

fn code(status: ExitStatus) -> ExitCode {
    u8::try_from(exit_code(status)).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Tells what is new until nobody wants to hear it any longer.
async fn tell_progress(operator: Arc<Operator>, progress: PathBuf) {
    let attempt = std::env::var("TASK_ATTEMPT").unwrap_or_default();
    let mut file = ProgressFile::at(progress);
    let mut is_fresh = false;
    loop {
        sleep(LOOK).await;
        let (looked_at, news) = look(file).await;
        file = looked_at;
        is_fresh |= news;
        if !is_fresh {
            continue;
        }
        is_fresh = false;
        match operator.progress_of_attempt(&attempt, &file.told()).await {
            Ok(()) => {}
            Err(CallError::Over(_)) => return,
            Err(CallError::Refused(why)) => {
                tell(&format!("the progress is not taken: {why}"));
                file.refused();
            }
            Err(error) => {
                tell(&format!("the progress is said again: {error}"));
                is_fresh = true;
                sleep(AGAIN).await;
            }
        }
    }
}
