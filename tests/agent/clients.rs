//! The clients of docs/worker-clients and the agent, as `task-manager worker-check` judges them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use harness::{Operator, target};
use serde_json::json;
use tokio::process::Command;
use tokio::time::timeout;

use crate::stage::{Stage, result};

/// The work that worker-check asks for, in shell.
const WORK: &str = r#"set -e; sleep "$(jq '.seconds // 0' "$TASK_PAYLOAD_FILE")"
    jq -c 'if has("fail") then error(.fail) else .answer end' "$TASK_PAYLOAD_FILE" >"$TASK_RESULT_FILE""#;
/// A check takes about fifteen seconds.
const CHECKED_WITHIN: Duration = Duration::from_secs(180);

fn clients() -> PathBuf {
    target().join("../docs/worker-clients")
}

/// The lines that worker-check prints about a worker, and whether it found fault.
async fn checked(worker: &[&str]) -> (bool, String) {
    let mut check = Command::new(Operator::binary());
    check.args(["worker-check", "--"]).args(worker).stdin(Stdio::null()).kill_on_drop(true);
    let said = timeout(CHECKED_WITHIN, check.output()).await.expect("it ends in time").expect("it runs");
    let out = String::from_utf8_lossy(&said.stdout).into_owned();
    (said.status.success(), format!("{out}\n{}", String::from_utf8_lossy(&said.stderr)))
}

/// All promises are kept; so many are not made.
async fn keeps_all(worker: &[&str], not_made: usize) {
    let (is_good, said) = checked(worker).await;
    assert!(is_good && !said.contains("FAILED"), "{said}");
    assert_eq!(said.matches("Not promised").count(), not_made, "{said}");
}

fn path(file: &Path) -> &str {
    file.to_str().expect("a path")
}

#[tokio::test]
async fn the_agent_keeps_every_promise() {
    keeps_all(&[path(&Operator::binary()), "worker", "--", "sh", "-c", WORK], 0).await;
}

#[tokio::test]
async fn the_agent_keeps_every_promise_with_several_slots() {
    keeps_all(&[path(&Operator::binary()), "worker", "--slots", "4", "--", "sh", "-c", WORK], 0).await;
}

#[tokio::test]
async fn the_python_client_keeps_its_promises() {
    keeps_all(&["python3", path(&clients().join("worker.py"))], 3).await;
}

#[tokio::test]
async fn the_shell_client_keeps_its_promises() {
    keeps_all(&["sh", path(&clients().join("worker.sh"))], 3).await;
}

#[tokio::test]
async fn the_go_client_keeps_its_promises() {
    let binary = target().join("test-agent-go-worker");
    let source = clients().join("worker.go");
    let built = Command::new("go").args(["build", "-o"]).arg(&binary).arg(source).output().await.expect("go runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    keeps_all(&[path(&binary)], 0).await;
}

#[tokio::test]
async fn the_rust_client_keeps_its_promises() {
    keeps_all(&[env!("CARGO_BIN_EXE_rust-worker")], 0).await;
}

#[tokio::test]
async fn a_worker_that_forgets_what_it_has_done_is_found_out() {
    let folder = target().join("test-agent");
    std::fs::create_dir_all(&folder).expect("a folder");
    let forgetful = folder.join(format!("forgetful-{}.py", std::process::id()));
    let client = std::fs::read_to_string(clients().join("worker.py")).expect("a client");
    let once = client.replace("        time.sleep(pause)\n", "        time.sleep(pause)\n        done = None\n");
    assert_ne!(client, once);
    std::fs::write(&forgetful, once).expect("written");
    let (is_good, said) = checked(&["python3", path(&forgetful)]).await;
    assert!(!is_good && said.contains("it asked for work and did not hand in what it had"), "{said}");
    std::fs::remove_file(forgetful).expect("removed");
}

#[tokio::test]
async fn a_worker_that_ends_at_once_fails_the_check_at_once() {
    let (is_good, said) = checked(&["sh", "-c", "exit 7"]).await;
    assert!(!is_good && said.contains("it ended: exit status: 7"), "{said}");
    assert_eq!(said.matches("FAILED").count(), 1, "{said}");
}

#[tokio::test]
async fn a_model_is_loaded_once_and_kept_for_many_tasks() {
    let mut stage = Stage::set("model").await;
    let mut command = Command::new("python3");
    let log = std::fs::File::create(stage.folder.join("stdout")).expect("a file");
    command.arg(clients().join("model.py")).stdout(log);
    stage.play.start(command).expect("it starts");
    let process = stage.pid();
    for number in 0..50 {
        let task = stage.play.task(&json!({"texts": ["good and great", "awful", "a page"]}));
        let done = stage.run(&task).await;
        assert_eq!(result(&done), json!({"scores": [3, -2, 0], "process": process}), "task {number}");
    }
    let broken = stage.play.task(&json!({"text": "misspelt"}));
    let error = stage.run(&broken).await.error.expect("an error");
    assert_eq!(error.type_.as_deref(), Some("KeyError"));
    let long = stage.play.task(&json!({"texts": vec!["good"; 30_000]}));
    stage.play.give(&long).await.expect("taken");
    stage.play.beat(&long, |said| said.total == Some(30_000.0)).await.expect("it is heard, and says how far it is");
    let cancel = task_manager::api::worker_protocol::Cancel { reason: "Cancelled".into(), grace_seconds: 5 };
    stage.play.answer_beats(&long, task_manager::worker_check::Pulse::Cancel(cancel));
    let error = stage.play.done(&long).await.expect("handed in").error.expect("an error");
    assert_eq!((error.type_.as_deref(), error.message.as_deref()), (Some("Stopped"), Some("Cancelled")));
    stage.play.open_call().await.expect("it asks").stop();
    assert!(stage.play.end(harness::SOON).await.expect("it ends").success());
    assert_eq!(stage.written("stdout").matches("the model is loaded").count(), 1);
}

#[test]
fn the_page_shows_the_clients_as_they_are_tested() {
    let page = std::fs::read_to_string(target().join("../docs/worker-protocol.md")).expect("the page");
    for (client, language) in [("worker.py", "python"), ("worker.sh", "sh")] {
        let source = std::fs::read_to_string(clients().join(client)).expect("a client");
        assert!(page.contains(&format!("```{language}\n{source}```")), "the page shows another {client}");
    }
    let lines = std::fs::read_to_string(clients().join("worker.py")).expect("a client").lines().count();
    assert!(lines <= 30, "the client in Python has {lines} lines");
}
