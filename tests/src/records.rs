//! Records for an archive.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use task_manager::api::{Priority, Reason, State};
use task_manager::archive::{Record, RecordDetails, RecordSummary};

/// This second of the year.
pub fn second(seconds: i64) -> Timestamp {
    "2026-01-01T00:00:00Z".parse::<Timestamp>().expect("a time") + SignedDuration::from_secs(seconds)
}

/// A completed run 1 of the task `uid`, finished at that second.
pub fn completed(uid: &str, finished: i64) -> Record {
    Record {
        summary: RecordSummary {
            uid: uid.into(),
            run_id: "1".into(),
            namespace: "docs".into(),
            name: format!("task-{uid}"),
            type_: "document-processing".into(),
            kb_id: Some("kb-42".into()),
            priority: Priority::High,
            queue: "default".into(),
            state: State::Completed,
            reason: Reason::Succeeded,
            message: None,
            attempt: 1,
            failures: 0,
            disruptions: 0,
            created_at: Some(second(0)),
            queued_at: Some(second(0)),
            started_at: Some(second(1)),
            finished_at: Some(second(finished)),
            replay_of: None,
            replayed_by: None,
            archived_at: second(finished),
            chunk_of: None,
        },
        details: RecordDetails {
            spec: json!({"type": "document-processing", "payload": {"uri": "s3://in/7.pdf"}}),
            result: Some(json!({"pages": 10})),
            log: Some("page 9\npage 10".into()),
            ..RecordDetails::default()
        },
    }
}
