//! An operator that plays stories, and the agent that is started against it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use harness::{Operator, SOON, target};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use task_manager::api::worker_protocol::{Done, LeasedTask};
use task_manager::worker_check::Play;
use tokio::process::Command;

/// A story with a folder of its own, which the agent's tasks have their files in.
pub struct Stage {
    pub play: Play,
    pub folder: PathBuf,
}

impl Stage {
    pub async fn set(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = target().join("test-agent").join(format!("{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(folder.join("tasks")).expect("a folder");
        let mut play = Play::begin(([127, 0, 0, 1], 0).into(), folder.join("token")).await.expect("it listens");
        play.patience = SOON;
        Self { play, folder }
    }

    /// Starts the agent around a script of shell.
    pub async fn with_agent(name: &str, script: &str) -> Self {
        Self::with_flags(name, &[], script).await
    }

    pub async fn with_flags(name: &str, flags: &[&str], script: &str) -> Self {
        let mut stage = Self::set(name).await;
        let command = stage.agent(flags, &["sh", "-c", script]);
        stage.play.start(command).expect("the agent starts");
        stage
    }

    /// The agent around a command, with its log in the folder.
    pub fn agent(&self, flags: &[&str], command: &[&str]) -> Command {
        let mut agent = Command::new(Operator::binary());
        agent.args(["worker", "--dir"]).arg(self.folder.join("tasks")).args(flags).arg("--").args(command);
        agent.env("OUT", self.folder.join("out"));
        let file = |name: &str| std::fs::File::create(self.folder.join(name)).expect("a file");
        agent.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
        agent
    }

    pub fn written(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }

    pub fn tasks(&self) -> PathBuf {
        self.folder.join("tasks")
    }

    pub fn task(&mut self) -> LeasedTask {
        self.play.task(&json!({}))
    }

    /// Gives a task and waits for what is handed in.
    pub async fn run(&mut self, task: &LeasedTask) -> Done {
        self.play.give(task).await.expect("it takes the task");
        self.play.done(task).await.unwrap_or_else(|stuck| panic!("{stuck}; the agent says: {}", self.written("stderr")))
    }

    pub fn pid(&mut self) -> i32 {
        let worker = self.play.worker().expect("it was started");
        worker.id().expect("it runs").try_into().expect("a process id")
    }

    pub fn signal(&mut self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid()).expect("a process id"), signal).expect("signalled");
    }

    /// Tells the agent to stop: it ends with 0 and leaves nothing.
    pub async fn stop(mut self) {
        while !self.play.open_call().await.expect("it asks").stop() {}
        let ended = self.play.end(SOON).await.expect("it ends");
        assert!(ended.success(), "{ended}: {}", self.written("stderr"));
        assert_eq!(entries(&self.tasks()), 0, "files are left");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What a test that failed has left may say why.
        if !std::thread::panicking() {
            drop(std::fs::remove_dir_all(&self.folder));
        }
    }
}

pub fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).expect("a folder").count()
}

pub fn result(done: &Done) -> Value {
    assert!(!done.has_failed(), "it failed: {done:?}");
    done.result.as_ref().map_or(Value::Null, |result| serde_json::from_str(result.get()).expect("JSON"))
}

/// The state of a process, as /proc has it; `None` where there is none.
pub fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat[stat.rfind(')')? + 1..].trim_start().chars().next()
}

/// The children of a process, and their states.
pub fn children(parent: i32) -> Vec<(i32, char)> {
    let pids = std::fs::read_dir("/proc").expect("proc").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let of_parent = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
        let state = fields.next()?.chars().next()?;
        (fields.next()? == parent.to_string()).then_some((pid, state))
    };
    pids.filter_map(of_parent).collect()
}

pub async fn gone(pid: i32, what: &str) {
    harness::eventually(what, Duration::from_secs(10), async || {
        state(pid).is_none_or(|state| state == 'Z').then_some(())
    })
    .await;
}
