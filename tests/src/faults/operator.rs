//! An operator inside the test's own process, whose way to the API server is a [`Wire`].
//!
//! It has a thread and a runtime of its own. When the wire ends its life, the runtime is dropped at once with
//! nothing finished, and a new operator begins, as a Deployment would begin it.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use clap::Parser;
use task_manager::cli::{Cli, Command, RunOptions};
use task_manager::operator;
use tokio::runtime;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::layer::client;
use super::wire::Wire;
use crate::cluster::Cluster;
use crate::namespace::{Namespace, archive_of};
use crate::operator::{free_address, new_log};
use crate::patience::{SOON, eventually};
use crate::rest::Rest;
use crate::rights;

const LOGGED: &str = "info,kube_client=off,kube_runtime=warn";

pub struct WiredOperator {
    wire: Arc<Wire>,
    /// Asks the operator to end, as SIGTERM does.
    shutdown: CancellationToken,
    /// Ends it without asking.
    killed: CancellationToken,
    /// Whether the operator has ended, by itself or because the test ended it.
    ended: CancellationToken,
    log: PathBuf,
}

impl WiredOperator {
    /// An operator for this namespace alone.
    pub fn start(namespace: &Namespace, wire: &Arc<Wire>, flags: &[&str]) -> Self {
        let log = new_log(namespace);
        let operator = Self {
            wire: wire.clone(),
            shutdown: CancellationToken::new(),
            killed: CancellationToken::new(),
            ended: CancellationToken::new(),
            log: log.clone(),
        };
        let lives = Lives {
            cluster: namespace.cluster,
            namespace: namespace.name.clone(),
            options: options(&namespace.name, flags),
            wire: wire.clone(),
            shutdown: operator.shutdown.clone(),
            killed: operator.killed.clone(),
        };
        let ended = operator.ended.clone().drop_guard();
        let file = File::create(log).expect("a log file");
        let run = move || {
            let _ended = ended;
            logging_to(file, || lives.live());
        };
        thread::Builder::new().name("operator".into()).spawn(run).expect("a thread");
        operator
    }

    /// The same, serving REST for this namespace, once it does.
    pub async fn with_rest(namespace: &Namespace, wire: &Arc<Wire>, flags: &[&str]) -> (Self, Rest) {
        let address = free_address();
        let operator = Self::start(namespace, wire, &[&["--http-addr", &address.to_string()], flags].concat());
        eventually("it serves REST", SOON, async || {
            operator.logged().contains("knows the tasks that are served over REST").then_some(())
        })
        .await;
        (operator, Rest::at(address))
    }

    /// The same, listening to work, and a way to say it something.
    pub fn with_worker(namespace: &Namespace, wire: &Arc<Wire>, flags: &[&str]) -> (Self, Rest) {
        let address = free_address();
        let (at, url) = (address.to_string(), format!("http://{address}"));
        let operator = Self::start(namespace, wire, &[&["--worker-addr", &at, "--worker-url", &url], flags].concat());
        (operator, Rest::at(address))
    }

    /// Drops it in the middle of whatever it does; another one begins.
    pub fn crash(&self) {
        self.wire.stop();
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(self) {
        self.shutdown.cancel();
        eventually("the operator ends when it is asked to", SOON, async || self.has_ended().then_some(())).await;
    }

    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// The log so far, of all its lives.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for WiredOperator {
    fn drop(&mut self) {
        self.killed.cancel();
        // There are many of them, and only those of what failed are read.
        if !thread::panicking() {
            let _ = std::fs::remove_file(&self.log);
        }
    }
}

fn options(namespace: &str, flags: &[&str]) -> RunOptions {
    let ours = ["task-manager", "run", "--watch-namespace", namespace, "--health-addr", "127.0.0.1:0"];
    let archive = archive_of(namespace);
    let archive = if flags.contains(&"--archive") { [].as_slice() } else { &["--archive", &archive] };
    // Under one name it need not wait for the lease of the one that was dropped.
    let identity = if flags.contains(&"--identity") { [].as_slice() } else { &["--identity", "under-test"] };
    match Cli::parse_from(ours.iter().chain(archive).chain(identity).chain(flags)).command {
        Command::Run(options) => options,
        other => panic!("{other:?} runs no operator"),
    }
}

/// Everything that the thread logs meanwhile goes to `file`.
fn logging_to(file: File, run: impl FnOnce()) {
    let filter = EnvFilter::new(LOGGED);
    let log = tracing_subscriber::fmt().with_writer(Arc::new(file)).with_ansi(false).with_target(false);
    tracing::subscriber::with_default(log.with_env_filter(filter).finish(), run);
}

struct Lives {
    cluster: Cluster,
    namespace: String,
    options: RunOptions,
    wire: Arc<Wire>,
    shutdown: CancellationToken,
    killed: CancellationToken,
}

impl Lives {
    /// Runs one life after another, until one ends that the wire did not end.
    fn live(&self) {
        let mut life = self.wire.life();
        loop {
            let present = *life.borrow_and_update();
            // On one thread, the log of one operator can be told from that of another.
            let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let goes_on = runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = self.killed.cancelled() => false,
                    _ = life.changed() => true,
                    () = self.one(present) => false,
                }
            });
            runtime.shutdown_background();
            if !goes_on {
                return;
            }
            tracing::warn!(life = present + 1, "the operator was dropped; another one begins");
        }
    }

    async fn one(&self, life: usize) {
        let config = rights::config(self.cluster, &self.namespace).await;
        let client = client(config, self.wire.clone(), life, self.cluster.client().await).expect("a client");
        let ended = operator::run_with(client, self.options.clone(), self.shutdown.clone()).await;
        if let Err(error) = ended {
            tracing::error!(%error, "the operator failed");
        }
    }
}
