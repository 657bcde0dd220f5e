//! The batches that this operator looks after, in memory: where the items of each are, as the store has it, and what was asked
//! for that the watch does not show yet. Nothing is lost with it: it is read again from the store. Decides nothing.

pub mod steps;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use crate::api::Task;
use crate::controller::cache::Uid;
use crate::core::attempt::facts::Why;
use crate::core::batch::Ledger;
use crate::core::launch::chunk;
use crate::core::task::{BatchFacts, ChunkFacts, MissingChunk};
use crate::core::time::after;

/// After so long what was asked for is asked for again, though the watch shows nothing of it.
const ASKED_AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(5);

#[derive(Default)]
pub struct Batches {
    table: Mutex<HashMap<Uid, Known>>,
}

/// The memory of one batch.
#[derive(Default)]
struct Known {
    /// The run that this is about: its runId, and when it began.
    run: (String, String),
    ledger: Option<Arc<Ledger>>,
    /// The chunks that have not ended.
    made: BTreeMap<u32, Made>,
    /// Chunks that were deleted or stopped in this version, and when.
    asked: HashMap<String, (Option<String>, Timestamp)>,
    refused: Option<(Why, Timestamp)>,
}

struct Made {
    at: Timestamp,
    uid: Uid,
    was_shown: bool,
}

fn uid_of(task: &Task) -> &str {
    task.metadata.uid.as_deref().unwrap_or_default()
}

impl Batches {
    /// What is known of this batch, whose chunks the watch shows so.
    pub fn facts(
        &self,
        batch: &Task,
        chunks: Vec<Arc<Task>>,
        store_is_away: Option<String>,
        now: Timestamp,
    ) -> BatchFacts {
        if batch.status_or_default().state.is_final() && chunks.is_empty() {
            self.table.lock().remove(uid_of(batch));
            return BatchFacts::default();
        }
        self.change(batch, |known| {
            known.shown(batch, &chunks, now);
            let chunks: Vec<_> = chunks
                .into_iter()
                .map(|task| ChunkFacts { is_asked: known.asked.contains_key(uid_of(&task)), task })
                .collect();
            let missing = known.made.iter().filter(|(_, made)| !chunks_have(&chunks, &made.uid));
            let missing = missing
                .map(|(number, made)| MissingChunk { number: *number, made_at: made.at, was_shown: made.was_shown })
                .collect();
            BatchFacts { ledger: known.ledger.clone(), chunks, missing, store_is_away, refused: known.refused.clone() }
        })
    }

    /// Changes the memory of this batch's present run.
    fn change<T>(&self, batch: &Task, change: impl FnOnce(&mut Known) -> T) -> T {
        let mut table = self.table.lock();
        let known = table.entry(uid_of(batch).into()).or_default();
        let run = (chunk::run_of(batch), chunk::began(batch));
        if known.run != run {
            *known = Known { run, ..Known::default() };
        }
        change(known)
    }

    /// Changes the ledger, where it is known.
    fn change_ledger<T>(&self, batch: &Task, change: impl FnOnce(&mut Ledger) -> T) -> Option<T> {
        self.change(batch, |known| known.ledger.as_mut().map(|ledger| change(Arc::make_mut(ledger))))
    }

    fn ledger(&self, batch: &Task) -> Option<Arc<Ledger>> {
        self.change(batch, |known| known.ledger.clone())
    }

    /// The ledger as it was read from the store; `None` where it is to be read again.
    fn set_ledger(&self, batch: &Task, ledger: Option<Ledger>) {
        self.change(batch, |known| {
            known.made.clear();
            known.ledger = ledger.map(Arc::new);
        });
    }

    /// This chunk was deleted or stopped as it was seen here.
    fn asked(&self, batch: &Task, chunk: &Task, now: Timestamp) {
        let version = chunk.metadata.resource_version.clone();
        self.change(batch, |known| known.asked.insert(uid_of(chunk).to_owned(), (version, now)));
    }

    /// Forgets the batches of which nothing is known any longer.
    fn forget(&self, is_known: impl Fn(&str) -> bool) {
        self.table.lock().retain(|uid, _| is_known(uid));
    }
}

fn chunks_have(chunks: &[ChunkFacts], uid: &str) -> bool {
    chunks.iter().any(|chunk| uid_of(&chunk.task) == uid)
}

impl Known {
    fn shown(&mut self, batch: &Task, chunks: &[Arc<Task>], now: Timestamp) {
        for task in chunks {
            let number = chunk::read(task, batch).map(|(number, _)| number);
            if let Some(made) = number.and_then(|number| self.made.get_mut(&number)) {
                made.was_shown |= *made.uid == *uid_of(task);
            }
        }
        self.asked.retain(|uid, (version, at)| {
            let is_as_asked = |task: &&Arc<Task>| uid_of(task) == uid && task.metadata.resource_version == *version;
            chunks.iter().any(|task| is_as_asked(&task)) && after(*at, ASKED_AGAIN_AFTER) > now
        });
        if self.refused.as_ref().is_some_and(|(_, until)| *until <= now) {
            self.refused = None;
        }
    }
}
