//! Invariants under faults between operator and API server: each life of a task is walked once for each of its
//! requests and each fault that can strike there.

mod archive;
mod batches;
mod checks;
mod lagging;
mod late;
mod leases;
mod lives;
mod pools;
mod silence;
mod sweep;
mod unreadable;
mod upkeep;
mod walk;
mod watches;

use harness::faults::{Fault, Kind, Passed, Plan, Point};
use lives::Life;
use sweep::sweep;
use walk::walk;

#[tokio::test]
async fn a_task_succeeds_once_whatever_fails() {
    every_fault_in(Life::success(), |point| !is_of_the_one_behind(point) && !is_of_the_lease(point)).await;
}

#[tokio::test]
async fn a_failure_is_counted_once_and_tried_again_whatever_fails() {
    every_fault_in(Life::retry(), is_of_the_task).await;
}

#[tokio::test]
async fn a_task_in_a_bare_pod_succeeds_once_whatever_fails() {
    every_fault_in(Life::success().in_bare_pods("pod-success"), is_of_the_task).await;
}

#[tokio::test]
async fn a_failure_of_a_bare_pod_is_counted_once_and_tried_again_whatever_fails() {
    every_fault_in(Life::retry().in_bare_pods("pod-retry"), is_of_the_task).await;
}

#[tokio::test]
async fn a_dead_letter_is_recorded_whatever_fails() {
    every_fault_in(Life::dead_letter(), is_of_the_task).await;
}

#[tokio::test]
async fn memory_grows_once_after_an_oom_whatever_fails() {
    every_fault_in(Life::out_of_memory(), is_of_the_task).await;
}

#[tokio::test]
async fn a_running_task_is_cancelled_once_whatever_fails() {
    every_fault_in(Life::cancel(), is_of_the_task).await;
}

#[tokio::test]
async fn work_past_its_timeout_is_ended_and_counted_once_whatever_fails() {
    every_fault_in(Life::timeout(), is_of_the_task).await;
}

#[tokio::test]
async fn work_that_ended_well_beside_a_helper_completes_whatever_fails() {
    every_fault_in(Life::helped(), is_of_the_task).await;
}

#[tokio::test]
async fn a_new_run_follows_the_running_one_whatever_fails() {
    every_fault_in(Life::new_run(), is_of_the_task).await;
}

async fn every_fault_in(life: Life, is_struck: impl Fn(&Point) -> bool) {
    let plans = |passed: &Passed| if is_struck(&passed.point) { every_fault(&passed.point) } else { vec![] };
    sweep(life.name, async |wire| walk(&life, wire).await, plans).await;
}

/// It is like the task itself, which is struck in its stead.
fn is_of_the_one_behind(point: &Point) -> bool {
    point.label.contains("rival")
}

fn is_of_the_lease(point: &Point) -> bool {
    matches!(point.kind, Kind::LeaseRead | Kind::LeaseWrite)
}

/// Requests that are not about the task are the same in every life, and struck in one of them.
fn is_of_the_task(point: &Point) -> bool {
    point.label.contains("one")
}

/// Every fault that can strike a request.
fn every_fault(point: &Point) -> Vec<Plan> {
    let cuts = [Fault::StopBefore, Fault::StopAfter, Fault::AnswerLost];
    let faults = match point.kind {
        // A dry run is answered as a write is.
        Kind::Read | Kind::LeaseRead if !point.label.ends_with("dry run") => cuts.to_vec(),
        Kind::Read | Kind::LeaseRead | Kind::Write | Kind::LeaseWrite => {
            cuts.into_iter().chain(refusals(point)).collect()
        }
        Kind::Watch | Kind::Event => vec![],
    };
    faults.into_iter().map(|fault| Plan::At(point.clone(), fault)).collect()
}

/// Answers of the API server or a proxy before it to a write, or none.
fn refusals(point: &Point) -> Vec<Fault> {
    // An existing object may have changed, or be said to have; a new one may exceed a quota.
    let overtaken = (!point.label.starts_with("POST")).then_some(Fault::Overtaken);
    let answers = [409, 429, 500, 503].map(Fault::Answer);
    let others = [Fault::CarriedOutBut(504), Fault::AnswerHeld, Fault::NeverSent];
    answers.into_iter().chain(others).chain(overtaken).collect()
}
