//! Runs each case in a process of its own on a fresh control plane, and reports.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use clap::ValueEnum;
use harness::target;
use task_manager::api::Executor;
use tokio::process::Command;

use crate::measurements::Measurements;
use crate::{Size, http, node, paced, pool, queue, queued, report};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Case {
    Jobs,
    Tasks,
    /// Tasks that bare pods run.
    Pods,
    Kueue,
    /// Tasks that a pool of warm workers runs.
    Pool,
    /// Such tasks on a real node.
    Node,
    Paced,
    Queued,
    Http,
}

const NAME: &str = "bench";

/// The runs of each case, in turns.
async fn take_turns(cases: &[Case], count: usize, rounds: usize) -> BTreeMap<Case, Vec<Measurements>> {
    let mut found: BTreeMap<Case, Vec<Measurements>> = BTreeMap::new();
    for round in 1..=rounds {
        for case in cases {
            eprintln!("round {round} of {rounds}: {case:?} …");
            found.entry(*case).or_default().push(on_a_fresh_cluster(*case, count).await);
        }
    }
    found
}

pub async fn queue(size: Size) {
    let cases = [Case::Jobs, Case::Tasks, Case::Pods, Case::Kueue, Case::Pool];
    let mut found = take_turns(&cases, size.tasks, size.rounds).await;
    let all = cases.map(|case| found.remove(&case).unwrap_or_default());
    report::queue(all.each_ref(), size.tasks);
    report::pool(&all[4], size.tasks);
}

pub async fn pool(size: Size) {
    let mut found = take_turns(&[Case::Pool], size.tasks, size.rounds).await;
    report::pool(&found.remove(&Case::Pool).unwrap_or_default(), size.tasks);
}

pub async fn node(size: Size) {
    if !rustix::process::geteuid().is_root() {
        println!("\nA pool on a real node: left out, for the node needs root.");
        return;
    }
    let mut found = take_turns(&[Case::Node], size.paced, size.rounds).await;
    report::node(&found.remove(&Case::Node).unwrap_or_default(), size.paced);
}

pub async fn paced(size: Size) {
    let mut found = take_turns(&[Case::Paced], size.paced, size.rounds).await;
    report::paced(&found.remove(&Case::Paced).unwrap_or_default(), size.paced);
}

pub async fn queued(size: Size) {
    let mut found = take_turns(&[Case::Queued], size.queued, 1).await;
    report::queued(&found.remove(&Case::Queued).unwrap_or_default(), size.queued);
}

pub async fn http(size: Size) {
    let mut found = take_turns(&[Case::Http], size.queued, size.rounds).await;
    report::http(&found.remove(&Case::Http).unwrap_or_default(), size.queued);
}

/// Starts a control plane, or a node, runs the case in a process of its own, and takes it down.
async fn on_a_fresh_cluster(case: Case, count: usize) -> Measurements {
    cluster(&["down"]).await;
    let how = match case {
        // No node takes the pods of a pool: its workers are played.
        Case::Queued | Case::Pool => &["--control-plane"][..],
        Case::Kueue => &["--control-plane", "--with", "kcm,scheduler,kwok,kueue"],
        Case::Node => &[],
        _ => &["--control-plane", "--with", "kcm,scheduler,kwok"],
    };
    cluster(&[&["up"], how].concat()).await;
    let case = case.to_possible_value().expect("no case is hidden");
    let run = Command::new(std::env::current_exe().expect("this program"))
        .args(["run", case.get_name(), &count.to_string()])
        .env("TASK_MANAGER_TEST_KUBECONFIG", target().join(NAME).join("kubeconfig"))
        .env("TASK_MANAGER_E2E_KUBECONFIG", target().join(NAME).join("kubeconfig"))
        .env("TASK_MANAGER_BIN", binary())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts")
        // Not `output`, which would also capture standard error.
        .wait_with_output()
        .await
        .expect("it runs");
    cluster(&["down"]).await;
    assert!(run.status.success(), "the run failed: {}", run.status);
    serde_json::from_slice(&run.stdout).expect("a run tells what it found")
}

/// The program that TASK_MANAGER_BIN names, else the release build of this checkout.
fn binary() -> PathBuf {
    std::env::var_os("TASK_MANAGER_BIN").map_or_else(|| target().join("release/task-manager"), PathBuf::from)
}

async fn cluster(arguments: &[&str]) {
    let script = target().join("../e2e/cluster/cluster");
    let mut command = Command::new(script);
    let done = command.args(arguments).args(["--name", NAME]).output().await.expect("the script runs");
    assert!(done.status.success(), "cluster {arguments:?}: {done:?}");
}

/// Runs one case and prints its measurements as JSON.
pub async fn run(case: Case, count: usize) {
    let found = match case {
        Case::Jobs => queue::jobs(count).await,
        Case::Tasks => queue::tasks(count, Executor::Job).await,
        Case::Pods => queue::tasks(count, Executor::Pod).await,
        Case::Kueue => queue::kueue(count).await,
        Case::Pool => pool::run(count).await,
        Case::Node => node::run(count).await,
        Case::Paced => paced::run(count).await,
        Case::Queued => queued::run(count).await,
        Case::Http => http::run(count).await,
    };
    println!("{}", serde_json::to_string(&found).expect("JSON"));
}
