//! `task-manager worker`: a client of the worker protocol that runs a command once for each task, with the files and variables
//! of a Job's container. docs/worker-protocol.md has the protocol; nothing here knows the cluster.

mod checkpoint;
mod checkpoint_file;
mod command;
mod folder;
mod hand_over;
mod heartbeat;
mod install;
mod left;
mod memory;
mod not_begun;
mod once;
mod operator;
mod options;
mod output;
mod patience;
mod processes;
mod progress;
mod slot;
mod work;

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::fs::File;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use folder::Folders;
use operator::{Operator, UrlError};
use output::Sink;
use processes::Processes;

pub use install::InstallError;
pub use options::WorkerOptions;

/// As a shell says that there is no such command.
const NO_SUCH_COMMAND: u8 = 127;
/// Orphans that end at once are waited for together.
const BETWEEN_REAPS: Duration = Duration::from_millis(200);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error("failed to make a folder for tasks in {}: set --dir to one that may be written", .0.display())]
    Folder(PathBuf, #[source] std::io::Error),
    #[error("failed to listen for signals")]
    Signals(#[source] std::io::Error),
    #[error("failed to copy standard output or standard error")]
    Streams(#[source] std::io::Error),
    #[error("failed to start the command, or to wait for it")]
    Command(#[source] std::io::Error),
    #[error("a slot ended: {0}")]
    Slot(#[from] tokio::task::JoinError),
    #[error(transparent)]
    GivenUp(#[from] slot::GivenUp),
}

/// The parts that all slots share.
struct Agent {
    operator: Arc<Operator>,
    command: Vec<OsString>,
    folders: Folders,
    processes: Processes,
    grace: Duration,
    stdout: Sink<File>,
    stderr: Sink<File>,
    /// One result or checkpoint is put into the store at a time.
    uploads: Arc<tokio::sync::Mutex<()>>,
    /// The operator has told the worker to end: tasks that run go on.
    stopping: CancellationToken,
    /// The worker is ended from outside: tasks that run end, too.
    over: CancellationToken,
    slots: u32,
}

impl Agent {
    /// No further task is asked for.
    fn is_ending(&self) -> bool {
        self.stopping.is_cancelled() || self.over.is_cancelled()
    }

    async fn ending(&self) {
        tokio::select! {
            () = self.stopping.cancelled() => {}
            () = self.over.cancelled() => {}
        }
    }
}

/// Runs until the operator says stop, or SIGTERM.
pub async fn run(options: WorkerOptions) -> Result<ExitCode, Error> {
    if let Some(folder) = &options.install {
        let copy = install::install(folder)?;
        println!("{}", copy.display());
        return Ok(ExitCode::SUCCESS);
    }
    let Some(command) = command::found(&options.command, std::env::var_os("PATH").as_ref()) else {
        let program = options.command.first().map(|program| program.to_string_lossy()).unwrap_or_default();
        tell(&format!("there is no command {program:?} that may be run here"));
        return Ok(NO_SUCH_COMMAND.into());
    };
    if rustix::process::set_child_subreaper(Some(rustix::process::getpid())).is_err() {
        tell("this kernel makes nobody the parent of orphans: processes that leave their group may outlive their task");
    }
    if options.once {
        return run_once(options, &command).await;
    }
    let agent = Arc::new(agent(options, command)?);
    let _signals =
        AbortOnDropHandle::new(tokio::spawn(end_by_signal(agent.over.clone(), "ends: no further task is asked for")?));
    let _orphans = AbortOnDropHandle::new(tokio::spawn(reap_orphans(agent.processes.clone())?));
    run_slots(&agent).await?;
    Ok(ExitCode::SUCCESS)
}

/// In the pod of a Job. Where there is no worker port, nobody is told of its progress.
async fn run_once(options: WorkerOptions, command: &[OsString]) -> Result<ExitCode, Error> {
    let processes = Processes::default();
    let over = CancellationToken::new();
    let _signals = AbortOnDropHandle::new(tokio::spawn(end_by_signal(over.clone(), "the command is told to end")?));
    let _orphans = AbortOnDropHandle::new(tokio::spawn(reap_orphans(processes.clone())?));
    let operator = match (&options.api_url, &options.token_file) {
        (Some(url), Some(token_file)) => Some(Arc::new(Operator::at(url, token_file.clone())?)),
        _ => None,
    };
    let folders = folders(options.dir)?;
    once::run(command, &folders, operator, &processes, &over).await.map_err(Error::Command)
}

fn folders(dir: Option<PathBuf>) -> Result<Folders, Error> {
    let dir = dir.unwrap_or_else(std::env::temp_dir);
    Folders::within(&dir).map_err(|error| Error::Folder(dir, error))
}

fn agent(options: WorkerOptions, command: Vec<OsString>) -> Result<Agent, Error> {
    Ok(Agent {
        operator: Arc::new(Operator::at(
            options.api_url.as_deref().unwrap_or_default(),
            options.token_file.unwrap_or_default(),
        )?),
        command,
        folders: folders(options.dir)?,
        processes: Processes::default(),
        grace: Duration::from_secs(options.grace_seconds),
        stdout: sink(&std::io::stdout())?,
        stderr: sink(&std::io::stderr())?,
        uploads: Arc::default(),
        stopping: CancellationToken::new(),
        over: CancellationToken::new(),
        slots: options.slots,
    })
}

/// A stream of this process' own, for the lines of the work.
fn sink(stream: &impl AsFd) -> Result<Sink<File>, Error> {
    let own = stream.as_fd().try_clone_to_owned().map_err(Error::Streams)?;
    Ok(Arc::new(tokio::sync::Mutex::new(File::from_std(own.into()))))
}

/// All slots end together: where one gives up, the others hand in what they have.
async fn run_slots(agent: &Arc<Agent>) -> Result<(), Error> {
    let mut slots = JoinSet::new();
    for slot in 0..agent.slots {
        let agent = agent.clone();
        slots.spawn(async move { slot::run(&agent, slot).await });
    }
    let mut result = Ok(());
    while let Some(ended) = slots.join_next().await {
        let ended = ended.map_err(Error::from).and_then(|ended| ended.map_err(Error::from));
        if ended.is_err() {
            agent.stopping.cancel();
            result = result.and(ended);
        }
    }
    result
}

/// SIGTERM and Ctrl-C end the worker.
fn end_by_signal(over: CancellationToken, word: &'static str) -> Result<impl Future<Output = ()>, Error> {
    let mut terminated = listen(SignalKind::terminate())?;
    let mut interrupted = listen(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        tell(word);
        over.cancel();
    })
}

/// Waits for orphans of tasks when they end, so that no zombie is left.
fn reap_orphans(processes: Processes) -> Result<impl Future<Output = ()>, Error> {
    let mut ended = listen(SignalKind::child())?;
    Ok(async move {
        while ended.recv().await.is_some() {
            let processes = processes.clone();
            drop(tokio::task::spawn_blocking(move || processes.reap()).await);
            sleep(BETWEEN_REAPS).await;
        }
    })
}

fn listen(kind: SignalKind) -> Result<Signal, Error> {
    signal(kind).map_err(Error::Signals)
}

/// A line of the agent's own among those of the work. Where nobody reads them, the work goes on all the same.
fn tell(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "task-manager worker: {text}"));
}
