use super::*;
use proptest::prelude::*;
use serde_json::json;

fn task() -> Task {
    serde_json::from_value(json!({
        "apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task",
        "metadata": {"name": "report", "namespace": "docs", "uid": "u-1", "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {"taskmanager.dev/replay-of": "u-0", "taskmanager.dev/body-digest": "abc"}},
        "spec": {"type": "document-processing", "kbId": "kb-42", "payload": {"uri": "s3://in/7.pdf", "half": 0.5}},
        "status": {"runId": "1", "state": "Processing", "reason": "Running", "priority": "high", "attempt": 2,
            "failures": 1, "queuedAt": "2026-01-01T00:00:00.000000Z", "startedAt": "2026-01-01T00:01:00.000000Z",
            "admitted": {"queue": "urgent"},
            "attempts": [{"number": 1, "outcome": "Failed", "reason": "OOMKilled", "pod": "report-x", "node": "n-1"}]},
    }))
    .expect("a task")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

#[test]
fn a_record_tells_all_that_the_task_and_its_status_know() {
    let task = task();
    let status = TaskStatus {
        state: State::Completed,
        reason: Reason::Succeeded,
        result: Some(json!({"pages": 10})),
        finished_at: Some(MicroTime(at("2026-01-01T00:02:00Z"))),
        ..task.status.clone().unwrap_or_default()
    };
    let Record { summary, details } = Record::of(&task, &status, Some("one\ntwo\n"), at("2026-01-01T00:02:01Z"));
    assert_eq!((summary.uid.as_str(), summary.run_id.as_str()), ("u-1", "1"));
    assert_eq!((summary.namespace.as_str(), summary.name.as_str()), ("docs", "report"));
    assert_eq!((summary.type_.as_str(), summary.kb_id.as_deref()), ("document-processing", Some("kb-42")));
    assert_eq!((summary.priority, summary.queue.as_str()), (Priority::High, "urgent"));
    assert_eq!((summary.state, summary.reason), (State::Completed, Reason::Succeeded));
    assert_eq!((summary.attempt, summary.failures, summary.disruptions), (2, 1, 0));
    assert_eq!(summary.created_at, Some(at("2026-01-01T00:00:00Z")));
    assert_eq!(summary.started_at, Some(at("2026-01-01T00:01:00Z")));
    assert_eq!(summary.finished_at, Some(at("2026-01-01T00:02:00Z")));
    assert_eq!((summary.replay_of.as_deref(), summary.replayed_by), (Some("u-0"), None));
    assert_eq!(details.spec["payload"], json!({"uri": "s3://in/7.pdf", "half": 0.5}));
    assert_eq!((details.result, details.log.as_deref()), (Some(json!({"pages": 10})), Some("one\ntwo")));
    assert_eq!((details.attempts.len(), details.node.as_deref()), (1, Some("n-1")));
    assert_eq!(details.body_digest.as_deref(), Some("abc"));
}

#[test]
fn a_record_gives_back_the_task_that_it_was_made_from() {
    let task = task();
    let status = TaskStatus {
        state: State::Failed,
        reason: Reason::ExitCode,
        message: Some("exit code 3".into()),
        worker: Some("report-y".into()),
        progress: Some(Progress { percent: Some(40), ..Progress::default() }),
        finished_at: Some(MicroTime(at("2026-01-01T00:02:00Z"))),
        ..task.status.clone().unwrap_or_default()
    };
    let again = Record::of(&task, &status, None, at("2026-01-01T00:02:01Z")).task();
    assert_eq!(again.metadata, task.metadata);
    assert_eq!(again.spec, task.spec);
    // The slot of an ended attempt is not archived.
    assert_eq!(again.status, Some(TaskStatus { admitted: None, ..status }));
}

#[test]
fn a_task_that_was_deleted_unfinished_is_cancelled_and_says_where_it_was() {
    let now = at("2026-01-01T00:02:00Z");
    let Record { summary, .. } = Record::of_deleted(&task(), None, now);
    assert_eq!((summary.state, summary.reason), (State::Cancelled, Reason::Deleted));
    assert_eq!(summary.message.as_deref(), Some("it was deleted while it was Processing (Running)"));
    assert_eq!(summary.finished_at, Some(now));
}

#[test]
fn a_task_that_was_deleted_after_its_end_keeps_its_end() {
    let mut task = task();
    task.status.as_mut().expect("a status").state = State::Failed;
    assert_eq!(Record::of_deleted(&task, None, Timestamp::UNIX_EPOCH).summary.state, State::Failed);
}

#[test]
fn a_task_that_nobody_looked_at_yet_has_a_record_too() {
    let task = Task { status: None, ..task() };
    let record = Record::of_deleted(&task, None, at("2026-01-01T00:02:00Z"));
    assert_eq!((record.summary.run_id.as_str(), record.summary.queue.as_str()), ("1", "default"));
    assert_eq!(record.began(), at("2026-01-01T00:00:00Z"));
}

#[test]
fn of_a_log_the_last_lines_are_kept() {
    let log: String = (0..300).map(|line| format!("line {line}\n")).collect();
    let kept = tail(&log);
    assert_eq!(kept.lines().count(), LOG_LINES);
    assert!(kept.starts_with("line 100\n") && kept.ends_with("line 299"));
    assert_eq!(tail("one\ntwo\n"), "one\ntwo");
    assert_eq!(tail(""), "");
}

proptest! {
    #[test]
    fn of_any_log_the_end_is_kept_and_it_fits(piece in ".{1,300}", times in 0..1000usize) {
        let log = piece.repeat(times);
        let kept = tail(&log);
        prop_assert!(log.trim_end_matches('\n').ends_with(kept) && kept.len() <= LOG_BYTES);
        prop_assert!(kept.lines().count() <= LOG_LINES);
    }
}
