//! Somebody who follows a task, and how far they are.
//!
//! They are told by a look at the index when something has changed: what comes faster than it is read is told once, and
//! nothing piles up for a slow reader. One that reads nothing at all is cut off by the accept loop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::sse::Event;
use tokio::sync::OwnedSemaphorePermit;

use super::event;
use super::story::{Place, since};
use crate::rest::app::App;
use crate::rest::ask::wire::Progress;
use crate::rest::index::Subscription;
use crate::rest::index::entry::IndexedTask;

/// The position changes with others' changes, so it is looked at.
const POSITION: Duration = Duration::from_secs(1);
/// The end of a task that is gone is in the archive, or will be in a moment: how often it is asked…
const END: Duration = Duration::from_millis(500);
/// …for how long each time…
const ARCHIVE: Duration = Duration::from_secs(2);
/// …and until when.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// Another replica may have told more than is known here yet. It will be known by then, unless the cluster was restored.
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(10);

/// Somebody who follows a task, and how far they are.
pub struct Reader {
    app: Arc<App>,
    uid: Arc<str>,
    /// The task as it was last seen.
    known: Arc<IndexedTask>,
    changes: Subscription,
    place: Option<Place>,
    /// The version of the task that they were told of last, here or by another replica.
    told: u64,
    began: Instant,
    /// Since when the task is not to be seen any more.
    missing: Option<Instant>,
    position: Option<usize>,
    progress: Option<Progress>,
    begun: bool,
    over: bool,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    /// `after` is what they know already, and the version of the task in which they know it.
    pub fn new(
        app: Arc<App>,
        known: Arc<IndexedTask>,
        after: Option<(Place, u64)>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let changes = app.index.subscribe(&known.uid);
        let uid = known.uid.clone();
        let (place, told) = after.unzip();
        Self {
            app,
            uid,
            known,
            changes,
            place,
            told: told.unwrap_or_default(),
            began: Instant::now(),
            missing: None,
            position: None,
            progress: None,
            begun: false,
            over: false,
            _permit: permit,
        }
    }

    /// What is new, once there is something; `None` when the story is over.
    pub async fn news(&mut self) -> Option<Vec<Event>> {
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
            () = tokio::time::sleep(END), if self.missing.is_some() || self.knows_more() => true,
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
        if self.knows_more() { vec![] } else { self.tell(&self.known.clone()) }
    }

    /// What is known here is the past for them: they would be told a second time what they have left behind.
    fn knows_more(&self) -> bool {
        self.known.is_in_cluster() && self.known.version < self.told && self.began.elapsed() < CATCHES_UP_WITHIN
    }

    fn tell(&mut self, entry: &IndexedTask) -> Vec<Event> {
        let chapters = since(self.place.as_ref(), entry);
        let mut news: Vec<Event> =
            chapters.iter().map(|(place, chapter)| event::state(entry, place, *chapter)).collect();
        self.place = Some(Place::of(entry));
        self.told = entry.version;
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
                vec![event::deleted(&self.known)]
            }
            // The reader comes back and asks again: nothing is told that nobody knows.
            Ok(Err(_)) | Err(_) if late => {
                self.over = true;
                vec![]
            }
            _ => vec![],
        }
    }

    fn moved(&mut self, entry: &IndexedTask) -> Option<Event> {
        let position = self.app.index.position(entry);
        let before = std::mem::replace(&mut self.position, position);
        position.filter(|_| position != before).map(|position| event::position(entry, position))
    }

    fn progressed(&mut self, entry: &IndexedTask) -> Option<Event> {
        let progress = self.app.index.progress(entry).as_ref().map(Progress::from);
        if progress == self.progress {
            return None;
        }
        self.progress.clone_from(&progress);
        progress.map(|progress| event::progress(entry, progress))
    }
}

/// Whether what the archive has is the end of the run that was last seen, or of a later one.
fn is_end_of(record: &IndexedTask, known: &IndexedTask) -> bool {
    let same = record.run_id == known.run_id && record.began() == known.began();
    record.state.is_final() && (same || record.finished_at.is_some_and(|ended| ended >= known.began()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(run: &str, state: &str, queued: &str, finished: Option<&str>) -> IndexedTask {
        let task = json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task",
            "metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"type": "work"},
            "status": {"runId": run, "state": state, "queuedAt": queued, "finishedAt": finished}});
        IndexedTask::of(&serde_json::from_value(task).expect("a task"), None, None)
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
