//! A task's changes as they happen: GET /api/v1/tasks/{id}/events, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::history::{Cursor, since};
use super::reader::Reader;
use crate::rest::find::Finder;
use crate::rest::index::Index;
use crate::rest::request::id::Id;
use crate::serving::problem::{Problem, ProblemType, Problems};

/// Event streams at once.
const STREAMS: usize = 512;

const HEARTBEAT: Duration = Duration::from_secs(15);
/// A reader whose connection broke comes back after so long.
const COME_BACK: Duration = Duration::from_secs(1);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The event streams that are open. All end when the operator stops.
#[derive(Clone)]
pub struct Streams {
    turns: Arc<Semaphore>,
    over: CancellationToken,
}

impl Streams {
    pub fn new(over: CancellationToken) -> Self {
        Self { turns: Arc::new(Semaphore::new(STREAMS)), over }
    }

    /// Room for one more, for as long as it is held.
    fn turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let busy = "too many event streams are open; try again in a moment";
        self.turns.clone().try_acquire_owned().map_err(|_| ProblemType::Busy.because(busy))
    }
}

/// Follow a task
///
/// Server-sent events: `state` for each state that it goes through, `progress`, `position` for its place in its queue, and
/// `waiting` when something else holds it back, or other numbers. It begins with the present state, or after the one that Last-Event-ID names, and ends with the
/// task; a reader who knows the end is answered with 204, which tells an EventSource not to come back.
#[utoipa::path(get, path = "/api/v1/tasks/{id}/events", tag = "tasks",
    params(("id" = String, Path, description = "The task_id"),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was read")),
    responses((status = 200, description = "The events.", content_type = "text/event-stream", body = serde_json::Value),
        (status = 204, description = "The reader knows the end."), Problems))]
pub async fn events(
    State(finder): State<Arc<Finder>>,
    State(index): State<Arc<Index>>,
    State(streams): State<Streams>,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let known = finder.find(&id).await?;
    let after = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).and_then(Cursor::read);
    if known.state.is_final() && since(after.as_ref().map(|(cursor, _)| cursor), &known).is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let turn = streams.turn()?;
    let reader = Reader::new(finder, index, streams.over, known, after, turn);
    let begin = stream::once(async { Event::default().comment("follows").retry(COME_BACK) });
    let told = stream::unfold(reader, |mut reader| async {
        let news = reader.news().await?;
        Some((stream::iter(news), reader))
    });
    let events = begin.chain(told.flatten()).map(Ok::<_, Infallible>);
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).text("heartbeat");
    // nginx would hold small events back.
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((unbuffered, Sse::new(events).keep_alive(heartbeat)).into_response())
}
