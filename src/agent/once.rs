//! Wraps the command of a Job's pod: everything stays as it is without, TASK_PROGRESS_FILE is told to the operator, and
//! TASK_CHECKPOINT_FILE goes from one attempt to the next.

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

use super::checkpoint;
use super::checkpoint::{Sending, Way};
use super::checkpoint_file::CheckpointFile;
use super::folder::Folders;
use super::heartbeat::look;
use super::operator::{About, CallError, Operator};
use super::processes::Processes;
use super::progress::ProgressFile;
use super::tell;
use super::work::{exit_code, has_ended_by_itself};

/// The file is looked at, and told, so often.
const LOOK: Duration = Duration::from_secs(2);
/// After a report that was not taken for another reason than what it says.
const AGAIN: Duration = Duration::from_secs(10);
/// So long an earlier checkpoint is asked for where nobody answers.
const WAIT: Duration = Duration::from_secs(30);
/// As a shell says that SIGTERM ended a command.
const TERMINATED: u8 = 143;

/// Runs the command to its end, and passes SIGTERM on to it; the exit code is the command's.
pub async fn run(
    command: &[OsString],
    folders: &Folders,
    operator: Option<Arc<Operator>>,
    processes: &Processes,
    over: &CancellationToken,
) -> std::io::Result<ExitCode> {
    let [program, arguments @ ..] = command else { return Err(std::io::ErrorKind::NotFound.into()) };
    let attempt = std::env::var("TASK_ATTEMPT").unwrap_or_default();
    let (progress, mut checkpoint) = (folders.progress(), CheckpointFile::at(folders.checkpoint()));
    let about = About::attempt(&attempt);
    let way = operator.clone().map(|operator| Way { operator, about: about.clone(), turn: Arc::default() });
    // A first attempt finds none.
    if let Some(way) = way.as_ref().filter(|_| attempt.parse().is_ok_and(|number: i32| number > 1)) {
        tokio::select! {
            // The command runs as it would without this, whatever becomes of its attempt.
            _ = checkpoint::fetch(way, &mut checkpoint, WAIT) => {}
            () = over.cancelled() => return Ok(TERMINATED.into()),
        }
    }
    let mut command = Command::new(program);
    command.args(arguments).env("TASK_PROGRESS_FILE", &progress).env("TASK_CHECKPOINT_FILE", checkpoint.path());
    let mut group = processes.start(command.stdin(Stdio::null()).kill_on_drop(true))?;
    let sending = way.map(|way| Sending::start(way, checkpoint));
    let _telling =
        operator.map(|operator| AbortOnDropHandle::new(tokio::spawn(tell_progress(operator, about, progress))));
    let status = tokio::select! {
        status = group.child.wait() => status?,
        () = over.cancelled() => {
            group.signal(Signal::TERM);
            group.child.wait().await?
        }
    };
    if let Some(sending) = sending.filter(|_| !status.success()) {
        sending.finish(has_ended_by_itself(status)).await;
    }
    Ok(code(status))
}

fn code(status: ExitStatus) -> ExitCode {
    u8::try_from(exit_code(status)).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Tells what is new until nobody wants to hear it any longer.
async fn tell_progress(operator: Arc<Operator>, about: About, progress: PathBuf) {
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
        match operator.progress(&about, &file.told()).await {
            // A Job's pod is ended by its kubelet.
            Ok(_) => {}
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
