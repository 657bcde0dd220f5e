//! An operator for one worker, step by step: it waits for the worker's calls with a deadline, and answers them as a story wants.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use serde_json::value::to_raw_value;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::board::{Board, Heard, Pulse};
use super::call::Call;
use super::server::Server;
use crate::api::worker_protocol::{Done, LeasedTask, ProgressRequest};

/// A worker that says nothing for so long is not waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Why a story cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Stuck {
    #[error("it has not called within {} s", .0.as_secs())]
    Silent(Duration),
    #[error("it ended: {0}")]
    Ended(ExitStatus),
    #[error("{0}")]
    Other(String),
}

pub struct Play {
    server: Server,
    token_file: PathBuf,
    tokens: u32,
    leases: u32,
    /// The worker, where it was started here.
    worker: Option<Child>,
    /// The call that waits to be answered.
    open: Option<Call>,
    /// Calls of other slots than the one that the story is about: they are left to hang.
    others: Vec<Call>,
    slot: Option<u32>,
    pub patience: Duration,
}

impl Play {
    /// Listens, and writes a first token into the file.
    pub async fn begin(addr: SocketAddr, token_file: PathBuf) -> std::io::Result<Self> {
        let server = Server::listen(addr).await?;
        let mut play = Self {
            server,
            token_file,
            tokens: 0,
            leases: 0,
            worker: None,
            open: None,
            others: Vec::new(),
            slot: None,
            patience: PATIENCE,
        };
        play.renew_token()?;
        Ok(play)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.server.addr)
    }

    pub fn token_file(&self) -> &Path {
        &self.token_file
    }

    pub fn board(&self) -> &Arc<Board> {
        &self.server.board
    }

    /// Starts the worker with the variables that a pod would have.
    pub fn start(&mut self, mut command: Command) -> std::io::Result<()> {
        command.env("TASK_API_URL", self.url()).env("TASK_TOKEN_FILE", &self.token_file);
        self.worker = Some(command.kill_on_drop(true).spawn()?);
        Ok(())
    }

    pub fn worker(&mut self) -> Option<&mut Child> {
        self.worker.as_mut()
    }

    /// Another token in the file; the one before is not taken any longer.
    pub fn renew_token(&mut self) -> std::io::Result<()> {
        self.tokens += 1;
        let token = format!("token-{}", self.tokens);
        let part = self.token_file.with_extension("part");
        std::fs::write(&part, &token)?;
        std::fs::rename(&part, &self.token_file)?;
        *self.board().tokens.lock() = [token].into();
        Ok(())
    }

    /// A task that was never leased before.
    pub fn task(&mut self, payload: &Value) -> LeasedTask {
        self.leases += 1;
        let number = self.leases;
        LeasedTask {
            lease: format!("lease-{number}.{}", std::process::id()),
            id: format!("00000000-0000-4000-8000-{number:012}"),
            name: format!("check-{number}"),
            type_: "check".into(),
            attempt: 1,
            kb_id: Some("kb-1".into()),
            payload: to_raw_value(payload).unwrap_or_default(),
            timeout_seconds: 600,
            ends_at: Timestamp::now() + SignedDuration::from_secs(600),
            heartbeat_seconds: 1,
            memory_bytes: None,
            checkpoint: false,
            traceparent: None,
        }
    }

    /// The worker's next call of whatever slot.
    pub async fn any_call(&mut self) -> Result<Call, Stuck> {
        let Self { server, worker, patience, .. } = self;
        let ended = async {
            match worker {
                Some(worker) => worker.wait().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            call = timeout(*patience, server.calls.recv()) => call.ok().flatten().ok_or(Stuck::Silent(*patience)),
            status = ended => Err(status.map_or_else(|error| Stuck::Other(error.to_string()), Stuck::Ended)),
        }
    }

    /// The worker's next call of the slot that it called from first.
    pub async fn call(&mut self) -> Result<Call, Stuck> {
        loop {
            let call = self.any_call().await?;
            if *self.slot.get_or_insert(call.request.slot) == call.request.slot {
                return Ok(call);
            }
            self.others.retain(Call::is_open);
            self.others.push(call);
        }
    }

    /// The call that is open, or the next one.
    pub async fn open_call(&mut self) -> Result<Call, Stuck> {
        match self.open.take().filter(Call::is_open) {
            Some(call) => Ok(call),
            None => self.call().await,
        }
    }

    /// Leaves a call open for the next step of the story.
    pub fn leave_open(&mut self, call: Call) {
        self.open = Some(call);
    }

    /// Gives a task to the worker.
    pub async fn give(&mut self, task: &LeasedTask) -> Result<(), Stuck> {
        self.answer_beats(task, Pulse::GoOn);
        while !self.open_call().await?.give(task) {}
        Ok(())
    }

    /// The call in which the worker hands in this task.
    pub async fn call_with(&mut self, task: &LeasedTask) -> Result<(Call, Done), Stuck> {
        let call = self.call().await?;
        match call.done().cloned() {
            Some(done) if done.lease == task.lease => Ok((call, done)),
            Some(done) => {
                Err(Stuck::Other(format!("it handed in the lease {:?} instead of {:?}", done.lease, task.lease)))
            }
            None => Err(Stuck::Other("it asked for work and did not hand in what it had".into())),
        }
    }

    /// What the worker hands in of this task. It is kept with the next answer.
    pub async fn done(&mut self, task: &LeasedTask) -> Result<Done, Stuck> {
        let (call, done) = self.call_with(task).await?;
        self.leave_open(call);
        Ok(done)
    }

    /// Heartbeats of this task are answered so from now on.
    pub fn answer_beats(&self, task: &LeasedTask, pulse: Pulse) {
        self.board().pulses.lock().insert(task.lease.clone(), pulse);
    }

    pub fn heard(&self, task: &LeasedTask) -> Heard {
        self.board().heard.lock().get(&task.lease).cloned().unwrap_or_default()
    }

    /// An earlier attempt of this task has left a checkpoint; `None`: the store does not say just now.
    pub fn has_left(&self, task: &LeasedTask, content: Option<&str>) {
        let content = content.map(|content| Bytes::copy_from_slice(content.as_bytes()));
        self.board().left.lock().insert(task.lease.clone(), content);
    }

    /// The checkpoints of this task, as texts.
    pub fn checkpoints(&self, task: &LeasedTask) -> Vec<String> {
        let heard = self.heard(task).checkpoints;
        heard.iter().map(|(_, content)| String::from_utf8_lossy(content).into_owned()).collect()
    }

    pub fn large_result(&self, task: &LeasedTask) -> Option<(String, Bytes)> {
        self.heard(task).result
    }

    /// Waits for a heartbeat of this task that fits.
    pub async fn beat(&mut self, task: &LeasedTask, fits: impl Fn(&ProgressRequest) -> bool) -> Result<Instant, Stuck> {
        let until = Instant::now() + self.patience;
        loop {
            let beats = self.heard(task).beats;
            if let Some((at, _)) = beats.iter().rev().find(|(_, said)| fits(said)) {
                return Ok(*at);
            }
            if let Ok(call) = self.server.calls.try_recv() {
                if self.slot == Some(call.request.slot) {
                    return Err(Stuck::Other("it asked for the next task before that".into()));
                }
                self.others.push(call);
            }
            if Instant::now() >= until {
                let said = beats.iter().map(|(_, said)| said).collect::<Vec<_>>();
                return Err(Stuck::Other(format!("no such heartbeat within {} s: {said:?}", self.patience.as_secs())));
            }
            sleep(BETWEEN_LOOKS).await;
        }
    }

    /// Waits for the worker's end. Slots that still ask are told to stop; the one of the story must not.
    pub async fn end(&mut self, within: Duration) -> Result<ExitStatus, Stuck> {
        let Self { server, worker, others, slot, .. } = self;
        let Some(worker) = worker else { return Err(Stuck::Other("it was not started here".into())) };
        for call in others.drain(..) {
            call.stop();
        }
        let ended = async {
            loop {
                tokio::select! {
                    status = worker.wait() => return status.map_err(|error| Stuck::Other(error.to_string())),
                    Some(call) = server.calls.recv() => {
                        if Some(call.request.slot) == *slot {
                            return Err(Stuck::Other("it asked for more".into()));
                        }
                        call.stop();
                    }
                }
            }
        };
        let late = || Stuck::Other(format!("it has not ended within {} s", within.as_secs()));
        timeout(within, ended).await.unwrap_or_else(|_| Err(late()))
    }
}
