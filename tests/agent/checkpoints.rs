//! TASK_CHECKPOINT_FILE: what the work finds in it, and what of it is sent.

use std::time::{Duration, Instant};

use harness::{SOON, eventually};
use rustix::process::Signal;
use serde_json::json;
use task_manager::api::worker_protocol::{LARGEST_CHECKPOINT_BYTES, LeasedTask};
use task_manager::worker_check::Pulse;

use crate::stage::{Stage, result};

/// Says what it finds, and writes the name of the step that the payload names beside the file before it renames it.
const STEPS: &str = r#"
cat "$TASK_CHECKPOINT_FILE" >"$OUT" 2>/dev/null || echo none >"$OUT"
step() { printf %s "$1" >"$TASK_CHECKPOINT_FILE.new" && mv "$TASK_CHECKPOINT_FILE.new" "$TASK_CHECKPOINT_FILE"; }
"#;

fn script(then: &str) -> String {
    format!("{STEPS}{then}")
}

async fn sent(stage: &Stage, task: &LeasedTask, checkpoints: &[&str]) {
    eventually("these checkpoints are sent", SOON, async || {
        (stage.play.checkpoints(task) == checkpoints).then_some(())
    })
    .await;
}

fn later(stage: &mut Stage) -> LeasedTask {
    LeasedTask { attempt: 2, checkpoint: true, ..stage.task() }
}

#[tokio::test]
async fn the_work_finds_what_an_earlier_attempt_left_and_a_first_one_nothing() {
    let mut stage = Stage::with_agent("checkpoint-found", &script(r#"jq -R . "$OUT" >"$TASK_RESULT_FILE""#)).await;
    let first = stage.task();
    assert_eq!(result(&stage.run(&first).await), json!("none"));
    let second = later(&mut stage);
    stage.play.has_left(&second, Some("page 60"));
    assert_eq!(result(&stage.run(&second).await), json!("page 60"));
    assert!(stage.play.checkpoints(&second).is_empty(), "what came from there is not sent back");
    // Somebody else has seen to it meanwhile that there is none.
    let third = later(&mut stage);
    assert_eq!(result(&stage.run(&third).await), json!("none"));
    stage.stop().await;
}

#[tokio::test]
async fn a_checkpoint_is_sent_as_it_changes_and_at_most_every_ten_seconds() {
    let then = "for page in 1 2 3 4 5 6; do step \"page $page\"; sleep 0.5; done; sleep 300";
    let mut stage = Stage::with_agent("checkpoint-sent", &script(then)).await;
    let task = stage.task();
    stage.play.give(&task).await.expect("taken");
    eventually("two are sent", SOON, async || (stage.play.checkpoints(&task).len() == 2).then_some(())).await;
    let heard = stage.play.heard(&task).checkpoints;
    assert!(heard[0].1.starts_with(b"page "), "{heard:?}");
    assert_eq!(heard[1].1, "page 6", "the last one counts");
    assert!(heard[1].0 - heard[0].0 > Duration::from_secs(9), "{heard:?}");
    stage.play.answer_beats(&task, Pulse::Over);
    stage.stop().await;
}

#[tokio::test]
async fn at_sigterm_the_last_checkpoint_is_sent_before_the_task_is_handed_in() {
    let then = r#"trap 'step last; kill $!; exit 1' TERM; step begun; sleep 300 & wait"#;
    let mut stage = Stage::with_agent("checkpoint-term", &script(then)).await;
    let task = stage.task();
    stage.play.give(&task).await.expect("taken");
    sent(&stage, &task, &["begun"]).await;
    stage.signal(Signal::TERM);
    let (call, done) = stage.play.call_with(&task).await.expect("it is handed in");
    assert_eq!((done.exit_code, done.ended_for.as_deref()), (Some(1), Some("WorkerLost")));
    assert_eq!(stage.play.checkpoints(&task), ["begun", "last"]);
    call.keep();
    assert!(stage.play.end(SOON).await.expect("it ends").success());
}

#[tokio::test]
async fn of_work_that_was_killed_only_a_checkpoint_that_is_whole_is_sent() {
    for (then, checkpoints) in [
        // It is overwritten in place, and the work killed in the middle of it.
        (r#"printf half >"$TASK_CHECKPOINT_FILE"; kill -9 $$"#, vec!["begun"]),
        ("step whole; kill -9 $$", vec!["begun", "whole"]),
        // By itself it ends when it has written.
        (r#"printf whole >"$TASK_CHECKPOINT_FILE"; exit 1"#, vec!["begun", "whole"]),
    ] {
        let then = format!(r#"step begun; until [ -e "$OUT.go" ]; do sleep 0.1; done; {then}"#);
        let mut stage = Stage::with_agent("checkpoint-killed", &script(&then)).await;
        let task = stage.task();
        stage.play.give(&task).await.expect("taken");
        sent(&stage, &task, &["begun"]).await;
        std::fs::write(stage.folder.join("out.go"), "").expect("written");
        let done = stage.play.done(&task).await.expect("handed in");
        assert!(done.has_failed(), "{done:?}");
        assert_eq!(stage.play.checkpoints(&task), checkpoints);
        stage.stop().await;
    }
}

#[tokio::test]
async fn a_checkpoint_that_is_too_large_is_told_of_and_not_sent() {
    let then = format!(
        r#"step small; until [ -e "$OUT.go" ]; do sleep 0.1; done; step "$(head -c {} /dev/zero | tr '\0' x)"; exit 1"#,
        LARGEST_CHECKPOINT_BYTES + 1
    );
    let mut stage = Stage::with_agent("checkpoint-large", &script(&then)).await;
    let task = stage.task();
    stage.play.give(&task).await.expect("taken");
    sent(&stage, &task, &["small"]).await;
    std::fs::write(stage.folder.join("out.go"), "").expect("written");
    stage.play.done(&task).await.expect("handed in");
    assert_eq!(stage.play.checkpoints(&task), ["small"]);
    assert!(stage.written("stderr").contains("the checkpoint has 1048577 bytes and is not sent"));
    stage.stop().await;
}

#[tokio::test]
async fn work_that_succeeds_or_is_cancelled_leaves_no_last_checkpoint() {
    let mut stage = Stage::with_agent("checkpoint-done", &script("step all; exit 0")).await;
    let task = stage.task();
    assert!(!stage.run(&task).await.has_failed());
    assert!(stage.play.checkpoints(&task).is_empty());
    stage.stop().await;
}

#[tokio::test]
async fn while_the_store_is_away_the_work_waits_a_tenth_of_its_time_and_begins_without() {
    let mut stage = Stage::with_agent("checkpoint-away", &script(r#"jq -R . "$OUT" >"$TASK_RESULT_FILE""#)).await;
    let task = LeasedTask { timeout_seconds: 60, ..later(&mut stage) };
    stage.play.has_left(&task, None);
    let began = Instant::now();
    assert_eq!(result(&stage.run(&task).await), json!("none"));
    assert!(began.elapsed() >= Duration::from_secs(6), "{:?}", began.elapsed());
    assert!(stage.play.heard(&task).beats.len() >= 3, "it is heard meanwhile");
    // It is back in time.
    let task = LeasedTask { timeout_seconds: 600, ..later(&mut stage) };
    stage.play.has_left(&task, None);
    stage.play.give(&task).await.expect("taken");
    stage.play.beat(&task, |_| true).await.expect("it is heard");
    stage.play.has_left(&task, Some("page 60"));
    assert_eq!(result(&stage.play.done(&task).await.expect("handed in")), json!("page 60"));
    stage.stop().await;
}

#[tokio::test]
async fn work_that_waits_for_its_checkpoint_is_ended_as_any_other() {
    let mut stage = Stage::with_agent("checkpoint-ended", "echo begun >\"$OUT\"").await;
    let task = later(&mut stage);
    stage.play.has_left(&task, None);
    stage.play.give(&task).await.expect("taken");
    stage.play.beat(&task, |_| true).await.expect("it is heard");
    stage.signal(Signal::TERM);
    let (call, done) = stage.play.call_with(&task).await.expect("it is handed in");
    assert_eq!((done.has_failed(), done.ended_for.as_deref()), (true, Some("WorkerLost")));
    call.keep();
    assert!(stage.play.end(SOON).await.expect("it ends").success());
    assert_eq!(stage.written("out"), "", "it never began");
}

#[tokio::test]
async fn a_checkpoint_that_is_not_taken_is_sent_again_and_the_newest_of_them() {
    let mut stage = Stage::with_agent("checkpoint-again", &script("step one; sleep 4; step two; sleep 300")).await;
    let task = stage.task();
    stage.play.give(&task).await.expect("taken");
    stage.play.answer_beats(&task, Pulse::Away);
    eventually("it is said again", SOON, async || {
        stage.written("stderr").contains("the checkpoint is said again").then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    stage.play.answer_beats(&task, Pulse::GoOn);
    sent(&stage, &task, &["two"]).await;
    stage.play.answer_beats(&task, Pulse::Over);
    stage.stop().await;
}
