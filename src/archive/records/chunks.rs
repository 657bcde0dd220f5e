//! How the chunks of a batch ended, one row for each: what became of their items, with the errors of those that failed. They
//! stand in the order of their ends, and are deleted with the record of their batch's run.

use jiff::Timestamp;
use sqlx::Row;

use crate::archive::Archive;
use crate::archive::database::error::Error;
use crate::archive::database::statement::{Statement, Value, column};

/// So many ends are read at once.
pub const CHUNKS_READ_AT_ONCE: usize = 500;

/// A run of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchKey {
    pub uid: String,
    pub run_id: String,
    /// The start of the run: a runId may be used again.
    pub began: Timestamp,
}

/// The end of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkEnd {
    /// Its place among all ends of the run, from 1.
    pub place: i64,
    /// The number of the chunk.
    pub number: i64,
    /// What became of its items, as JSON.
    pub outcome: String,
}

impl BatchKey {
    fn values(&self) -> [Value; 3] {
        [column(&self.uid).into(), column(&self.run_id).into(), self.began.as_microsecond().into()]
    }
}

impl Archive {
    /// Stores the end of a chunk, with all that became of its items, in one statement. False where this place is taken, or this
    /// chunk's end is stored already: somebody else has written since these ends were read, or this is a repetition. Nothing
    /// is changed then, and they are to be read again.
    pub async fn put_chunk(&self, batch: &BatchKey, end: &ChunkEnd, now: Timestamp) -> Result<bool, Error> {
        let stored = "INSERT INTO archive_chunks (uid, run_id, began, place, number, stored, outcome) \
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
        let stored = batch.values().into_iter().fold(Statement::new(stored), Statement::with);
        let stored = stored.with(end.place).with(end.number).with(now.as_microsecond()).with(end.outcome.as_str());
        Ok(self.write(stored).await?.changed > 0)
    }

    /// The ends before this place, the last one first, at most [`CHUNKS_READ_AT_ONCE`].
    pub async fn chunks(&self, batch: &BatchKey, before: i64) -> Result<Vec<ChunkEnd>, Error> {
        let asked = "SELECT place, number, outcome FROM archive_chunks \
            WHERE uid = $1 AND run_id = $2 AND began = $3 AND place < $4 ORDER BY uid DESC, run_id DESC, began DESC, place DESC LIMIT $5";
        let asked = batch.values().into_iter().fold(Statement::new(asked), Statement::with);
        let rows = self.read(asked.with(before).with(CHUNKS_READ_AT_ONCE as i64)).await?.rows;
        let end = |row: &sqlx::any::AnyRow| {
            Ok(ChunkEnd {
                place: row.try_get("place")?,
                number: row.try_get("number")?,
                outcome: row.try_get("outcome")?,
            })
        };
        rows.iter().map(end).collect()
    }
}
