//! Calls that are lost, refused or not answered.

use harness::SOON;
use serde_json::json;
use task_manager::worker_check::Pulse;

use crate::stage::{Stage, result};

/// Counts its runs in a file, and hands in the number.
const COUNTED: &str = r#"echo run >>"$OUT"; wc -l <"$OUT" >"$TASK_RESULT_FILE""#;

#[tokio::test]
async fn a_task_whose_answer_was_lost_is_given_again_and_runs_once() {
    let mut stage = Stage::with_agent("lost", COUNTED).await;
    let task = stage.task();
    for _ in 0..3 {
        assert!(stage.play.open_call().await.expect("it asks").hang_up());
    }
    let done = stage.run(&task).await;
    assert_eq!(result(&done), json!(1));
    stage.stop().await;
}

#[tokio::test]
async fn what_is_done_is_handed_in_until_it_is_kept_and_runs_once() {
    let mut stage = Stage::with_agent("kept", COUNTED).await;
    let task = stage.task();
    stage.play.give(&task).await.expect("taken");
    for trouble in 0..9 {
        let (call, done) = stage.play.call_with(&task).await.expect("it is handed in");
        assert_eq!(result(&done), json!(1));
        match trouble % 3 {
            0 => call.hang_up(),
            1 => call.unavailable(0),
            _ => call.let_go(),
        };
    }
    let (call, done) = stage.play.call_with(&task).await.expect("it is handed in");
    assert_eq!(result(&done), json!(1));
    assert!(call.do_not_keep("Unknown"));
    let call = stage.play.call().await.expect("it asks for the next");
    assert!(call.done().is_none(), "a late word is not said again");
    stage.play.leave_open(call);
    stage.stop().await;
}

#[tokio::test]
async fn heartbeats_that_are_not_answered_do_not_end_the_work() {
    let script = r#"sleep 4; echo '"done"' >"$TASK_RESULT_FILE""#;
    let mut stage = Stage::with_agent("away", script).await;
    let task = stage.task();
    stage.play.give(&task).await.expect("taken");
    stage.play.answer_beats(&task, Pulse::Away);
    let done = stage.play.done(&task).await.expect("handed in");
    assert_eq!(result(&done), json!("done"));
    assert!(stage.play.heard(&task).beats.len() >= 2, "it is said again");
    stage.stop().await;
}

#[tokio::test]
async fn an_agent_outlives_an_operator_that_is_away_and_comes_back() {
    let mut stage = Stage::set("restart").await;
    let url = {
        // Nobody listens there yet.
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        free.local_addr().expect("an address")
    };
    let mut agent = stage.agent(&[], &["true"]);
    agent.env("TASK_API_URL", format!("http://{url}")).env("TASK_TOKEN_FILE", stage.play.token_file());
    let mut agent = agent.kill_on_drop(true).spawn().expect("it starts");
    tokio::time::sleep(harness::A_MOMENT).await;
    assert!(agent.try_wait().expect("asked").is_none(), "{}", stage.written("stderr"));
    let token = stage.folder.join("token");
    stage.play = task_manager::worker_check::Play::begin(url, token).await.expect("it listens");
    stage.play.patience = SOON;
    let task = stage.task();
    stage.play.give(&task).await.expect("taken");
    assert_eq!(stage.play.done(&task).await.expect("handed in").exit_code, Some(0));
    stage.play.open_call().await.expect("it asks").stop();
    assert!(agent.wait().await.expect("it ends").success());
}
