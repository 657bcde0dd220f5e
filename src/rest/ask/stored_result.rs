//! Results that the work handed over by PUT: out of the archive, with as few copies in memory as can be.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures::stream;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::api::{ResultRef, TaskStatus};
use crate::archive::{Archive, LargeResult};
use crate::rest::find::archive_is_away;
use crate::serving::body::is_json;
use crate::serving::problem::{Problem, ProblemType};

/// Large results that are read at once, each of which is in memory.
const AT_ONCE: usize = 4;
/// So long a client waits for its turn.
const TURN: Duration = Duration::from_secs(5);
/// So long it has to read the whole result.
const READ_WITHIN: Duration = Duration::from_secs(120);
const PIECE: usize = 64 << 10;

/// A result that is too large to be shown here: GET …/result has it.
#[derive(Serialize, ToSchema)]
pub struct LargeResultRef {
    content_type: String,
    bytes: i64,
}

impl From<ResultRef> for LargeResultRef {
    fn from(stored: ResultRef) -> Self {
        Self { content_type: stored.content_type, bytes: stored.bytes }
    }
}

/// The archive's results, a few at once.
#[derive(Clone)]
pub struct StoredResults {
    archive: Archive,
    /// A turn is held by the answer itself.
    turns: Arc<Semaphore>,
}

impl StoredResults {
    pub fn new(archive: Archive) -> Self {
        Self { archive, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The result of this run, which has ended well. JSON is told as every result is, all else just as it was handed
    /// over.
    pub async fn answer(&self, uid: &str, status: &TaskStatus) -> Result<Response, Problem> {
        let turn = timeout(TURN, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(ProblemType::Busy.because("too many large results are being read; ask again in a moment"));
        };
        let stored = self.stored(uid, status).await?;
        Ok(answer(stored, status, turn))
    }

    async fn stored(&self, uid: &str, status: &TaskStatus) -> Result<LargeResult, Problem> {
        let run_id = status.run_id.as_deref().unwrap_or_default();
        // One that did not run, because another had, tells of that one's result.
        let by_another = status.result_ref.as_ref().and_then(|stored| stored.uid.as_deref());
        let stored = self.archive.result(by_another.unwrap_or(uid), run_id).await.map_err(archive_is_away)?;
        let is_meant = |stored: &LargeResult| by_another.is_some() || stored.attempt == status.attempt;
        stored.filter(is_meant).ok_or_else(|| {
            ProblemType::ResultGone
                .because("the store does not have this result any more; replay the task to get it again")
        })
    }
}

fn answer(stored: LargeResult, status: &TaskStatus, turn: OwnedSemaphorePermit) -> Response {
    let LargeResult { content_type, content, .. } = stored;
    let content = Arc::try_unwrap(content).unwrap_or_else(|shared| (*shared).clone());
    let (before, after) = if is_json(&content_type) { envelope(status) } else { Default::default() };
    let length = before.len() + content.len() + after.len();
    let pieces = [before.into(), content.into(), after.into()];
    let until = Instant::now() + READ_WITHIN;
    // The turn is over when all was read, or the reader has gone. A piece is asked for when the one before is on its
    // way; one who takes too long is cut off.
    let body = pieces.into_iter().flat_map(cut).map(move |piece| {
        let _turn = &turn;
        if Instant::now() < until { Ok(piece) } else { Err(io::Error::from(io::ErrorKind::TimedOut)) }
    });
    let mut response = Response::new(Body::from_stream(stream::iter(body)));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_str(&content_type).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CONTENT_LENGTH, length.into());
    // A result is for programs: a browser must not make a page of a text that a pod wrote.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    response
}

/// The JSON before and after the result of a task that completed.
fn envelope(status: &TaskStatus) -> (Vec<u8>, Vec<u8>) {
    let at = status.finished_at.as_ref().map(|time| time.0);
    let after = at.map_or("}".into(), |at| format!(",\"processed_at\":{}}}", json!(at)));
    (b"{\"status\":\"completed\",\"result\":".to_vec(), after.into_bytes())
}

fn cut(mut whole: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || (!whole.is_empty()).then(|| whole.split_to(PIECE.min(whole.len()))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
    use serde_json::Value;

    #[test]
    fn json_is_told_as_every_result_is() {
        for at in [None, "2026-01-01T00:00:00.5Z".parse().ok().map(MicroTime)] {
            let status = TaskStatus { finished_at: at.clone(), ..TaskStatus::default() };
            let (before, after) = envelope(&status);
            let told: Value = serde_json::from_slice(&[&before[..], b"[1]", &after[..]].concat()).expect("JSON");
            assert_eq!((&told["status"], &told["result"]), (&json!("completed"), &json!([1])));
            assert_eq!(told.get("processed_at"), at.map(|at| json!(at.0)).as_ref());
        }
    }

    #[test]
    fn the_pieces_of_a_result_are_the_whole_result() {
        let whole: Vec<u8> = (0..200_000_u32).map(|number| number as u8).collect();
        let pieces: Vec<Bytes> = cut(whole.clone().into()).collect();
        assert!(pieces.len() > 2 && pieces.iter().all(|piece| piece.len() <= PIECE) && pieces.concat() == whole);
        assert_eq!(cut(Bytes::new()).count(), 0);
    }
}
