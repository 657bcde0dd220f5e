//! What the events of a stream say.

use axum::response::sse::Event;
use serde::Serialize;

use super::story::{Chapter, Place};
use crate::rest::ask::wire::{Phase, Progress};
use crate::rest::index::entry::IndexedTask;

#[derive(Serialize)]
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

/// A state that the task is in, or went through.
pub fn state(entry: &IndexedTask, place: &Place, chapter: Chapter) -> Event {
    let present = *place == Place::of(entry);
    let told = StateEvent {
        task_id: entry.uid.to_string(),
        status: chapter.state.into(),
        attempt: chapter.attempt,
        reason: present.then(|| entry.reason.to_string()),
        message: entry.message.as_deref().filter(|_| present).map(str::to_owned),
    };
    event("state", &told).id(place.id(entry.version))
}

/// The task was deleted before its end, which cancels it.
pub fn deleted(known: &IndexedTask) -> Event {
    let told = StateEvent {
        task_id: known.uid.to_string(),
        status: Phase::Cancelled,
        attempt: known.attempt,
        reason: Some("Deleted".into()),
        message: Some("the task was deleted".into()),
    };
    event("state", &told)
}

pub fn position(entry: &IndexedTask, queue_position: usize) -> Event {
    event("position", &PositionEvent { task_id: entry.uid.to_string(), queue_position })
}

pub fn progress(entry: &IndexedTask, progress: Progress) -> Event {
    event("progress", &ProgressEvent { task_id: entry.uid.to_string(), progress })
}

fn event(name: &'static str, data: &impl Serialize) -> Event {
    // JSON has no line break, so it is one line of data.
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}
