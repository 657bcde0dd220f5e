//! The agent around the command of a Job's pod.

use harness::SOON;
use rustix::process::Signal;
use task_manager::api::worker_protocol::LeasedTask;
use task_manager::worker_check::Pulse;

use crate::stage::Stage;

async fn around(name: &str, script: &str) -> (Stage, LeasedTask) {
    let mut stage = Stage::set(name).await;
    // A report of a Job's pod names its attempt.
    let attempt = LeasedTask { lease: "attempt 3".into(), ..stage.task() };
    stage.play.answer_beats(&attempt, Pulse::GoOn);
    let mut command = stage.agent(&["--once"], &["sh", "-c", script]);
    command.env("TASK_ATTEMPT", "3");
    stage.play.start(command).expect("the agent starts");
    (stage, attempt)
}

#[tokio::test]
async fn a_jobs_progress_is_told_and_its_exit_code_is_the_commands() {
    let script = r#"echo out; echo err >&2; echo 40 >"$TASK_PROGRESS_FILE"; sleep 5; exit 65"#;
    let (mut stage, attempt) = around("once", script).await;
    stage.play.beat(&attempt, |said| said.percent == Some(40.0)).await.expect("it is told");
    let ended = stage.play.end(SOON).await.expect("it ends");
    assert_eq!(ended.code(), Some(65));
    assert_eq!((stage.written("stdout").as_str(), stage.written("stderr").as_str()), ("out\n", "err\n"));
    assert_eq!(stage.play.heard(&attempt).beats.len(), 1, "nothing new, nothing said");
    assert_eq!(crate::stage::entries(&stage.tasks()), 0, "files are left");
}

#[tokio::test]
async fn sigterm_reaches_a_jobs_command_though_it_is_a_shell() {
    let (mut stage, _) = around("once-ended", r#"echo run >"$OUT"; sleep 300"#).await;
    harness::eventually("it runs", SOON, async || (!stage.written("out").is_empty()).then_some(())).await;
    stage.signal(Signal::TERM);
    assert_eq!(stage.play.end(SOON).await.expect("it ends").code(), Some(143));
}

#[tokio::test]
async fn a_jobs_command_runs_without_a_worker_port() {
    let stage = Stage::set("once-alone").await;
    let mut agent = stage.agent(&["--once"], &["sh", "-c", "test -n \"$TASK_PROGRESS_FILE\"; exit 7"]);
    let ended = agent.env_remove("TASK_API_URL").env_remove("TASK_TOKEN_FILE").status().await.expect("it ends");
    assert_eq!(ended.code(), Some(7));
}

#[tokio::test]
async fn a_jobs_command_finds_the_checkpoint_of_the_attempt_before_and_leaves_one() {
    let script = r#"cat "$TASK_CHECKPOINT_FILE" >"$OUT"; echo page 70 >"$TASK_CHECKPOINT_FILE"; exit 1"#;
    let mut stage = Stage::set("once-checkpoint").await;
    let attempt = LeasedTask { lease: "attempt 3".into(), ..stage.task() };
    stage.play.answer_beats(&attempt, Pulse::GoOn);
    stage.play.has_left(&attempt, Some("page 60"));
    let mut command = stage.agent(&["--once"], &["sh", "-c", script]);
    command.env("TASK_ATTEMPT", "3");
    stage.play.start(command).expect("the agent starts");
    assert_eq!(stage.play.end(SOON).await.expect("it ends").code(), Some(1));
    assert_eq!(
        (stage.written("out").as_str(), stage.play.checkpoints(&attempt)),
        ("page 60", vec!["page 70\n".into()])
    );
    assert_eq!(crate::stage::entries(&stage.tasks()), 0, "files are left");
}
