//! The operator under test, as a process: started with flags, asked over HTTP, ended in every way there is.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use task_manager::archive;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::archive::open_archive;
use crate::cluster::target;
use crate::metrics::Metrics;
use crate::namespace::{Namespace, archive_of};
use crate::patience::{SOON, eventually};
use crate::rest::Rest;

/// The deadline of the operator's end after SIGTERM.
const ENDS_WITHIN: Duration = Duration::from_secs(12);
const FREE_PORTS: std::ops::Range<u16> = 20_000..29_000;
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Where an operator runs.
#[derive(Clone)]
pub struct Place {
    /// The command that starts the program there, and becomes it.
    pub launcher: Vec<String>,
    /// The address at which the test reaches it.
    pub host: IpAddr,
}

/// Beside the test.
const HERE: Place = Place { launcher: vec![], host: IpAddr::V4(Ipv4Addr::LOCALHOST) };

pub struct Operator {
    place: Place,
    namespace: Namespace,
    flags: Vec<String>,
    kubeconfig: PathBuf,
    child: Child,
    pub health: SocketAddr,
    /// The address of REST, where it is served.
    rest: Option<SocketAddr>,
    pub log: PathBuf,
}

/// The end of an operator after SIGTERM.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub took: Duration,
}

impl Operator {
    /// The program: TASK_MANAGER_BIN, else the debug build of this checkout.
    pub fn binary() -> PathBuf {
        let named = std::env::var_os("TASK_MANAGER_BIN").map(PathBuf::from);
        let binary = named.unwrap_or_else(|| target().join("debug/task-manager"));
        assert!(binary.exists(), "there is no {}: run `cargo build`", binary.display());
        binary
    }

    /// The program, to be run in whatever way, with an archive that nobody reads.
    pub fn command() -> Command {
        let mut command = Command::new(Self::binary());
        command.env("TASK_MANAGER_ARCHIVE", archive_of("nobody"));
        command
    }

    /// An operator for this namespace alone, ready; it is whoever `kubeconfig` speaks for.
    pub async fn start(namespace: &Namespace, kubeconfig: PathBuf, flags: &[&str]) -> Self {
        Self::start_at(HERE, namespace, kubeconfig, flags).await
    }

    /// The same in a place of its own, as an administrator.
    pub async fn start_in(place: &Place, namespace: &Namespace, flags: &[&str]) -> Self {
        Self::start_at(place.clone(), namespace, namespace.cluster.kubeconfig(), flags).await
    }

    async fn start_at(place: Place, namespace: &Namespace, kubeconfig: PathBuf, flags: &[&str]) -> Self {
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        if !flags.iter().any(|flag| flag == "--archive") {
            // On a disk that has much else to do, making its tables may take longer than a call waits.
            let url = namespace.archive();
            eventually("the archive is there", SOON, async || {
                open_archive(&url, &archive::Options::default()).await.ok()
            })
            .await;
        }
        let operator = Self::spawn(place, namespace.clone(), kubeconfig, flags);
        operator.is_ready().await;
        operator
    }

    /// The same, serving REST for this namespace.
    pub async fn with_rest(namespace: &Namespace, flags: &[&str]) -> Self {
        Self::with_rest_as(namespace, namespace.operators_kubeconfig(), flags).await
    }

    /// The same, as whoever `kubeconfig` speaks for.
    pub async fn with_rest_as(namespace: &Namespace, kubeconfig: PathBuf, flags: &[&str]) -> Self {
        let rest = free_address().to_string();
        let flags = [&["--http-addr", &rest], flags].concat();
        Self::start(namespace, kubeconfig, &flags).await
    }

    /// The same, listening to work too.
    pub async fn with_worker(namespace: &Namespace, flags: &[&str]) -> Self {
        Self::with_worker_as(namespace, namespace.operators_kubeconfig(), flags).await
    }

    /// The same, as whoever `kubeconfig` speaks for.
    pub async fn with_worker_as(namespace: &Namespace, kubeconfig: PathBuf, flags: &[&str]) -> Self {
        let mut worker = free_address();
        let mut url = format!("http://{worker}");
        // Where there are nodes, pods reach this machine at an address of its own.
        if let Some(host) = namespace.cluster.host_address() {
            url = format!("http://{host}:{}", worker.port());
            worker.set_ip([0, 0, 0, 0].into());
        }
        let worker = worker.to_string();
        let flags = [&["--worker-addr", &worker, "--worker-url", &url], flags].concat();
        Self::with_rest_as(namespace, kubeconfig, &flags).await
    }

    /// A replica beside this one, which pods reach at the same URL, as behind a Service.
    pub async fn replica(&self, identity: &str) -> Self {
        let worker = free_address().to_string();
        let url = self.flag("--worker-url").expect("it listens to work");
        let flags = ["--worker-addr", &worker, "--worker-url", url, "--identity", identity];
        Self::with_rest_as(&self.namespace, self.kubeconfig.clone(), &flags).await
    }

    /// The value of this flag, if it was started with it.
    pub fn flag(&self, name: &str) -> Option<&str> {
        let at = self.flags.iter().position(|flag| flag == name)?;
        self.flags.get(at + 1).map(String::as_str)
    }

    /// A client of its worker API.
    pub fn worker(&self) -> Rest {
        Rest::at(self.worker_address())
    }

    pub fn worker_address(&self) -> SocketAddr {
        let at = self.flags.iter().position(|flag| flag == "--worker-addr").expect("it listens to work");
        self.flags[at + 1].parse().expect("an address")
    }

    /// A client of its REST, which stays the same over restarts.
    pub fn rest(&self) -> Rest {
        let rest = Rest::at(self.rest.expect("it was started with REST"));
        if self.flags.iter().any(|flag| flag == "--archive") { rest } else { rest.patient() }
    }

    fn spawn(place: Place, namespace: Namespace, kubeconfig: PathBuf, flags: Vec<String>) -> Self {
        let health = SocketAddr::new(place.host, free_address().port());
        let log = new_log(&namespace);
        let file = File::create(&log).expect("a log file");
        let launched = place.launcher.iter().map(PathBuf::from).chain([Self::binary()]).collect::<Vec<_>>();
        let child = Command::new(&launched[0])
            .args(&launched[1..])
            .args(["run", "--watch-namespace", &namespace.name, "--health-addr", &health.to_string()])
            .args(if flags.iter().any(|flag| flag == "--archive") {
                vec![]
            } else {
                vec!["--archive".into(), namespace.archive()]
            })
            .args(&flags)
            // Under one name it need not wait for the lease of the one that was killed.
            .args(if flags.iter().any(|flag| flag == "--identity") { vec![] } else { vec!["--identity", "under-test"] })
            .env("KUBECONFIG", &kubeconfig)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("the log file again"))
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .expect("the operator can be started");
        let rest = flags.iter().position(|flag| flag == "--http-addr").and_then(|at| flags.get(at + 1)?.parse().ok());
        Self { place, namespace, flags, kubeconfig, child, health, rest, log }
    }

    async fn is_ready(&self) {
        eventually("the operator is ready", SOON, async || {
            http_get(self.health, "/readyz").await.filter(|(status, _)| *status == 200).map(drop)
        })
        .await;
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    async fn signal(&self, signal: &str) {
        let pid = self.child.id().expect("the operator runs").to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().await.expect("a signal can be sent");
        assert!(sent.success(), "{signal} could not be sent");
    }

    /// Freezes it (SIGSTOP), like a paused machine.
    pub async fn freeze(&self) {
        self.signal("-STOP").await;
    }

    pub async fn thaw(&self) {
        self.signal("-CONT").await;
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    pub async fn stop(&mut self) -> Ended {
        let began = Instant::now();
        self.signal("-TERM").await;
        let ended = tokio::time::timeout(ENDS_WITHIN, self.child.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("the operator has not ended {ENDS_WITHIN:?} after SIGTERM"));
        Ended { status: status.expect("an exit status"), took: began.elapsed() }
    }

    /// Kills it (SIGKILL).
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("the operator can be killed");
    }

    /// Starts it again with the same flags, after `stop` or `kill`.
    pub async fn start_again(&mut self) {
        let flags = std::mem::take(&mut self.flags);
        *self = Self::spawn(self.place.clone(), self.namespace.clone(), self.kubeconfig.clone(), flags);
        self.is_ready().await;
    }

    /// SIGKILL, and a new one.
    pub async fn crash(&mut self) {
        self.kill().await;
        self.start_again().await;
    }

    pub async fn metrics(&self) -> Metrics {
        let (_, text) = http_get(self.health, "/metrics").await.expect("the operator answers");
        Metrics { text }
    }

    /// All successful writes to the API server so far.
    pub async fn writes(&self) -> u64 {
        self.metrics().await.count("task_manager_api_writes_total", &[("result", "ok")])
    }

    /// The log so far.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// A file for the log of an operator in this namespace, shown when the test fails.
pub(crate) fn new_log(namespace: &Namespace) -> PathBuf {
    let folder = target().join("test-logs").join("operators");
    std::fs::create_dir_all(&folder).expect("a folder for logs");
    let number = namespace.logs().len() + 1;
    let log = folder.join(format!("{}-{number}.log", namespace.name));
    namespace.keep_log(log.clone());
    log
}

/// A port that was free a moment ago, from outside the range out of which the kernel hands ports to others;
/// each call and each process begins somewhere else.
pub(crate) fn free_address() -> SocketAddr {
    static CALLS: AtomicU16 = AtomicU16::new(0);
    let ports = (0..FREE_PORTS.len() as u16).map(|_| {
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        FREE_PORTS.start + (std::process::id() as u16).wrapping_mul(97).wrapping_add(call) % FREE_PORTS.len() as u16
    });
    let mut addresses = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    addresses.find(|address| TcpListener::bind(address).is_ok()).expect("a free port")
}

/// Status and body of an answer; `None` where nobody answers.
pub async fn http_get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    };
    tokio::time::timeout(ANSWERS_WITHIN, asked).await.ok().flatten()
}
