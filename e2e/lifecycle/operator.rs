//! The operator as a process, with its log in a file.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::process::{Child, Command};

use super::wait::{A_CHANGE, eventually};
use super::world::kubeconfig;

const LOG_LINES: usize = 80;

pub struct Operator {
    namespace: String,
    log: PathBuf,
    health: SocketAddr,
    process: Child,
}

impl Operator {
    /// Starts one that looks after `namespace` alone, and waits until it knows the cluster.
    pub async fn start(namespace: &str) -> Self {
        let operator = Self::start_in_a_hurry(namespace);
        operator.is_ready().await;
        operator
    }

    /// Starts one, and does not wait.
    pub fn start_in_a_hurry(namespace: &str) -> Self {
        let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{namespace}.log"));
        let health = free_address();
        let process = spawn(namespace, &log, health);
        Self { namespace: namespace.into(), log, health, process }
    }

    pub async fn is_ready(&self) {
        eventually("the operator is ready", A_CHANGE, async || Ok(self.says_ready().then_some(()))).await;
    }

    /// It runs, and /readyz says so.
    pub fn says_ready(&self) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect_timeout(&self.health, Duration::from_secs(1))?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// Ends it as a crash would, and starts the next one at once.
    pub async fn crash_and_restart(&mut self) {
        self.process.kill().await.expect("it ends");
        *self = Self::start_in_a_hurry(&self.namespace);
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(&mut self) -> ExitStatus {
        let id = self.process.id().expect("it runs").to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status().await.expect("kill");
        assert!(asked.success(), "SIGTERM for process {id}");
        tokio::time::timeout(A_CHANGE, self.process.wait()).await.expect("the operator ends within 30 s of SIGTERM").expect("its exit status")
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let Ok(file) = File::open(&self.log) else { return "no log".into() };
        let lines: Vec<String> = BufReader::new(file).lines().map_while(Result::ok).collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    pub fn has_panicked(&self) -> bool {
        std::fs::read_to_string(&self.log).is_ok_and(|log| log.contains("panicked at"))
    }
}

fn spawn(namespace: &str, log: &PathBuf, health: SocketAddr) -> Child {
    let binary = std::env::var("TASK_MANAGER_BIN")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../target/debug/task-manager").into());
    let log = File::options().create(true).append(true).open(log).expect("a log file");
    Command::new(&binary)
        .args(["run", "--watch-namespace", namespace, "--health-addr", &health.to_string()])
        .env("KUBECONFIG", kubeconfig())
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("the log file"))
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{binary} does not start: {error}; build it with cargo build, or set TASK_MANAGER_BIN"))
}

/// Below the range that connections draw their ports from, so that nobody takes it in between.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let drawn = (std::process::id() + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        let address = SocketAddr::from(([127, 0, 0, 1], 20_000 + drawn as u16));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
