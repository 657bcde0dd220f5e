//! How a task stands, from memory: GET /api/v1/tasks/{id}/status.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::core::digest::sha256_hex;
use crate::rest::find::Finder;
use crate::rest::head::Head;
use crate::rest::index::{Index, IndexedTask};
use crate::rest::request::id::Id;
use crate::rest::wire::Progress;
use crate::serving::problem::{Problem, Problems};

/// Hexadecimal digits of an ETag.
const TAG_DIGITS: usize = 16;

/// How a task stands.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Status {
    #[serde(flatten)]
    head: Head,
    /// Its place among those of its queue that wait for their turn, from 1; absent where it waits for something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_position: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Progress>,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    queued_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Timestamp>,
    /// When it may be tried again after a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<Timestamp>,
    /// The pod that runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    worker: Option<Arc<str>>,
}

impl Status {
    pub fn of(known: &IndexedTask, index: &Index) -> Self {
        let waits_for = index.waits_for(known);
        let queue_position = waits_for.as_ref().and_then(|told| told.place);
        Self {
            head: match waits_for {
                Some(told) => known.head.clone().waiting_for(told),
                None => known.head.clone(),
            },
            queue_position,
            progress: index.progress(known).map(Progress::from),
            created_at: known.created_at,
            queued_at: known.queued_at,
            started_at: known.started_at,
            finished_at: known.finished_at,
            next_attempt_at: known.next_attempt_at,
            worker: known.worker.clone(),
        }
    }
}

/// Get a status
///
/// How a task stands, from memory: asking costs the cluster nothing. With If-None-Match an unchanged status is answered with 304.
#[utoipa::path(get, path = "/api/v1/tasks/{id}/status", tag = "tasks",
    params(("id" = String, Path, description = "The task_id"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of the last answer")),
    responses((status = 200, description = "How it stands.", body = Status, headers(("ETag" = String))),
        (status = 304, description = "As before."), Problems))]
pub async fn status(
    State(finder): State<Arc<Finder>>,
    State(index): State<Arc<Index>>,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let known = finder.find(&id).await?;
    Ok(tagged(&Status::of(&known, &index), &headers))
}

/// An answer with an ETag, or 304 when the client has it already.
pub fn tagged(status: &Status, headers: &HeaderMap) -> Response {
    let body = serde_json::to_vec(status).unwrap_or_default();
    let known = [(header::ETAG, tag(&body)), (header::CACHE_CONTROL, "no-cache".into())];
    if names_tag(headers, header::IF_NONE_MATCH, &tag(&body)) {
        return (StatusCode::NOT_MODIFIED, known).into_response();
    }
    (known, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Whether this header names the status by its ETag.
pub fn has_tag(headers: &HeaderMap, header: HeaderName, status: &Status) -> bool {
    names_tag(headers, header, &tag(&serde_json::to_vec(status).unwrap_or_default()))
}

fn tag(body: &[u8]) -> String {
    format!("\"{}\"", &sha256_hex(body)[..TAG_DIGITS])
}

fn names_tag(headers: &HeaderMap, header: HeaderName, tag: &str) -> bool {
    let named = headers.get_all(header).iter().filter_map(|value| value.to_str().ok());
    let mut named = named.flat_map(|value| value.split(',')).map(|value| value.trim().trim_start_matches("W/"));
    named.any(|value| value == tag || value == "*")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Task;
    use serde_json::json;

    #[test]
    fn a_status_is_written_as_the_contract_has_it() {
        let task: Task = serde_json::from_value(json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task",
            "metadata": {"name": "a", "namespace": "docs", "uid": "u-1", "resourceVersion": "7",
                "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"type": "work", "kbId": "kb-1", "payload": {"a": 1}},
            "status": {"state": "Failed", "reason": "ExitCode", "message": "exit code 3", "attempt": 2, "failures": 1,
                "disruptions": 1, "queuedAt": "2026-01-01T00:00:00.000000Z", "startedAt": "2026-01-01T00:00:01.000000Z",
                "finishedAt": "2026-01-01T00:00:02.000000Z", "worker": "pod-x",
                "progress": {"percent": 40, "updatedAt": "2026-01-01T00:00:01.000000Z"}}}))
        .expect("a task");
        let index = Index::default();
        index.task_shown(&task);
        let known = index.get("u-1").expect("known");
        let told = serde_json::to_value(Status::of(&known, &index)).expect("JSON");
        let expected = json!({"task_id": "u-1", "status": "failed", "task_type": "work", "kb_id": "kb-1",
            "namespace": "docs", "name": "a", "queue": "default", "priority": "normal", "attempt": 2, "failures": 1,
            "disruptions": 1, "reason": "ExitCode", "message": "exit code 3", "progress": {"percent": 40},
            "created_at": "2026-01-01T00:00:00Z", "queued_at": "2026-01-01T00:00:00Z",
            "started_at": "2026-01-01T00:00:01Z", "finished_at": "2026-01-01T00:00:02Z", "worker": "pod-x"});
        assert_eq!(told, expected);
    }
}
