//! How an end is told: errors of the work, of the command, and of the agent itself.

use harness::{Operator, eventually};
use serde_json::json;
use task_manager::api::worker_protocol::WorkError;
use tokio::process::Command;

use crate::stage::{Stage, entries, result};

#[tokio::test]
async fn an_error_in_the_result_file_is_handed_in_with_the_exit_code() {
    let script = r#"jq -c .left "$TASK_PAYLOAD_FILE" >"$TASK_RESULT_FILE"; exit "$(jq .code "$TASK_PAYLOAD_FILE")""#;
    let mut stage = Stage::with_agent("errors", script).await;
    let error = json!({"error": {"type": "RateLimited", "message": "come back later", "retryable": false}});
    let task = stage.play.task(&json!({"left": error, "code": 65}));
    let done = stage.run(&task).await;
    let said = WorkError {
        type_: Some("RateLimited".into()),
        message: Some("come back later".into()),
        retryable: Some(false),
    };
    assert_eq!((done.exit_code, done.error, done.result.is_none()), (Some(65), Some(said), true));
    // Exit code 0 is success, whatever stands there.
    let task = stage.play.task(&json!({"left": error, "code": 0}));
    assert_eq!(result(&stage.run(&task).await), error);
    let task = stage.play.task(&json!({"left": "no error", "code": 1}));
    let done = stage.run(&task).await;
    assert_eq!((done.exit_code, done.error, done.result.is_none()), (Some(1), None, true));
    stage.stop().await;
}

#[tokio::test]
async fn a_signal_that_ended_the_work_is_told_as_a_shell_tells_it() {
    let mut stage = Stage::with_agent("signals", "kill -KILL $$").await;
    let task = stage.task();
    let done = stage.run(&task).await;
    assert_eq!((done.exit_code, done.ended_for), (Some(137), None));
    stage.stop().await;
}

#[tokio::test]
async fn an_agent_without_its_command_takes_no_task() {
    let stage = Stage::set("no-command").await;
    let mut agent = stage.agent(&[], &["no-such-command", "x"]);
    agent.env("TASK_API_URL", stage.play.url()).env("TASK_TOKEN_FILE", stage.play.token_file());
    let ended = agent.status().await.expect("it ends");
    assert_eq!(ended.code(), Some(127));
    assert!(stage.written("stderr").contains("no command \"no-such-command\""), "{}", stage.written("stderr"));
    assert_eq!(entries(&stage.tasks()), 0);
}

#[tokio::test]
async fn an_agent_that_is_used_wrongly_says_what_is_missing() {
    let run = async |arguments: &[&str]| {
        let mut agent = Command::new(Operator::binary());
        agent.env_remove("TASK_API_URL").env_remove("TASK_TOKEN_FILE").arg("worker").args(arguments);
        let said = agent.output().await.expect("it ends");
        (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned())
    };
    let (code, said) = run(&["--", "true"]).await;
    assert!(code == Some(2) && said.contains("--api-url") && said.contains("--token-file"), "{said}");
    let (code, said) = run(&["--api-url", "http://a", "--token-file", "/b"]).await;
    assert!(code == Some(2) && said.contains("COMMAND"), "{said}");
    let (code, said) = run(&["--api-url", "operator:1", "--token-file", "/b", "--", "true"]).await;
    assert!(code == Some(1) && said.contains("http://host:port"), "{said}");
}

#[tokio::test]
async fn the_agent_copies_itself_for_an_init_container() {
    let stage = Stage::set("install").await;
    let mut agent = Command::new(Operator::binary());
    let said = agent.args(["worker", "--install"]).arg(&stage.folder).output().await.expect("it ends");
    assert!(said.status.success(), "{said:?}");
    let copy = stage.folder.join("task-manager");
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), copy.to_string_lossy());
    let said = Command::new(copy).arg("--version").output().await.expect("it runs");
    assert!(said.status.success());
}

#[tokio::test]
async fn a_result_that_the_store_refuses_is_told_as_an_error() {
    let script = r#"head -c 9000 /dev/zero >"$TASK_RESULT_FILE"; sleep 1"#;
    let mut stage = Stage::with_agent("refused", script).await;
    let task = stage.task();
    stage.play.give(&task).await.expect("taken");
    // The board answers 409 to what is put for a lease that it does not know, and the lease is over for the agent then.
    stage.play.board().pulses.lock().remove(&task.lease);
    let call = stage.play.call().await.expect("it asks for the next");
    assert!(call.done().is_none(), "nothing is handed in of a lease that is over");
    stage.play.leave_open(call);
    eventually("its files are gone", harness::SOON, async || {
        let root = std::fs::read_dir(stage.tasks()).ok()?.next()?.ok()?;
        (entries(&root.path()) == 0).then_some(())
    })
    .await;
    stage.stop().await;
}
