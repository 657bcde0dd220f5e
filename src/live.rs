//! What the work that runs says of itself, while it runs. The controller of the operator that leads listens and
//! keeps it here, and REST shows it from here; so the two meet without knowing each other.
//!
//! Nothing here decides what a word is worth, and nothing is lost with it: what must outlive us is written to the
//! task by the controller before its speaker is answered.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::api::{Progress, Task};
use crate::core::attempt::reports::{Said, Word};

/// Of so many tasks the latest words are kept; beyond that, those are forgotten that were silent longest.
const MOST: usize = 10_000;
/// News that may wait for one who looks; whoever is slower is told to look at everything.
const NEWS: usize = 1024;

pub type Uid = String;

/// A pod that says something, as the API server knows it by its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speaker {
    pub namespace: String,
    pub pod: String,
    pub uid: String,
}

/// Which attempt of which run of which task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spot {
    pub uid: Uid,
    pub run_id: String,
    /// When the run began: its runId may be used again.
    #[serde(default)]
    pub began: Timestamp,
    pub attempt: i32,
}

impl Spot {
    /// The present one.
    pub fn of(task: &Task) -> Self {
        let status = task.status.as_ref();
        let run_id = status.and_then(|status| status.run_id.as_ref()).unwrap_or(&task.spec.run_id);
        let queued_at = status.and_then(|status| status.queued_at.as_ref()).map(|at| at.0);
        let created_at = task.metadata.creation_timestamp.as_ref().map(|at| at.0);
        Self {
            uid: task.metadata.uid.as_deref().unwrap_or_default().into(),
            run_id: run_id.clone(),
            began: queued_at.or(created_at).unwrap_or_default(),
            attempt: status.map(|status| status.attempt).unwrap_or_default(),
        }
    }
}

/// Why a word was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Deaf {
    #[error("this replica does not lead, and knows of none that does; say it again in a moment")]
    NobodyLeads,
    #[error("{0}; say it again in a moment")]
    NotNow(&'static str),
    #[error("this token's pod does not work on a task of ours")]
    Stranger,
    #[error("the attempt that this pod worked on is over; what it says changes nothing any more")]
    Over,
}

/// One who knows the pods, and takes what they say.
pub trait Listener: Send + Sync {
    /// Which attempt this pod is at work on.
    fn whose<'a>(&'a self, speaker: &'a Speaker) -> BoxFuture<'a, Result<Spot, Deaf>>;

    /// Takes a word. What must outlive us is written when this returns.
    fn hear<'a>(&'a self, speaker: &'a Speaker, word: Word) -> BoxFuture<'a, Result<(), Deaf>>;
}

/// What is known of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub spot: Spot,
    pub said: Said,
}

pub struct Live {
    board: Mutex<Board>,
    news: broadcast::Sender<Uid>,
    listener: Mutex<Option<Arc<dyn Listener>>>,
}

#[derive(Default)]
struct Board {
    entries: HashMap<Uid, (u64, Entry)>,
    /// By when they were last changed.
    ages: BTreeMap<u64, Uid>,
    changes: u64,
}

impl Default for Live {
    fn default() -> Self {
        Self { board: Mutex::default(), news: broadcast::Sender::new(NEWS), listener: Mutex::default() }
    }
}

/// Somebody listens as long as this lives.
pub struct Listening(Arc<Live>);

impl Drop for Listening {
    fn drop(&mut self) {
        *lock(&self.0.listener) = None;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    /// From now on `listener` takes what is said. What was said to others before does not count.
    pub fn listens(self: &Arc<Self>, listener: Arc<dyn Listener>) -> Listening {
        *lock(&self.board) = Board::default();
        *lock(&self.listener) = Some(listener);
        Listening(self.clone())
    }

    /// Somebody here takes what is said.
    pub fn is_listening(&self) -> bool {
        lock(&self.listener).is_some()
    }

    fn listener(&self) -> Result<Arc<dyn Listener>, Deaf> {
        lock(&self.listener).clone().ok_or(Deaf::NobodyLeads)
    }

    pub async fn whose(&self, speaker: &Speaker) -> Result<Spot, Deaf> {
        self.listener()?.whose(speaker).await
    }

    pub async fn hear(&self, speaker: &Speaker, word: Word) -> Result<(), Deaf> {
        self.listener()?.hear(speaker, word).await
    }

    /// Keeps a word of this pod; returns what it had said before.
    pub fn keep(&self, spot: &Spot, pod: &str, word: Word) -> Said {
        let mut board = lock(&self.board);
        let before = board.entries.get(&spot.uid).map(|(_, entry)| entry);
        let before = before.filter(|entry| entry.spot == *spot && entry.said.pod == pod);
        let before = before.map_or_else(|| Said::of(pod), |entry| entry.said.clone());
        let mut said = before.clone();
        said.hear(word);
        board.put(Entry { spot: spot.clone(), said });
        drop(board);
        self.tell(&spot.uid);
        before
    }

    /// What was said of this task.
    pub fn said(&self, uid: &str) -> Option<Said> {
        lock(&self.board).entries.get(uid).map(|(_, entry)| entry.said.clone())
    }

    /// What another replica, who leads, was told.
    pub fn retell(&self, entry: Entry) {
        let uid = entry.spot.uid.clone();
        // One who listens knows better.
        if !self.is_listening() {
            lock(&self.board).put(entry);
            self.tell(&uid);
        }
    }

    pub fn entry(&self, uid: &str) -> Option<Entry> {
        lock(&self.board).entries.get(uid).map(|(_, entry)| entry.clone())
    }

    pub fn entries(&self) -> Vec<Entry> {
        lock(&self.board).entries.values().map(|(_, entry)| entry.clone()).collect()
    }

    /// How far this attempt is.
    pub fn progress(&self, uid: &str, run_id: &str, began: Timestamp, attempt: i32) -> Option<Progress> {
        let board = lock(&self.board);
        let (_, Entry { spot, said }) = board.entries.get(uid)?;
        let is_meant = spot.run_id == run_id && spot.began == began && spot.attempt == attempt;
        said.progress.clone().filter(|_| is_meant)
    }

    /// Whom something was said of.
    pub fn news(&self) -> broadcast::Receiver<Uid> {
        self.news.subscribe()
    }

    fn tell(&self, uid: &Uid) {
        // Where nobody looks, nobody is told.
        let _ = self.news.send(uid.clone());
    }
}

impl Board {
    fn put(&mut self, entry: Entry) {
        self.changes += 1;
        let uid = entry.spot.uid.clone();
        if let Some((before, _)) = self.entries.insert(uid.clone(), (self.changes, entry)) {
            self.ages.remove(&before);
        }
        self.ages.insert(self.changes, uid);
        if self.entries.len() > MOST
            && let Some((_, silent)) = self.ages.pop_first()
        {
            self.entries.remove(&silent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(uid: &str, attempt: i32) -> Spot {
        Spot { uid: uid.into(), run_id: "1".into(), began: Timestamp::UNIX_EPOCH, attempt }
    }

    fn percent(percent: i32) -> Word {
        Word::Progress(Progress { percent: Some(percent), ..Progress::default() })
    }

    #[test]
    fn another_attempt_begins_with_nothing_said() {
        let live = Live::default();
        live.keep(&spot("a", 1), "p1", percent(40));
        assert_eq!(live.keep(&spot("a", 1), "p1", percent(50)).progress.and_then(|said| said.percent), Some(40));
        let began = Timestamp::UNIX_EPOCH;
        assert_eq!(live.progress("a", "1", began, 1).and_then(|said| said.percent), Some(50));
        assert_eq!((live.progress("a", "1", began, 2), live.progress("a", "2", began, 1)), (None, None));
        assert_eq!(live.progress("a", "1", Timestamp::MAX, 1), None, "a later run of the same runId");
        assert_eq!(live.keep(&spot("a", 2), "p2", percent(1)), Said::of("p2"));
        assert_eq!(live.progress("a", "1", began, 1), None);
    }

    #[test]
    fn those_are_forgotten_that_were_silent_longest() {
        let live = Live::default();
        for number in 0..MOST {
            live.keep(&spot(&number.to_string(), 1), "p", percent(1));
        }
        live.keep(&spot("0", 1), "p", percent(2));
        live.keep(&spot("one more", 1), "p", percent(1));
        assert!(live.said("0").is_some() && live.said("1").is_none() && live.said("2").is_some());
        assert_eq!(lock(&live.board).ages.len(), MOST);
    }

    #[tokio::test]
    async fn where_nobody_leads_nobody_listens() {
        let speaker = Speaker { namespace: "docs".into(), pod: "p".into(), uid: "u".into() };
        assert_eq!(Live::default().hear(&speaker, percent(1)).await, Err(Deaf::NobodyLeads));
    }
}
