//! PUT /worker/v1/result: a result too large for the result file, into the archive.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::de::IgnoredAny;

use super::WorkerApi;
use super::upload::Upload;
use crate::api::ResultRef;
use crate::archive::{LARGEST_RESULT, LargeResult};
use crate::core::attempt::reports::Report;
use crate::live::Reporter;
use crate::serving::body::is_json;
use crate::serving::problem::{Problem, ProblemType};

pub(super) const RESULT: Upload = Upload {
    what: "a result",
    largest: LARGEST_RESULT,
    instead: "put the content into a store of yours and hand over a reference",
    within: Duration::from_secs(60),
};

pub(super) async fn put(
    reporter: Reporter,
    State(api): State<Arc<WorkerApi>>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let begun = RESULT.begin(&api, &api.results, &reporter, &headers).await?;
    let content = RESULT.read(body).await?;
    if is_json(&begun.content_type) {
        check_json(&content)?;
    }
    let (attempt, content_type) = (&begun.attempt, begun.content_type.clone());
    let stored = ResultRef { content_type: content_type.clone(), bytes: content.len() as i64, uid: None };
    begun.is_not_late(&reporter).await?;
    let content = Arc::new(content);
    let (began, number) = (attempt.began, attempt.attempt);
    let result = LargeResult { began, attempt: number, content_type, content, stored_at: Timestamp::now() };
    let put = api.archive.put_result(&attempt.uid, &attempt.run_id, &result).await;
    put.map_err(|error| RESULT.not_stored(error))?;
    api.live.take(&reporter, Report::Result(stored)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A result of JSON is told within a text of JSON, so it must be JSON.
fn check_json(content: &[u8]) -> Result<(), Problem> {
    let text = std::str::from_utf8(content).map_err(|error| error.to_string());
    let read = text.and_then(|text| serde_json::from_str::<IgnoredAny>(text).map_err(|error| error.to_string()));
    read.map(drop).map_err(|error| ProblemType::Syntax.because(format!("it is declared as JSON and is none: {error}")))
}
