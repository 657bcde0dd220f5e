//! The result of a task, or its error: GET /api/v1/tasks/{id}/result.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::stored_result::StoredResults;
use crate::api::{State as TaskState, TaskStatus};
use crate::rest::find::Finder;
use crate::rest::request::id::Id;
use crate::rest::wire;
use crate::rest::wire::Phase;
use crate::serving::problem::{Problem, ProblemType, Problems};

/// The outcome of a task that is finished.
#[derive(Debug, Serialize, ToSchema)]
pub struct Outcome {
    /// completed, failed or cancelled.
    status: Phase,
    /// The work's result, JSON or text; null where it left none. Present when completed. JSON that Kubernetes could not
    /// keep as it was written is answered byte for byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    result: Option<Option<Box<RawValue>>>,
    /// True: the result was too long and only its end is kept.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    result_truncated: bool,
    /// Why there is no result. Present when failed or cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
    /// When it was finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    processed_at: Option<Timestamp>,
}

/// Why there is no result.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct Failure {
    /// In one word.
    reason: String,
    /// In a sentence.
    message: String,
    /// The exit code of the last attempt's work.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    /// Launches until then.
    attempts: i32,
}

/// Get a result
///
/// The outcome of a task. Before its end there is none: 409. A task that failed or was cancelled has an error instead of a
/// result. A result that the work handed over by PUT as something else than JSON is answered just as it is, with its
/// content type.
#[utoipa::path(get, path = "/api/v1/tasks/{id}/result", tag = "tasks",
    params(("id" = String, Path, description = "The task_id")),
    responses((status = 200, description = "The outcome.", body = Outcome), Problems))]
pub async fn result(
    State(finder): State<Arc<Finder>>,
    State(stored): State<StoredResults>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let known = finder.find(&id).await?;
    if !known.state.is_final() {
        return Err(not_finished(known.state));
    }
    let status = finder.whole(&known).await?.status.unwrap_or_default();
    if status.state == TaskState::Completed && status.result_ref.is_some() {
        return stored.answer(&known.uid, &status).await;
    }
    outcome(status).map(|outcome| Json(outcome).into_response())
}

fn not_finished(state: TaskState) -> Problem {
    let state = state.to_string().to_lowercase();
    ProblemType::NotFinished
        .because(format!("it is {state}: ask again when its status is completed, failed or cancelled"))
}

fn outcome(status: TaskStatus) -> Result<Outcome, Problem> {
    let (result, error) = match status.state {
        TaskState::Completed => {
            let left = status.result.as_ref().and_then(|left| wire::result(left, status.result_as_text));
            (Some(left), None)
        }
        TaskState::Failed | TaskState::Cancelled => (None, Some(failure(&status))),
        // It was run again meanwhile.
        state @ (TaskState::Queued | TaskState::Processing) => return Err(not_finished(state)),
    };
    Ok(Outcome {
        status: status.state.into(),
        result,
        result_truncated: status.result_truncated,
        error,
        processed_at: status.finished_at.map(|time| time.0),
    })
}

fn failure(status: &TaskStatus) -> Failure {
    Failure {
        reason: status.reason.to_string(),
        message: status.message.clone().unwrap_or_else(|| status.reason.sentence().into()),
        exit_code: status.attempts.last().and_then(|last| last.exit_code),
        attempts: status.attempt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Reason;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
    use serde_json::json;

    #[test]
    fn a_result_reads_as_the_contract_has_it() {
        let at: Timestamp = "2026-01-01T00:00:00.5Z".parse().expect("a time");
        let status = TaskStatus {
            state: TaskState::Completed,
            result: Some(json!({"pages": 10})),
            finished_at: Some(MicroTime(at)),
            ..TaskStatus::default()
        };
        let told = serde_json::to_value(outcome(status).expect("finished")).expect("JSON");
        assert_eq!(
            told,
            json!({"status": "completed", "result": {"pages": 10}, "processed_at": "2026-01-01T00:00:00.5Z"})
        );
        let text = "{\"id\": 18446744073709551615, \"x\":0.10000000000000000000}";
        let as_text = TaskStatus {
            state: TaskState::Completed,
            result: Some(json!(text)),
            result_as_text: true,
            ..TaskStatus::default()
        };
        let told = serde_json::to_string(&outcome(as_text.clone()).expect("finished")).expect("JSON");
        assert_eq!(told, format!("{{\"status\":\"completed\",\"result\":{text}}}"), "digit for digit");
        let plain = TaskStatus { result_as_text: false, ..as_text };
        assert_eq!(serde_json::to_value(outcome(plain).expect("finished")).expect("JSON")["result"], text);
        let nothing = TaskStatus { state: TaskState::Completed, ..TaskStatus::default() };
        let told = serde_json::to_value(outcome(nothing).expect("finished")).expect("JSON");
        assert_eq!(told, json!({"status": "completed", "result": null}));
    }

    #[test]
    fn a_failure_has_an_error_and_no_result() {
        let status =
            TaskStatus { state: TaskState::Failed, reason: Reason::ExitCode, attempt: 4, ..TaskStatus::default() };
        let told = serde_json::to_value(outcome(status).expect("finished")).expect("JSON");
        let message = Reason::ExitCode.sentence();
        assert_eq!(
            told,
            json!({"status": "failed", "error": {"reason": "ExitCode", "message": message, "attempts": 4}})
        );
    }
}
