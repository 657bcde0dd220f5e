//! PUT and GET /worker/v1/checkpoint: how far the work is, for the next attempt of the same run. The archive keeps the last one;
//! nothing of it is in the task's status, and nobody reads it but the work.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures::SinkExt;
use futures::channel::mpsc;
use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::upload::Upload;
use super::{ATTEMPT, WorkerApi};
use crate::archive::{AttemptKey, Checkpoint, Error, LARGEST_CHECKPOINT};
use crate::core::attempt::id::AttemptId;
use crate::live::Reporter;
use crate::serving::problem::{Problem, ProblemType};

const CHECKPOINT: Upload = Upload {
    what: "a checkpoint",
    largest: LARGEST_CHECKPOINT,
    instead: "put the state into a store of yours, and a reference to it into the checkpoint",
    within: Duration::from_secs(20),
};
/// The whole of one has been fetched by then; a reader that stops must not hold it in memory.
const FETCHED_WITHIN: Duration = Duration::from_secs(30);
/// Handed to the connection at once.
const PIECE: usize = 64 << 10;

pub(super) async fn put(
    reporter: Reporter,
    State(api): State<Arc<WorkerApi>>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let begun = CHECKPOINT.begin(&api, &api.checkpoints, &reporter, &headers).await?;
    // Nobody sends a body for nothing while the archive is away.
    must_be_up(&api)?;
    let content = Arc::new(CHECKPOINT.read(body).await?);
    begun.is_not_late(&reporter).await?;
    let (key, attempt, content_type) = (key(&begun.attempt), begun.attempt.attempt, begun.content_type.clone());
    let checkpoint = Checkpoint { attempt, content_type, content, stored_at: Timestamp::now() };
    let put = api.archive.put_checkpoint(&key, &checkpoint).await;
    put.map_err(|error| CHECKPOINT.not_stored(error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// The last one of the run that the caller works on, whichever attempt left it.
pub(super) async fn get(reporter: Reporter, State(api): State<Arc<WorkerApi>>) -> Result<Response, Problem> {
    let attempt = api.live.attempt_of(&reporter).await?;
    let permit = api
        .checkpoints
        .clone()
        .try_acquire_owned()
        .map_err(|_| ProblemType::Busy.because("too many checkpoints are on their way; ask again in a moment"))?;
    must_be_up(&api)?;
    let found = api.archive.ask(api.archive.archive().checkpoint(&key(&attempt))).await.map_err(not_read)?;
    match found {
        Some(checkpoint) => Ok(answer(checkpoint, permit)),
        None => {
            Err(ProblemType::NoCheckpoint.because("no attempt of this run has left a checkpoint: begin from the start"))
        }
    }
}

fn key(attempt: &AttemptId) -> AttemptKey<'_> {
    let AttemptId { uid, run_id, began, attempt } = attempt;
    AttemptKey { uid, run_id, began: *began, attempt: *attempt }
}

fn must_be_up(api: &WorkerApi) -> Result<(), Problem> {
    if api.archive.is_up() {
        return Ok(());
    }
    Err(ProblemType::Archive.because("the archive takes and gives nothing just now; say it again in a moment"))
}

fn not_read(error: Error) -> Problem {
    if !error.is_temporary() {
        tracing::warn!(%error, "failed to read a checkpoint");
    }
    ProblemType::Archive.because("the checkpoint could not be read; ask again in a moment")
}

fn answer(Checkpoint { attempt, content_type, content, .. }: Checkpoint, permit: OwnedSemaphorePermit) -> Response {
    let content = Bytes::from(Arc::try_unwrap(content).unwrap_or_else(|shared| (*shared).clone()));
    let length = content.len();
    let mut response = Response::new(handed_over_within(FETCHED_WITHIN, content, permit));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_str(&content_type).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(ATTEMPT, attempt.into());
    response
}

/// The content in pieces. When it is sent, or the time is over, content and permit are let go; a reader that is late finds the
/// body broken off.
fn handed_over_within(time: Duration, mut content: Bytes, permit: OwnedSemaphorePermit) -> Body {
    let (mut pieces, body) = mpsc::channel::<Result<Bytes, Infallible>>(0);
    tokio::spawn(async move {
        let _permit = permit;
        let all = async {
            while !content.is_empty() {
                if pieces.send(Ok(content.split_to(PIECE.min(content.len())))).await.is_err() {
                    return;
                }
            }
        };
        // Who is late is told by the length.
        let _ = timeout(time, all).await;
    });
    Body::from_stream(body)
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use futures::StreamExt;
    use tokio::sync::Semaphore;

    use super::*;

    fn body(content: &[u8]) -> (Body, Arc<Semaphore>) {
        let permits = Arc::new(Semaphore::new(1));
        let permit = permits.clone().try_acquire_owned().expect("a permit");
        (handed_over_within(FETCHED_WITHIN, Bytes::copy_from_slice(content), permit), permits)
    }

    #[tokio::test(start_paused = true)]
    async fn a_checkpoint_is_handed_over_whole_and_then_the_permit_is_free() {
        for bytes in [0, 1, PIECE, LARGEST_CHECKPOINT] {
            let content: Vec<u8> = (0..bytes).map(|number| number as u8).collect();
            let (body, permits) = body(&content);
            assert!(to_bytes(body, usize::MAX).await.is_ok_and(|read| read == content), "{bytes}");
            drop(permits.acquire().await.expect("it is free"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stops_holds_neither_content_nor_permit_for_long() {
        let (body, permits) = body(&vec![7; LARGEST_CHECKPOINT]);
        let mut body = body.into_data_stream();
        assert!(body.next().await.is_some());
        timeout(FETCHED_WITHIN * 2, permits.acquire()).await.expect("it is let go").expect("a permit").forget();
        let mut rest = 0;
        while let Some(Ok(piece)) = body.next().await {
            rest += piece.len();
        }
        assert!(rest < LARGEST_CHECKPOINT / 2, "it has {rest} bytes");
    }
}
