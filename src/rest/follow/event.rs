//! The events of a stream: a state, what it waits for, a place in the queue, progress.

use axum::response::sse::Event;
use serde::Serialize;

use super::history::{Cursor, Step};
use crate::core::queue::Told;
use crate::rest::head::Head;
use crate::rest::index::IndexedTask;
use crate::rest::wire::{Phase, Progress};

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

#[derive(Serialize)]
struct WaitingEvent {
    task_id: String,
    reason: String,
    message: String,
}

/// A state that the task is in, or went through. `present` is how it stands now.
pub fn state(known: &IndexedTask, present: &Head, cursor: &Cursor, step: Step) -> Event {
    let is_present = *cursor == Cursor::of(known);
    let told = StateEvent {
        task_id: known.uid.to_string(),
        status: step.state.into(),
        attempt: step.attempt,
        reason: is_present.then(|| present.reason.to_string()),
        message: present.message.as_deref().filter(|_| is_present).map(str::to_owned),
    };
    event("state", &told).id(cursor.id(known.version))
}

/// The task was deleted before its end, which cancels it.
pub fn deleted(known: &IndexedTask) -> Event {
    let told = StateEvent {
        task_id: known.uid.to_string(),
        status: Phase::Cancelled,
        attempt: known.head.attempt,
        reason: Some("Deleted".into()),
        message: Some("the task was deleted".into()),
    };
    event("state", &told)
}

pub fn position(known: &IndexedTask, queue_position: usize) -> Event {
    event("position", &PositionEvent { task_id: known.uid.to_string(), queue_position })
}

/// A queued task waits for something else, or the numbers have moved.
pub fn waiting(known: &IndexedTask, waits_for: &Told) -> Event {
    let told = WaitingEvent {
        task_id: known.uid.to_string(),
        reason: waits_for.reason.to_string(),
        message: waits_for.message.clone(),
    };
    event("waiting", &told)
}

pub fn progress(known: &IndexedTask, progress: Progress) -> Event {
    event("progress", &ProgressEvent { task_id: known.uid.to_string(), progress })
}

fn event(name: &'static str, data: &impl Serialize) -> Event {
    // JSON has no line break, so it is one line of data.
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}
