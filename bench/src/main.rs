//! Measures what the operator costs, on a control plane of its own with fake nodes, and prints tables.
//!
//! Each run has a fresh control plane (etcd, API server, controller-manager, scheduler, kwok; see
//! e2e/cluster) and is a process of its own, so that nothing of one run lives on in the next. The operator is the
//! release build under a service account of its own, so priority and fairness count it as anybody. Cases that are
//! compared take turns: A B A B …. The load generator, the control plane and the operator share one machine, and
//! in a saturated run the processor is what bounds: the rate is the processors' time divided by the CPU time of
//! one task, all processes together. So the ratios say something, and the absolute figures only about one machine.
//!
//! - `queue`: Tasks through a queue of capacity 50, all created as fast as it goes, beside plain Jobs of the same
//!   pod template of which the generator keeps 50 going; beside Tasks that bare pods run, and such Jobs in a queue of Kueue with room for 50
//!   (without client limits, its webhooks on loopback, as an administrator whom no priority and fairness holds back).
//! - `pool`, a part of `queue`: Tasks that come over REST and that eight warm workers run, whose work takes no time, beside a
//!   writer that creates as many Tasks and writes both statuses of each and does nothing else; how long a task takes on
//!   an idle pool. There are no nodes: the workers are played in the generator's process.
//! - `node`: such a pool on a real node (kubelet and containerd), whose agent runs a trivial command for each task; beside
//!   plain Jobs of that command. Needs root; apart from that it is left out with a word.
//! - `paced`: five a second, Jobs and Tasks in alternating blocks: how long from create to Complete, and all
//!   requests that one costs.
//! - `queued`: 10,000 Tasks with a payload of 1 KiB that wait behind 50 that never end: memory and CPU.
//! - `http`: REST under load: submissions beside Tasks created at the API server itself, statuses at rest and under
//!   load, memory. Apart from the others, by `make bench-http`, which brings the load generator.
//! - `admission`: what `cargo bench` found, as a table.

mod driver;
mod generator;
mod http;
mod measurements;
mod node;
mod paced;
mod plane;
mod pool;
mod queue;
mod queued;
mod report;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything (the default).
    All(Size),
    /// A queue of capacity 50 beside plain Jobs of which 50 are kept going, and beside Kueue.
    Queue(Size),
    /// A pool of eight warm workers beside a writer that only writes.
    Pool(Size),
    /// The same on a real node, with the agent, beside plain Jobs (as root).
    Node(Size),
    /// Latency and requests of a few a second.
    Paced(Size),
    /// Memory and CPU with many queued.
    Queued(Size),
    /// REST under load.
    Http(Size),
    /// The admission benchmark's figures.
    Admission,
    /// One run, against the control plane that is up; for this program itself.
    #[command(hide = true)]
    Run { case: driver::Case, count: usize },
}

#[derive(Clone, Copy, Debug, clap::Args)]
struct Size {
    /// How often each case is run.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Tasks and Jobs of a saturated run.
    #[arg(long, default_value_t = 1000)]
    tasks: usize,
    /// Tasks and Jobs of a paced run.
    #[arg(long, default_value_t = 100)]
    paced: usize,
    /// Tasks that wait.
    #[arg(long, default_value_t = 10_000)]
    queued: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self { rounds: 3, tasks: 1000, paced: 100, queued: 10_000 }
    }
}

#[tokio::main]
async fn main() {
    match Cli::parse().command.unwrap_or(Command::All(Size::default())) {
        Command::All(size) => {
            report::admission();
            driver::queued(size).await;
            driver::paced(size).await;
            driver::queue(size).await;
            driver::node(size).await;
        }
        Command::Queue(size) => driver::queue(size).await,
        Command::Pool(size) => driver::pool(size).await,
        Command::Node(size) => driver::node(size).await,
        Command::Paced(size) => driver::paced(size).await,
        Command::Queued(size) => driver::queued(size).await,
        Command::Http(size) => driver::http(size).await,
        Command::Admission => report::admission(),
        Command::Run { case, count } => driver::run(case, count).await,
    }
}
