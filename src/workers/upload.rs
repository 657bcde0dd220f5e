//! PUT /worker/v1/result: a result too large for the result file, into the archive.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;
use jiff::Timestamp;
use serde::de::IgnoredAny;
use tokio::time::timeout;

use super::WorkerApi;
use crate::api::ResultRef;
use crate::archive::{Error, LARGEST_RESULT, LONGEST_TYPE, LargeResult};
use crate::core::attempt::reports::Report;
use crate::live::{NotTaken, Reporter};
use crate::serving::body::is_json;
use crate::serving::problem::{Problem, ProblemType};

/// The whole result has arrived by then.
const WHOLE: Duration = Duration::from_secs(60);
/// Something of it arrives at least so often.
const SOMETHING: Duration = Duration::from_secs(10);

pub(super) async fn result(
    reporter: Reporter,
    State(api): State<Arc<WorkerApi>>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let attempt = api.live.attempt_of(&reporter).await?;
    let content_type = content_type(&headers)?;
    check_length(&headers)?;
    let (Some(_turn), Ok(_permit)) = (Turn::of(&api, &reporter), api.uploads.try_acquire()) else {
        return Err(ProblemType::Busy
            .because("too many results are on their way, or one of this pod; send it again in a moment"));
    };
    let content = timeout(WHOLE, read(body.into_data_stream())).await.unwrap_or_else(|_| Err(too_slow(WHOLE)))?;
    if is_json(&content_type) {
        check_json(&content)?;
    }
    let stored = ResultRef { content_type: content_type.clone(), bytes: content.len() as i64, uid: None };
    // A late report does not overwrite what came in the meantime.
    if api.live.attempt_of(&reporter).await? != attempt {
        return Err(NotTaken::Over.into());
    }
    let content = Arc::new(content);
    let (began, number) = (attempt.began, attempt.attempt);
    let result = LargeResult { began, attempt: number, content_type, content, stored_at: Timestamp::now() };
    api.archive.put_result(&attempt.uid, &attempt.run_id, &result).await.map_err(not_stored)?;
    api.live.take(&reporter, Report::Result(stored)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One result of each pod at a time, so that none keeps the others from handing over theirs.
struct Turn<'a> {
    api: &'a WorkerApi,
    pod: String,
}

impl<'a> Turn<'a> {
    fn of(api: &'a WorkerApi, reporter: &Reporter) -> Option<Self> {
        let pod = reporter.uid.clone();
        api.uploading.lock().insert(pod.clone()).then(|| Self { api, pod })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.api.uploading.lock().remove(&self.pod);
    }
}

/// A result of JSON is told within a text of JSON, so it must be JSON.
fn check_json(content: &[u8]) -> Result<(), Problem> {
    let text = std::str::from_utf8(content).map_err(|error| error.to_string());
    let read = text.and_then(|text| serde_json::from_str::<IgnoredAny>(text).map_err(|error| error.to_string()));
    read.map(drop).map_err(|error| ProblemType::Syntax.because(format!("it is declared as JSON and is none: {error}")))
}

fn content_type(headers: &HeaderMap) -> Result<String, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok("application/octet-stream".into()) };
    let value = value.to_str().ok().filter(|value| (1..=LONGEST_TYPE).contains(&value.len()));
    value.map(str::to_owned).ok_or_else(|| {
        ProblemType::Header.because("a content type has 1 to 255 visible ASCII characters").at("Content-Type")
    })
}

/// A body whose head says that it is too large is not read.
pub(super) fn check_length(headers: &HeaderMap) -> Result<(), Problem> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|bytes| bytes > LARGEST_RESULT as u64) { Err(too_large()) } else { Ok(()) }
}

async fn read(mut body: BodyDataStream) -> Result<Vec<u8>, Problem> {
    let mut content = Vec::new();
    while let Some(piece) = timeout(SOMETHING, body.next()).await.map_err(|_| too_slow(SOMETHING))? {
        let piece = piece.map_err(|_| ProblemType::Syntax.because("the body broke off"))?;
        if content.len() + piece.len() > LARGEST_RESULT {
            return Err(too_large());
        }
        content.extend_from_slice(&piece);
    }
    Ok(content)
}

fn too_large() -> Problem {
    ProblemType::BodyTooLarge.because(format!(
        "a result has up to {LARGEST_RESULT} bytes: put the content into a store of yours and hand over a reference"
    ))
}

fn too_slow(limit: Duration) -> Problem {
    ProblemType::SlowBody
        .because(format!("nothing, or not all of it, has arrived within {} s; send it again", limit.as_secs()))
}

fn not_stored(error: Error) -> Problem {
    match error {
        Error::TooLarge { .. } => too_large(),
        Error::Outdated(_) => crate::live::NotTaken::Over.into(),
        error => {
            tracing::warn!(%error, "failed to store a result");
            ProblemType::Archive.because("the result could not be stored; send it again in a moment")
        }
    }
}
