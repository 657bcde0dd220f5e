//! One task: runs the command with the task's files and variables, ends it when its time is over or it is cancelled, and makes
//! of its end what is handed in.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::Signal;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::checkpoint;
use super::checkpoint::{Sending, Way};
use super::checkpoint_file::CheckpointFile;
use super::folder::Folder;
use super::hand_over::hand_over;
use super::heartbeat::{self, Told};
use super::left;
use super::not_begun::{not_begun_for, not_started, to_be_ended};
use super::operator::About;
use super::output::{Tail, pass_on};
use super::processes::Group;
use super::{Agent, memory, tell};
use crate::api::worker_protocol::{Done, LeasedTask, WorkError};

/// What the work wrote arrives by then, once all its processes have ended.
const OUTPUT: Duration = Duration::from_secs(2);
/// The exit code of what was killed.
const KILLED: i32 = 137;
/// The latest time that a clock here can count to.
const LONGEST: Duration = Duration::from_secs(30 * 86400);

/// Words of the Reason enum.
pub const TIMEOUT: &str = "Timeout";
pub const WORKER_LOST: &str = "WorkerLost";
const OOM_KILLED: &str = "OOMKilled";
/// The type of errors that are the worker's own.
pub const WORKER: &str = "WorkerError";

/// Why the work is ended before it ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndedFor {
    /// In a word of the Reason enum.
    Reason(String),
    /// The lease is over: nothing is handed in.
    LeaseOver,
}

/// The end of the work.
struct Ended {
    status: std::io::Result<ExitStatus>,
    ended_for: Option<EndedFor>,
}

impl Ended {
    /// Another attempt may follow: nobody has cancelled the task.
    fn is_tried_again(&self) -> bool {
        match &self.ended_for {
            None => true,
            Some(EndedFor::Reason(reason)) => [TIMEOUT, WORKER_LOST, OOM_KILLED].contains(&reason.as_str()),
            Some(EndedFor::LeaseOver) => false,
        }
    }
}

/// When the task's time is over. `now` is the operator's clock at its answer, where it said so.
pub fn time_left(task: &LeasedTask, now: Timestamp) -> Duration {
    let whole = Duration::from_secs(task.timeout_seconds.max(0).unsigned_abs());
    let until = task.ends_at.duration_since(now);
    whole.min(Duration::try_from(until).unwrap_or_default()).min(LONGEST)
}

/// Runs a task. `None` where its lease is over, and nothing is to be handed in.
pub async fn run(agent: &Agent, task: &LeasedTask, left: Duration) -> Option<Done> {
    let over_at = Instant::now() + left;
    tell(&format!("{}, attempt {}: begins", task.name, task.attempt));
    let folder = match agent.folders.of(task) {
        Ok(folder) => folder,
        Err(error) => return Some(not_started(task, &format!("failed to write the task's files: {error}"))),
    };
    let (told, mut orders) = mpsc::channel(4);
    let beats = heartbeat::run(agent.operator.clone(), task.clone(), folder.progress(), told);
    let _beats = AbortOnDropHandle::new(tokio::spawn(beats));
    let way = Way { operator: agent.operator.clone(), about: About::lease(&task.lease), turn: agent.uploads.clone() };
    let mut checkpoint = CheckpointFile::at(folder.checkpoint());
    if task.checkpoint {
        tokio::select! {
            fetched = checkpoint::fetch(&way, &mut checkpoint, checkpoint::wait(task)) => if fetched.is_err() { return None },
            ended_for = to_be_ended(agent, over_at, &mut orders) => return not_begun_for(task, ended_for),
        }
    }
    let tail = Tail::default();
    let (group, output) = match start(agent, task, &folder, &tail) {
        Ok(started) => started,
        Err(error) => return Some(not_started(task, &format!("failed to start the command: {error}"))),
    };
    let sending = Sending::start(way, checkpoint);
    let ended = supervise(agent, group, over_at, &mut orders, &folder.result()).await;
    for stream in output {
        drop(timeout(OUTPUT, stream).await);
    }
    let log = tail.text();
    let word = word_of(&ended);
    tell(&format!("{}, attempt {}: {word}", task.name, task.attempt));
    if ended.ended_for == Some(EndedFor::LeaseOver) {
        return None;
    }
    let done = Done { log, ..done(task, &ended, &folder) };
    if !done.has_failed() {
        return hand_over(agent, task, done, &folder, &mut orders).await;
    }
    if ended.is_tried_again() {
        sending.finish(ended.status.is_ok_and(has_ended_by_itself)).await;
    }
    Some(done)
}

type Streams = Vec<AbortOnDropHandle<()>>;

fn start(agent: &Agent, task: &LeasedTask, folder: &Folder, tail: &Tail) -> std::io::Result<(Group, Streams)> {
    let [program, arguments @ ..] = agent.command.as_slice() else { return Err(std::io::ErrorKind::NotFound.into()) };
    let mut command = Command::new(program);
    command.args(arguments).envs(folder.variables(task));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut group = agent.processes.start(&mut command)?;
    let mut streams = Streams::new();
    if let Some(stdout) = group.child.stdout.take() {
        streams.push(AbortOnDropHandle::new(tokio::spawn(pass_on(stdout, agent.stdout.clone(), tail.clone()))));
    }
    if let Some(stderr) = group.child.stderr.take() {
        streams.push(AbortOnDropHandle::new(tokio::spawn(pass_on(stderr, agent.stderr.clone(), tail.clone()))));
    }
    Ok((group, streams))
}

/// Waits for the end of the work, and brings it about: by SIGTERM, and after the grace by SIGKILL.
async fn supervise(
    agent: &Agent,
    mut group: Group,
    over_at: Instant,
    orders: &mut mpsc::Receiver<Told>,
    result: &Path,
) -> Ended {
    let mut ended_for: Option<EndedFor> = None;
    let mut kill_at: Option<Instant> = None;
    let oom_kills = memory::kills();
    let status = loop {
        let is_asked = ended_for.is_some();
        let (why, grace) = tokio::select! {
            status = group.child.wait() => break status,
            () = sleep_until(over_at), if !is_asked => (EndedFor::Reason(TIMEOUT.into()), agent.grace),
            () = agent.over.cancelled(), if !is_asked => (EndedFor::Reason(WORKER_LOST.into()), LONGEST),
            () = at(kill_at) => {
                group.signal(Signal::KILL);
                kill_at = None;
                continue;
            }
            Some(told) = orders.recv() => match told {
                Told::Cancel(cancel) => (EndedFor::Reason(cancel.reason), before_the_pod_ends(cancel.grace_seconds)),
                Told::Over => {
                    group.signal(Signal::KILL);
                    ended_for = Some(EndedFor::LeaseOver);
                    continue;
                }
            },
        };
        // Who ended it first is told; who has less patience is heard.
        let due = Instant::now() + grace;
        kill_at = Some(kill_at.map_or(due, |before| before.min(due)));
        if !is_asked {
            group.signal(Signal::TERM);
            ended_for = Some(why);
        }
    };
    // A shell says so of its child.
    let was_killed = status.as_ref().is_ok_and(|status| exit_code(*status) == KILLED);
    if was_killed && ended_for.is_none() && memory::kills() > oom_kills {
        ended_for = Some(EndedFor::Reason(OOM_KILLED.into()));
    }
    let result = result.to_owned();
    drop(tokio::task::spawn_blocking(move || group.end(&result)).await);
    Ended { status, ended_for }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// When the grace is over the worker is ended with its pod: the work is killed a little before, so that its end is handed in.
fn before_the_pod_ends(grace_seconds: i64) -> Duration {
    let grace = Duration::from_secs(grace_seconds.max(0).unsigned_abs()).min(LONGEST);
    grace.saturating_sub((grace / 5).min(Duration::from_secs(3)))
}

/// As a shell says it: 128 and the number of the signal that ended it.
pub fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// No signal ended it, as far as a shell says so of its child.
pub fn has_ended_by_itself(status: ExitStatus) -> bool {
    exit_code(status) <= 128
}

fn word_of(ended: &Ended) -> String {
    let end = match &ended.status {
        Ok(status) => format!("ended with exit code {}", exit_code(*status)),
        Err(error) => format!("its end is not known: {error}"),
    };
    match &ended.ended_for {
        None => end,
        Some(EndedFor::Reason(reason)) => format!("{end} ({reason})"),
        Some(EndedFor::LeaseOver) => format!("{end} (the lease is over)"),
    }
}

/// The end of the work, without its result.
fn done(task: &LeasedTask, ended: &Ended, folder: &Folder) -> Done {
    let ended_for = match &ended.ended_for {
        Some(EndedFor::Reason(reason)) => Some(reason.clone()),
        _ => None,
    };
    let done = Done { lease: task.lease.clone(), ended_for, ..Done::default() };
    match ended.status.as_ref().map(|status| exit_code(*status)) {
        Ok(0) => Done { exit_code: Some(0), ..done },
        Ok(code) => {
            let error = left::read(&folder.result()).ok().and_then(|content| left::error(&content));
            Done { exit_code: Some(code), error, ..done }
        }
        Err(error) => Done { error: Some(error_of(WORKER, &error.to_string(), true)), ..done },
    }
}

pub fn error_of(type_: &str, message: &str, retryable: bool) -> WorkError {
    WorkError { type_: Some(type_.into()), message: Some(message.into()), retryable: Some(retryable) }
}

#[cfg(test)]
mod tests {
    use super::super::folder::tests::task;
    use super::*;

    #[test]
    fn the_time_left_is_the_timeout_or_what_is_left_of_it() {
        let of =
            |ends_at: &str| LeasedTask { ends_at: ends_at.parse().expect("a time"), timeout_seconds: 60, ..task() };
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        assert_eq!(time_left(&of("2026-01-01T00:01:00Z"), now), Duration::from_secs(60));
        assert_eq!(time_left(&of("2026-01-01T00:00:40Z"), now), Duration::from_secs(40), "it was handed out before");
        assert_eq!(time_left(&of("2026-01-02T00:00:00Z"), now), Duration::from_secs(60));
        assert_eq!(time_left(&of("2025-01-01T00:00:00Z"), now), Duration::ZERO);
    }

    #[test]
    fn the_work_is_killed_a_little_before_its_pod_would_be() {
        for (grace, killed_after) in [(30, 27.0), (10, 8.0), (1, 0.8), (0, 0.0), (-5, 0.0)] {
            assert_eq!(before_the_pod_ends(grace), Duration::from_secs_f64(killed_after), "{grace}");
        }
    }

    #[test]
    fn a_signal_reads_as_a_shell_says_it() {
        assert_eq!(exit_code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(exit_code(ExitStatus::from_raw(9)), 137);
        assert!(has_ended_by_itself(ExitStatus::from_raw(3 << 8)) && !has_ended_by_itself(ExitStatus::from_raw(9)));
        assert!(!has_ended_by_itself(ExitStatus::from_raw(137 << 8)), "a shell says so of its child");
    }
}
