//! How the work is ended: timeout, cancel, a lease that is over, SIGTERM.

use std::time::{Duration, Instant};

use harness::{SOON, eventually};
use jiff::{SignedDuration, Timestamp};
use rustix::process::Signal;
use task_manager::api::worker_protocol::{Cancel, Done, LeasedTask};
use task_manager::worker_check::Pulse;

use crate::stage::{Stage, gone, result, state};

/// Says its own process and a child's, which ignore SIGTERM, and goes on for ever.
const STUBBORN: &str = r#"trap '' TERM; sleep 300 & echo $$ $! >"$OUT"; while :; do sleep 1; done"#;
/// Ends well after SIGTERM.
const WILLING: &str =
    r#"trap 'echo ended >"$TASK_RESULT_FILE"; kill $!; exit 0' TERM; sleep 300 & echo $$ $! >"$OUT"; wait"#;
/// Ends by SIGTERM.
const OBEDIENT: &str = r#"echo $$ $$ >"$OUT"; exec sleep 300"#;

/// Waits until the work runs; its processes.
async fn processes(stage: &Stage) -> Vec<i32> {
    eventually("the work runs", SOON, async || {
        let said = stage.written("out");
        let pids: Vec<i32> = said.split_whitespace().map(|pid| pid.parse().expect("a process")).collect();
        (said.ends_with('\n') && pids.len() == 2).then_some(pids)
    })
    .await
}

async fn all_gone(pids: &[i32]) {
    for pid in pids {
        gone(*pid, "a process of the task is gone").await;
    }
}

fn told(done: &Done) -> (Option<i32>, Option<&str>) {
    (done.exit_code, done.ended_for.as_deref())
}

#[tokio::test]
async fn a_timeout_kills_the_whole_group_though_it_ignores_sigterm() {
    let mut stage = Stage::with_flags("timeout", &["--grace-seconds", "1"], STUBBORN).await;
    let task = LeasedTask { timeout_seconds: 1, ..stage.task() };
    let began = Instant::now();
    stage.play.give(&task).await.expect("taken");
    let pids = processes(&stage).await;
    let done = stage.play.done(&task).await.expect("handed in");
    assert_eq!(told(&done), (Some(137), Some("Timeout")));
    assert!(began.elapsed() >= Duration::from_secs(2), "timeout and grace: {:?}", began.elapsed());
    all_gone(&pids).await;
    stage.stop().await;
}

#[tokio::test]
async fn a_task_that_was_handed_out_before_has_only_the_rest_of_its_time() {
    let mut stage = Stage::with_agent("rest", OBEDIENT).await;
    let ends_at = Timestamp::now() + SignedDuration::from_secs(2);
    let task = LeasedTask { timeout_seconds: 600, ends_at, ..stage.task() };
    let done = stage.run(&task).await;
    assert_eq!(told(&done), (Some(143), Some("Timeout")));
    stage.stop().await;
}

#[tokio::test]
async fn work_that_ends_well_after_sigterm_has_succeeded() {
    let mut stage = Stage::with_agent("willing", WILLING).await;
    let task = LeasedTask { timeout_seconds: 1, ..stage.task() };
    let done = stage.run(&task).await;
    assert_eq!((told(&done), result(&done)), ((Some(0), Some("Timeout")), "ended".into()));
    stage.stop().await;
}

#[tokio::test]
async fn a_cancel_ends_the_work_within_its_grace_and_is_handed_in() {
    let mut stage = Stage::with_agent("cancel", STUBBORN).await;
    let task = stage.task();
    stage.play.give(&task).await.expect("taken");
    let pids = processes(&stage).await;
    stage.play.answer_beats(&task, Pulse::Cancel(Cancel { reason: "Cancelled".into(), grace_seconds: 2 }));
    let cancelled = stage.play.beat(&task, |_| true).await.expect("a heartbeat");
    let done = stage.play.done(&task).await.expect("handed in");
    assert_eq!(told(&done), (Some(137), Some("Cancelled")));
    assert!(cancelled.elapsed() < Duration::from_secs(8), "{:?}", cancelled.elapsed());
    all_gone(&pids).await;
    stage.stop().await;
}

#[tokio::test]
async fn work_whose_lease_is_over_is_killed_at_once_and_not_handed_in() {
    let mut stage = Stage::with_agent("over", STUBBORN).await;
    let task = stage.task();
    stage.play.give(&task).await.expect("taken");
    let pids = processes(&stage).await;
    stage.play.answer_beats(&task, Pulse::Over);
    let call = stage.play.call().await.expect("it asks for the next");
    assert!(call.done().is_none(), "{:?}", call.done());
    all_gone(&pids).await;
    stage.play.leave_open(call);
    let next = stage.task();
    stage.play.give(&next).await.expect("it goes on");
    stage.play.answer_beats(&next, Pulse::Over);
    stage.stop().await;
}

#[tokio::test]
async fn an_idle_agent_ends_with_0_at_sigterm() {
    let mut stage = Stage::with_agent("idle", "true").await;
    let call = stage.play.call().await.expect("it asks");
    let began = Instant::now();
    stage.signal(Signal::TERM);
    assert!(stage.play.end(SOON).await.expect("it ends").success());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    eventually("its call is ended", SOON, async || (!call.is_open()).then_some(())).await;
}

#[tokio::test]
async fn a_busy_agent_passes_sigterm_on_and_hands_in_what_came_of_it() {
    for (script, code) in [(WILLING, 0), (OBEDIENT, 143)] {
        let mut stage = Stage::with_agent("busy", script).await;
        let task = stage.task();
        stage.play.give(&task).await.expect("taken");
        let pids = processes(&stage).await;
        stage.signal(Signal::TERM);
        let (call, done) = stage.play.call_with(&task).await.expect("it is handed in");
        assert_eq!((told(&done), call.request.wait), ((Some(code), Some("WorkerLost")), Some(0)));
        // The operator is away for a moment: it is said again before the agent ends.
        call.unavailable(1);
        let (call, _) = stage.play.call_with(&task).await.expect("it is handed in");
        call.keep();
        assert!(stage.play.end(SOON).await.expect("it ends").success());
        all_gone(&pids).await;
    }
}

#[tokio::test]
async fn what_hangs_in_a_call_is_handed_in_again_at_sigterm_without_waiting() {
    let mut stage = Stage::with_agent("hanging", "true").await;
    let task = stage.task();
    stage.play.give(&task).await.expect("taken");
    let (hanging, _) = stage.play.call_with(&task).await.expect("it is handed in");
    assert_eq!(hanging.request.wait, Some(25));
    stage.signal(Signal::TERM);
    let (call, _) = stage.play.call_with(&task).await.expect("it is handed in again");
    assert_eq!(call.request.wait, Some(0));
    call.keep();
    assert!(stage.play.end(SOON).await.expect("it ends").success());
}

#[tokio::test]
async fn a_process_that_leaves_its_group_ends_with_its_task() {
    let script = r#"setsid sleep 300 & sleep 0.2; echo $! $! >"$OUT"; exit 0"#;
    let mut stage = Stage::with_agent("daemon", script).await;
    let task = stage.task();
    let done = stage.run(&task).await;
    assert_eq!(told(&done), (Some(0), None));
    let pids = processes(&stage).await;
    assert!(pids.iter().all(|pid| state(*pid).is_none_or(|state| state == 'Z')), "it runs on");
    stage.stop().await;
}
