//! A task's changes as they happen: GET /api/v1/tasks/{id}/events, as server-sent events.
//!
//! A stream holds how far its reader is, and looks at the index when something has changed: what comes faster
//! than it is read is told once, and nothing piles up for a slow reader. One that reads nothing at all is cut
//! off by the accept loop.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

use super::app::App;
use super::entry::Entry;
use super::extract::Id;
use super::index::Subscription;
use super::problem::{Kind, Problem, Problems};
use super::status::{Phase, Progress};
use super::story::{Chapter, Place, since};

const HEARTBEAT: Duration = Duration::from_secs(15);
/// The position changes with others' changes, so it is looked at.
const POSITION: Duration = Duration::from_secs(1);
/// A reader whose connection broke comes back after so long.
const COME_BACK: Duration = Duration::from_secs(1);
/// The end of a task that is gone is in the archive, or will be in a moment: how often it is asked…
const END: Duration = Duration::from_millis(500);
/// …for how long each time…
const ARCHIVE: Duration = Duration::from_secs(2);
/// …and until when.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The data of a `state` event.
#[derive(Serialize, ToSchema)]
struct StateEvent {
    task_id: String,
    status: Phase,
    attempt: i32,
    /// Of the present state; a state that is past has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

#[derive(Serialize)]
struct PositionEvent {
    task_id: String,
    queue_position: usize,
}

#[derive(Serialize)]
struct ProgressEvent {
    task_id: String,
    #[serde(flatten)]
    progress: Progress,
}

/// Follow a task
///
/// Server-sent events: `state` for each state that it goes through, `progress`, and `position` for its place in
/// its queue. It begins with the present state, or after the one that Last-Event-ID names, and ends with the
/// task; a reader who knows the end is answered with 204, which tells an EventSource not to come back.
#[utoipa::path(get, path = "/api/v1/tasks/{id}/events", tag = "tasks",
    params(("id" = String, Path, description = "The task_id"),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was read")),
    responses((status = 200, description = "The events.", content_type = "text/event-stream", body = serde_json::Value),
        (status = 204, description = "The reader knows the end."), Problems))]
pub async fn events(State(app): State<Arc<App>>, Id(id): Id, headers: HeaderMap) -> Result<Response, Problem> {
    let entry = app.find(&id).await?;
    let place = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).and_then(Place::read);
    if entry.state.is_final() && since(place.as_ref(), &entry).is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let Ok(permit) = app.streams.clone().try_acquire_owned() else {
        return Err(Kind::Busy.because("too many event streams are open; try again in a moment"));
    };
    let reader = Reader::new(app, entry, place, permit);
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

/// Somebody who follows a task, and how far they are.
struct Reader {
    app: Arc<App>,
    uid: Arc<str>,
    /// The task as it was last seen.
    known: Arc<Entry>,
    changes: Subscription,
    place: Option<Place>,
    /// Since when the task is not to be seen any more.
    missing: Option<Instant>,
    position: Option<usize>,
    progress: Option<Progress>,
    begun: bool,
    over: bool,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    fn new(app: Arc<App>, known: Arc<Entry>, place: Option<Place>, permit: OwnedSemaphorePermit) -> Self {
        let changes = app.index.subscribe(&known.uid);
        let uid = known.uid.clone();
        Self {
            app,
            uid,
            known,
            changes,
            place,
            missing: None,
            position: None,
            progress: None,
            begun: false,
            over: false,
            _permit: permit,
        }
    }

    /// What is new, once there is something; `None` when the story is over.
    async fn news(&mut self) -> Option<Vec<Event>> {
        while !self.over {
            if self.begun && !self.something_may_have_changed().await {
                return None;
            }
            self.begun = true;
            let news = self.look().await;
            if !news.is_empty() {
                return Some(news);
            }
        }
        None
    }

    /// False when the operator stops.
    async fn something_may_have_changed(&mut self) -> bool {
        tokio::select! {
            () = self.app.over.cancelled() => false,
            () = self.changes.changed() => true,
            () = tokio::time::sleep(END), if self.missing.is_some() => true,
            () = tokio::time::sleep(POSITION), if self.position.is_some() => true,
        }
    }

    async fn look(&mut self) -> Vec<Event> {
        if let Some(entry) = self.app.index.get(&self.uid) {
            self.missing = None;
            self.known = entry;
        } else if !self.known.state.is_final() {
            return self.end().await;
        }
        self.tell(&self.known.clone())
    }

    fn tell(&mut self, entry: &Entry) -> Vec<Event> {
        let chapters = since(self.place.as_ref(), entry);
        let mut news: Vec<Event> = chapters.iter().map(|(place, chapter)| state(entry, place, *chapter)).collect();
        self.place = Some(Place::of(entry));
        self.over = entry.state.is_final();
        news.extend(self.progressed(entry));
        news.extend(self.moved(entry));
        news
    }

    /// Of a task that is not to be seen any more: its last version may have been there for a moment only.
    async fn end(&mut self) -> Vec<Event> {
        self.position = None;
        if self.app.index.is_behind() && !self.app.index.is_gone(&self.uid) {
            // Whether it is there will be known.
            self.missing = Some(Instant::now());
            return vec![];
        }
        let late = self.missing.get_or_insert_with(Instant::now).elapsed() >= ENDS_WITHIN;
        match tokio::time::timeout(ARCHIVE, self.app.archived(&self.uid)).await {
            Ok(Ok(Some(record))) if is_end_of(&record, &self.known) => self.tell(&record),
            Ok(Ok(_)) if late => {
                self.over = true;
                vec![self.deleted()]
            }
            // The reader comes back and asks again: nothing is told that nobody knows.
            Ok(Err(_)) | Err(_) if late => {
                self.over = true;
                vec![]
            }
            _ => vec![],
        }
    }

    fn moved(&mut self, entry: &Entry) -> Option<Event> {
        let position = self.app.index.position(entry);
        let before = std::mem::replace(&mut self.position, position);
        let queue_position = position.filter(|_| position != before)?;
        Some(event("position", &PositionEvent { task_id: entry.uid.to_string(), queue_position }))
    }

    fn progressed(&mut self, entry: &Entry) -> Option<Event> {
        let progress = self.app.index.progress(entry).as_ref().map(Progress::from);
        if progress == self.progress {
            return None;
        }
        self.progress.clone_from(&progress);
        Some(event("progress", &ProgressEvent { task_id: entry.uid.to_string(), progress: progress? }))
    }

    /// The task was deleted before its end, which cancels it.
    fn deleted(&self) -> Event {
        event(
            "state",
            &StateEvent {
                task_id: self.uid.to_string(),
                status: Phase::Cancelled,
                attempt: self.known.attempt,
                reason: Some("Deleted".into()),
                message: Some("the task was deleted".into()),
            },
        )
    }
}

/// Whether what the archive has is the end of the run that was last seen, or of a later one.
fn is_end_of(record: &Entry, known: &Entry) -> bool {
    let same = record.run_id == known.run_id && record.began() == known.began();
    record.state.is_final() && (same || record.finished_at.is_some_and(|ended| ended >= known.began()))
}

fn state(entry: &Entry, place: &Place, chapter: Chapter) -> Event {
    let present = *place == Place::of(entry);
    let told = StateEvent {
        task_id: entry.uid.to_string(),
        status: chapter.state.into(),
        attempt: chapter.attempt,
        reason: present.then(|| entry.reason.to_string()),
        message: entry.message.as_deref().filter(|_| present).map(str::to_owned),
    };
    event("state", &told).id(place.id())
}

fn event(name: &'static str, data: &impl Serialize) -> Event {
    // JSON has no line break, so it is one line of data.
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(run: &str, state: &str, queued: &str, finished: Option<&str>) -> Entry {
        let task = json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task",
            "metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"type": "work"},
            "status": {"runId": run, "state": state, "queuedAt": queued, "finishedAt": finished}});
        Entry::of(&serde_json::from_value(task).expect("a task"), None, None)
    }

    #[test]
    fn the_end_of_an_earlier_run_is_not_told_as_the_end_of_this_one() {
        let first = run("1", "Completed", "2026-01-01T00:00:00.000000Z", Some("2026-01-01T00:00:05.000000Z"));
        let unfinished = run("1", "Processing", "2026-01-01T00:00:00.000000Z", None);
        let second = run("2", "Processing", "2026-01-01T00:01:00.000000Z", None);
        let ended = run("2", "Failed", "2026-01-01T00:01:00.000000Z", Some("2026-01-01T00:01:05.000000Z"));
        assert!(is_end_of(&first, &unfinished) && is_end_of(&ended, &second) && is_end_of(&ended, &unfinished));
        assert!(!is_end_of(&first, &second) && !is_end_of(&unfinished, &unfinished));
        let third = run("1", "Processing", "2026-01-01T00:02:00.000000Z", None);
        assert!(!is_end_of(&first, &third), "its runId is used again");
    }
}
