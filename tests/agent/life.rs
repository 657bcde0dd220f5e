//! What the work finds, and what of it is handed in.

use harness::eventually;
use serde_json::json;
use task_manager::api::worker_protocol::{LARGEST_RESULT_BYTES, LOG_BYTES, LeasedTask};

use crate::stage::{Stage, children, entries, result};

#[tokio::test]
async fn the_work_finds_files_and_variables_as_in_a_jobs_container() {
    let script = r#"jq -n --slurpfile payload "$TASK_PAYLOAD_FILE" '{payload: $payload[0]} + ($ENV | {TASK_ID, TASK_NAME,
        TASK_TYPE, TASK_ATTEMPT, TASK_KB_ID, TASK_LEASE, TRACEPARENT, TMPDIR})' >"$TASK_RESULT_FILE"; test -d "$TMPDIR""#;
    let mut stage = Stage::with_agent("variables", script).await;
    let payload = json!({"uri": "s3://in/7.pdf"});
    let task = LeasedTask { attempt: 3, traceparent: Some("00-1-2-01".into()), ..stage.play.task(&payload) };
    let done = stage.run(&task).await;
    let mut seen = result(&done);
    let temporary = seen["TMPDIR"].take();
    assert!(temporary.as_str().is_some_and(|path| path.starts_with(&*stage.tasks().to_string_lossy())), "{temporary}");
    let expected = json!({
        "payload": payload, "TASK_ID": task.id, "TASK_NAME": task.name, "TASK_TYPE": "check", "TASK_ATTEMPT": "3",
        "TASK_KB_ID": "kb-1", "TASK_LEASE": task.lease, "TRACEPARENT": "00-1-2-01", "TMPDIR": null,
    });
    assert_eq!(seen, expected);
    assert_eq!((done.exit_code, done.error, done.ended_for), (Some(0), None, None));
    stage.stop().await;
}

#[tokio::test]
async fn a_thousand_tasks_in_a_row_leave_no_files_and_no_zombies() {
    // Each leaves a process behind that outlives it, and one that has ended.
    let script = r#"sleep 300 & (sleep 0 &) ; echo "$TASK_NAME" >"$TASK_RESULT_FILE"; touch "$TMPDIR/left""#;
    let mut stage = Stage::with_agent("thousand", script).await;
    for _ in 0..1000 {
        let task = stage.task();
        let done = stage.run(&task).await;
        assert_eq!(result(&done), json!(task.name));
    }
    let agent = stage.pid();
    eventually("no process is left", std::time::Duration::from_secs(10), async || {
        children(agent).is_empty().then_some(())
    })
    .await;
    let root = std::fs::read_dir(stage.tasks()).expect("a folder").next().expect("the agent's").expect("an entry");
    assert_eq!(entries(&root.path()), 0, "files of tasks are left");
    stage.stop().await;
}

#[tokio::test]
async fn several_slots_run_several_tasks_at_once() {
    let script = r#"echo $$ >"$OUT.$TASK_NAME"; sleep 300"#;
    let mut stage = Stage::with_flags("slots", &["--slots", "3"], script).await;
    let mut slots = Vec::new();
    for _ in 0..3 {
        let call = stage.play.any_call().await.expect("it asks");
        slots.push(call.request.slot);
        let task = stage.task();
        stage.play.answer_beats(&task, task_manager::worker_check::Pulse::GoOn);
        assert!(call.give(&task), "it waits for it");
        eventually("it runs", harness::SOON, async || {
            (!stage.written(&format!("out.{}", task.name)).is_empty()).then_some(())
        })
        .await;
    }
    slots.sort_unstable();
    assert_eq!(slots, [0, 1, 2]);
    assert_eq!(children(stage.pid()).len(), 3);
    stage.signal(rustix::process::Signal::TERM);
    for _ in 0..3 {
        let call = stage.play.any_call().await.expect("it hands in");
        assert!(call.done().is_some_and(|done| done.exit_code == Some(143) && call.request.wait == Some(0)));
        call.keep();
    }
    assert!(stage.play.end(harness::SOON).await.expect("it ends").success());
}

#[tokio::test]
async fn a_large_result_goes_into_the_store_before_the_task_is_handed_in() {
    let script = r#"head -c "$(jq .bytes "$TASK_PAYLOAD_FILE")" /dev/zero | tr '\0' x >"$TASK_RESULT_FILE""#;
    let mut stage = Stage::with_agent("large", script).await;
    for bytes in [4095, LARGEST_RESULT_BYTES] {
        let task = stage.play.task(&json!({"bytes": bytes}));
        let done = stage.run(&task).await;
        assert!(!done.has_failed() && done.result.is_none(), "{done:?}");
        let (content_type, content) = stage.play.large_result(&task).expect("it was put before");
        assert_eq!((content_type.as_str(), content.len()), ("text/plain; charset=utf-8", bytes));
    }
    let small = stage.play.task(&json!({"bytes": 4094}));
    assert_eq!(result(&stage.run(&small).await), json!("x".repeat(4094)));
    assert!(stage.play.large_result(&small).is_none());
    let more = stage.play.task(&json!({"bytes": LARGEST_RESULT_BYTES + 1}));
    let error = stage.run(&more).await.error.expect("an error");
    assert_eq!((error.type_.as_deref(), error.retryable), (Some("ResultTooLarge"), Some(false)));
    stage.stop().await;
}

#[tokio::test]
async fn what_the_work_writes_is_passed_on_whole_and_its_end_is_handed_in() {
    let script = r#"seq -f 'line %g of the work' 20000; printf 'the last one' >&2; exit 3"#;
    let mut stage = Stage::with_agent("log", script).await;
    let task = stage.task();
    let done = stage.run(&task).await;
    assert_eq!((done.exit_code, done.error), (Some(3), None));
    let log = done.log.expect("a log");
    assert!(log.len() <= LOG_BYTES && log.len() > LOG_BYTES - 60, "{} bytes", log.len());
    assert!(log.starts_with("line ") && log.contains("line 20000 of the work\n"), "{log}");
    let out = stage.written("stdout");
    assert_eq!((out.lines().count(), out.lines().last()), (20_000, Some("line 20000 of the work")));
    assert!(stage.written("stderr").contains("\nthe last one\n"), "{}", stage.written("stderr"));
    stage.stop().await;
}

#[tokio::test]
async fn progress_is_told_with_the_heartbeat_from_the_last_complete_line() {
    let script = r#"echo 10 >"$TASK_PROGRESS_FILE"; sleep 2.5
        printf '{"done": 4, "total": 10, "message": "page 4"}\n{"done": 5' >>"$TASK_PROGRESS_FILE"; sleep 300"#;
    let mut stage = Stage::with_agent("progress", script).await;
    let task = stage.task();
    stage.play.give(&task).await.expect("taken");
    stage.play.beat(&task, |said| said.percent == Some(10.0)).await.expect("a percentage");
    let is_whole = |said: &task_manager::api::worker_protocol::ProgressRequest| {
        (said.done, said.total, said.message.as_deref()) == (Some(4.0), Some(10.0), Some("page 4"))
    };
    stage.play.beat(&task, is_whole).await.expect("an object");
    let beats = stage.play.heard(&task).beats.len();
    assert!((2..=8).contains(&beats), "{beats} beats");
    stage.play.answer_beats(&task, task_manager::worker_check::Pulse::Over);
    stage.stop().await;
}
