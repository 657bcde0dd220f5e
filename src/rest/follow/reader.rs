//! A reader who follows a task, and how far they are.
//!
//! They are told by a look at the index when something has changed: changes that come faster than they are read are told
//! as one, and nothing piles up for a slow reader. One that reads nothing at all is cut off by the accept loop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::sse::Event;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::event;
use super::history::{Cursor, since};
use crate::api::State;
use crate::core::queue::Told;
use crate::rest::find::Finder;
use crate::rest::index::{Index, IndexedTask, Subscription, Uid};
use crate::rest::wire::Progress;

/// What a task waits for changes with others' changes, so it is looked at.
const WAIT: Duration = Duration::from_secs(1);
/// Another position is told at most so often.
const POSITIONS: Duration = Duration::from_secs(3);
/// Numbers that move while the reason stays are told at most so often.
const NUMBERS: Duration = Duration::from_secs(5);
/// The end of a task that is gone is in the archive, or will be in a moment: so often the archive is asked.
const END: Duration = Duration::from_millis(500);
/// The archive is waited for so long each time.
const ARCHIVE: Duration = Duration::from_secs(2);
/// After so long the archive is no longer asked.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// Another replica may have told more than is known here yet. It will be known by then, unless the cluster was restored.
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(10);

/// A reader who follows a task, and how far they are.
pub struct Reader {
    finder: Arc<Finder>,
    index: Arc<Index>,
    over: CancellationToken,
    uid: Uid,
    /// The task as it was last seen.
    known: Arc<IndexedTask>,
    changes: Subscription,
    cursor: Option<Cursor>,
    /// The version of the task that they were told of last, here or by another replica.
    told: u64,
    began: Instant,
    /// Since when the task is no longer in the index.
    missing: Option<Instant>,
    position: Option<usize>,
    /// When they were told of the position.
    moved: Option<Instant>,
    /// What they were told that the task waits for, and when.
    waits_for: Option<(Told, Instant)>,
    progress: Option<Progress>,
    has_begun: bool,
    is_over: bool,
    _turn: OwnedSemaphorePermit,
}

impl Reader {
    /// `after` is how far they are already, and the version of the task in which they saw it.
    pub fn new(
        finder: Arc<Finder>,
        index: Arc<Index>,
        over: CancellationToken,
        known: Arc<IndexedTask>,
        after: Option<(Cursor, u64)>,
        turn: OwnedSemaphorePermit,
    ) -> Self {
        let (cursor, told) = after.unzip();
        Self {
            changes: index.subscribe(&known.uid),
            uid: known.uid.clone(),
            finder,
            index,
            over,
            known,
            cursor,
            told: told.unwrap_or_default(),
            began: Instant::now(),
            missing: None,
            position: None,
            moved: None,
            waits_for: None,
            progress: None,
            has_begun: false,
            is_over: false,
            _turn: turn,
        }
    }

    /// The next events, once there are any; `None` when all was told.
    pub async fn news(&mut self) -> Option<Vec<Event>> {
        while !self.is_over {
            if self.has_begun && !self.something_may_have_changed().await {
                return None;
            }
            self.has_begun = true;
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
            () = self.over.cancelled() => false,
            () = self.changes.changed() => true,
            () = tokio::time::sleep(END), if self.missing.is_some() || self.knows_more() => true,
            () = tokio::time::sleep(WAIT), if self.known.state == State::Queued => true,
        }
    }

    async fn look(&mut self) -> Vec<Event> {
        if let Some(known) = self.index.get(&self.uid) {
            self.missing = None;
            self.known = known;
        } else if !self.known.state.is_final() {
            return self.end().await;
        }
        if self.knows_more() { vec![] } else { self.tell(&self.known.clone()) }
    }

    /// The task as it is known here is the past for them: they would be told a second time what they have left behind.
    fn knows_more(&self) -> bool {
        self.known.is_in_cluster() && self.known.version < self.told && self.began.elapsed() < CATCHES_UP_WITHIN
    }

    fn tell(&mut self, known: &IndexedTask) -> Vec<Event> {
        let waits_for = self.index.waits_for(known);
        let present = match waits_for.clone() {
            Some(told) => &known.head.clone().waiting_for(told),
            None => &known.head,
        };
        let steps = since(self.cursor.as_ref(), known);
        let mut news: Vec<Event> =
            steps.iter().map(|(cursor, step)| event::state(known, present, cursor, *step)).collect();
        let is_told = !news.is_empty();
        self.cursor = Some(Cursor::of(known));
        self.told = known.version;
        self.is_over = known.state.is_final();
        news.extend(self.progressed(known));
        news.extend(self.moved(known, waits_for.as_ref()));
        news.extend(self.waits(known, waits_for, is_told));
        news
    }

    /// The end of a task that is no longer in the index: its last version may have been there for a moment only.
    async fn end(&mut self) -> Vec<Event> {
        self.position = None;
        if self.index.is_behind() && !self.index.is_gone(&self.uid) {
            // Whether it is there will be known.
            self.missing = Some(Instant::now());
            return vec![];
        }
        let late = self.missing.get_or_insert_with(Instant::now).elapsed() >= ENDS_WITHIN;
        match tokio::time::timeout(ARCHIVE, self.finder.archived(&self.uid)).await {
            Ok(Ok(Some(record))) if is_end_of(&record, &self.known) => self.tell(&record),
            Ok(Ok(_)) if late => {
                self.is_over = true;
                vec![event::deleted(&self.known)]
            }
            // The reader comes back and asks again: nothing is told that nobody knows.
            Ok(Err(_)) | Err(_) if late => {
                self.is_over = true;
                vec![]
            }
            _ => vec![],
        }
    }

    fn moved(&mut self, known: &IndexedTask, waits_for: Option<&Told>) -> Option<Event> {
        let position = waits_for.and_then(|told| told.place);
        let is_due = position.is_none() || self.moved.is_none_or(|told| told.elapsed() >= POSITIONS);
        if position == self.position || !is_due {
            return None;
        }
        self.position = position;
        self.moved = Some(Instant::now());
        position.map(|position| event::position(known, position))
    }

    /// Another reason is told at once, other numbers after a while. `is_told`: the present state was told with it.
    fn waits(&mut self, known: &IndexedTask, now: Option<Told>, is_told: bool) -> Option<Event> {
        let Some(now) = now else {
            self.waits_for = None;
            return None;
        };
        let is_news = match &self.waits_for {
            None => true,
            Some((before, _)) if before.reason != now.reason => true,
            Some((before, at)) => *before != now && at.elapsed() >= NUMBERS,
        };
        if !is_news {
            return None;
        }
        let event = event::waiting(known, &now);
        self.waits_for = Some((now, Instant::now()));
        (!is_told).then_some(event)
    }

    fn progressed(&mut self, known: &IndexedTask) -> Option<Event> {
        let progress = self.index.progress(known).map(Progress::from);
        if progress == self.progress {
            return None;
        }
        self.progress.clone_from(&progress);
        progress.map(|progress| event::progress(known, progress))
    }
}

/// Whether the record is the end of the run that was last seen, or of a later one.
fn is_end_of(record: &IndexedTask, known: &IndexedTask) -> bool {
    let is_same_run = record.run_id == known.run_id && record.began() == known.began();
    record.state.is_final() && (is_same_run || record.finished_at.is_some_and(|ended| ended >= known.began()))
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
