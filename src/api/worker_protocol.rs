//! The messages between the operator and warm workers, as docs/worker-protocol.md describes them. Both sides use these types,
//! so that they cannot differ. Nothing here decides anything.
//!
//! A request with a field that is not known is refused, so that a misspelt one is not lost in silence. Fields of answers
//! may be added: a worker ignores those that it does not know.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::ReportedError;

/// Hands in what is done and asks for what is next.
pub const NEXT: &str = "/worker/v1/next";
/// The heartbeat of a worker that is at work, and how far the work is.
pub const PROGRESS: &str = "/worker/v1/progress";
/// A result that is too large for `Done`, by PUT.
pub const RESULT: &str = "/worker/v1/result";
/// How far the work is, for the next attempt: by PUT, and by GET.
pub const CHECKPOINT: &str = "/worker/v1/checkpoint";
/// The error for which the work will fail.
pub const ERROR: &str = "/worker/v1/error";

/// The header in which `/progress`, `/result`, `/checkpoint` and `/error` name the lease that they are about.
pub const LEASE_HEADER: &str = "task-lease";

/// The header in which a process of a worker names itself, by a word that no other process of its pod has. An operator that does
/// not know it passes it over.
pub const PROCESS_HEADER: &str = "task-process";
/// The most characters of that word.
pub const PROCESS_CHARACTERS: usize = 64;

/// The header in which the pod of a Job, which has no lease, names the attempt that it reports for. A checkpoint that is read
/// bears the number of the attempt that left it.
pub const ATTEMPT_HEADER: &str = "task-attempt";

/// Seconds for which `/next` hangs unless the request says otherwise, and at most.
pub const WAIT_SECONDS: u32 = 25;
pub const MOST_WAIT_SECONDS: u32 = 50;
/// The most slots of one worker.
pub const MOST_SLOTS: u32 = 64;
/// The longest `Done::result`, in bytes as JSON.
pub const RESULT_BYTES: usize = 4096;
/// The longest `Done::log`, in bytes of UTF-8.
pub const LOG_BYTES: usize = 4096;
/// The longest body of `/next`: a log may have six bytes of JSON for each of its own.
pub const NEXT_BYTES: usize = 64 << 10;
/// The largest result that `/result` takes.
pub const LARGEST_RESULT_BYTES: usize = 16 << 20;
/// The largest checkpoint that `/checkpoint` takes.
pub const LARGEST_CHECKPOINT_BYTES: usize = 1 << 20;

/// POST /worker/v1/next. An empty object is a valid first call.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NextRequest {
    /// The lease that is over, and how it went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Done>,
    /// 0 to slotsPerWorker - 1. A slot has one open call and at most one lease.
    #[serde(default)]
    pub slot: u32,
    /// Seconds to hang while there is nothing to do, 0 to 50. Default: 25.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<u32>,
    /// The promise to be heard every heartbeat_seconds while at work. A worker that made it is held to it.
    #[serde(default)]
    pub beats: bool,
}

/// The end of one lease. It failed where there is an `error`, an `exit_code` other than 0, or `ended_for` without the exit code
/// 0; else it is completed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    pub lease: String,
    /// Any JSON of up to 4096 bytes. A larger one goes by PUT /worker/v1/result before, and this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<RawValue>>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<WorkError>,
    /// The exit code of the command that ran the task, where there was one: 128 and the signal's number where a signal ended
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Why the worker ended the work, where it did, in a word of the Reason enum: `Timeout`, `OOMKilled` (the work was above
    /// its memory limit, and the worker was not), `WorkerLost` (the worker itself was told to end), or the reason of the
    /// cancel. Exit code 0 is success all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_for: Option<String>,
    /// The end of what the work wrote, up to 4096 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// An error of the work, in its own words, as in the result file of a Job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkError {
    /// For the type's failureRules. Example: RateLimited.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// False: no other attempt helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
}

/// The answer to `/next`, with status 200.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NextAnswer {
    /// Only where something was handed in. True: it is written and lasts. False: it was a late word, and changes nothing.
    /// Where it is missing, the worker hands it in again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<bool>,
    /// Why it was not kept. Example: Unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Null: there is nothing to do; ask again.
    #[serde(default)]
    pub task: Option<LeasedTask>,
    /// The worker ends with 0, and asks no more.
    #[serde(default)]
    pub stop: bool,
}

/// A task that a worker is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeasedTask {
    /// Names this attempt on this worker. Opaque: printable ASCII without spaces, at most 256 characters.
    pub lease: String,
    /// The task's uid.
    pub id: String,
    pub name: String,
    #[serde(rename = "type")]
    pub type_: String,
    /// From 1.
    pub attempt: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kb_id: Option<String>,
    /// A JSON object, as it was written.
    pub payload: Box<RawValue>,
    /// The work's time, from when it was first handed out.
    pub timeout_seconds: i64,
    /// When that time is over by the operator's clock, which the header Date of the answer shows; sooner where the task's
    /// deadline comes first.
    pub ends_at: Timestamp,
    /// How often a worker that promised it is heard.
    pub heartbeat_seconds: u32,
    /// The most memory that the work may take, where task or type say so: for workers that can bound it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// This run has a checkpoint, which GET /worker/v1/checkpoint hands out, or the store does not say just now.
    #[serde(default, skip_serializing_if = "is_false")]
    pub checkpoint: bool,
    /// The trace context of who submitted the task (W3C).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// POST /worker/v1/progress. For a lease an empty object is a heartbeat and no more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgressRequest {
    /// 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// Items done, out of total.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
    /// One line of up to 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The answer to `/progress` with status 200. With 204 there is none, and the work goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressAnswer {
    /// The work is to be stopped, and then handed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<Cancel>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// A word of the Reason enum. Example: Cancelled.
    pub reason: String,
    /// The time to end in; then the worker is ended with its pod.
    pub grace_seconds: i64,
}

impl NextRequest {
    /// Seconds to hang.
    pub fn wait_seconds(&self) -> u32 {
        self.wait.unwrap_or(WAIT_SECONDS).min(MOST_WAIT_SECONDS)
    }
}

impl Done {
    pub fn has_failed(&self) -> bool {
        self.error.is_some() || self.exit_code.map_or(self.ended_for.is_some(), |code| code != 0)
    }
}

impl From<WorkError> for ReportedError {
    fn from(WorkError { type_, message, retryable }: WorkError) -> Self {
        Self { type_, message, retryable }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_empty_object_is_a_first_call_that_hangs_25_seconds_at_most_50() {
        let first: NextRequest = serde_json::from_str("{}").expect("a first call");
        assert_eq!((first.slot, first.beats, first.done.is_none(), first.wait_seconds()), (0, false, true, 25));
        let nothing: NextRequest = serde_json::from_str(r#"{"done": null, "wait": 900}"#).expect("a first call");
        assert_eq!((nothing.done.is_none(), nothing.wait_seconds()), (true, 50));
    }

    #[test]
    fn a_misspelt_field_of_a_request_is_refused_and_one_of_an_answer_ignored() {
        for wrong in [r#"{"done": {"lease": "a", "relust": 1}}"#, r#"{"slots": 1}"#, r#"{"done": {"result": 1}}"#] {
            assert!(serde_json::from_str::<NextRequest>(wrong).is_err(), "{wrong}");
        }
        let answer: NextAnswer =
            serde_json::from_str(r#"{"task": null, "stop": true, "later": 1}"#).expect("an answer");
        assert!(answer.stop && answer.task.is_none() && answer.kept.is_none());
    }

    #[test]
    fn a_result_is_handed_in_digit_by_digit() {
        let text = r#"{"lease":"a","result":{"id": 18446744073709551616, "x": 1.50}}"#;
        let done: Done = serde_json::from_str(text).expect("it is done");
        assert_eq!(done.result.as_ref().map(|result| result.get()), Some(r#"{"id": 18446744073709551616, "x": 1.50}"#));
        assert_eq!(serde_json::to_string(&done).ok().as_deref(), Some(text));
    }

    #[test]
    fn an_error_another_exit_code_than_0_or_an_end_by_the_worker_is_a_failure() {
        for (done, failed) in [
            (json!({"lease": "a"}), false),
            (json!({"lease": "a", "exit_code": 0, "ended_for": "Timeout"}), false),
            (json!({"lease": "a", "ended_for": "WorkerLost"}), true),
            (json!({"lease": "a", "result": {}, "ended_for": "Timeout"}), true),
            (json!({"lease": "a", "exit_code": 137, "ended_for": "Timeout"}), true),
            (json!({"lease": "a", "error": {}}), true),
            (json!({"lease": "a", "error": {"type": "RateLimited"}, "exit_code": 1}), true),
        ] {
            let read: Done = serde_json::from_str(&done.to_string()).expect("it is done");
            assert_eq!(read.has_failed(), failed, "{done}");
        }
    }

    #[test]
    fn the_messages_have_the_fields_that_the_page_names() {
        let task = LeasedTask {
            lease: "l".into(),
            id: "uid".into(),
            name: "manual-7".into(),
            type_: "work".into(),
            attempt: 2,
            kb_id: Some("kb".into()),
            payload: RawValue::from_string("{\"a\":1.50}".into()).expect("JSON"),
            timeout_seconds: 600,
            ends_at: Timestamp::UNIX_EPOCH,
            heartbeat_seconds: 10,
            memory_bytes: None,
            checkpoint: false,
            traceparent: None,
        };
        let again = LeasedTask { checkpoint: true, ..task.clone() };
        assert!(serde_json::to_string(&again).is_ok_and(|text| text.contains(r#""checkpoint":true"#)));
        let answer = NextAnswer { kept: Some(true), why: None, task: Some(task), stop: false };
        assert_eq!(
            serde_json::to_string(&answer).ok().as_deref(),
            Some(
                r#"{"kept":true,"task":{"lease":"l","id":"uid","name":"manual-7","type":"work","attempt":2,"kb_id":"kb","payload":{"a":1.50},"timeout_seconds":600,"ends_at":"1970-01-01T00:00:00Z","heartbeat_seconds":10},"stop":false}"#
            )
        );
        let nothing = serde_json::to_value(NextAnswer::default()).expect("an answer");
        assert_eq!(nothing, json!({"task": null, "stop": false}));
        let cancel = Cancel { reason: "Cancelled".into(), grace_seconds: 30 };
        let cancel: Value = serde_json::to_value(ProgressAnswer { cancel: Some(cancel) }).expect("an answer");
        assert_eq!(cancel, json!({"cancel": {"reason": "Cancelled", "grace_seconds": 30}}));
    }
}
