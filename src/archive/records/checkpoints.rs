//! Checkpoints: how far a run is, in the words of its work. The last one is kept until the run's final record is put, which
//! deletes it in the same statement; so does pruning, for one that was stored in that very moment.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::Row;
use sqlx::any::AnyRow;
use tokio::time::timeout;

use super::logs::AttemptKey;
use super::results::{READ_WITHIN, TURN_WITHIN, must_be_a_content_type};
use crate::archive::Archive;
use crate::archive::database::error::Error;
use crate::archive::database::statement::{Statement, Value, column};

/// The largest checkpoint, in bytes.
pub const LARGEST_CHECKPOINT: usize = 1 << 20;
/// The longest time that one may take to be stored, whatever the deadline of other calls.
const STORED_WITHIN: Duration = Duration::from_secs(10);

/// The last checkpoint of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The number of the attempt that stored it.
    pub attempt: i32,
    /// The media type, as in HTTP. Example: application/json.
    pub content_type: String,
    /// Any bytes, at most 1 MiB.
    pub content: Arc<Vec<u8>>,
    pub stored_at: Timestamp,
}

impl Archive {
    /// Stores a checkpoint of `attempt` in place of the one before, whichever attempt that was of. It is refused where the run
    /// is over, or a later attempt or a later run under the same runId has stored one.
    pub async fn put_checkpoint(&self, attempt: &AttemptKey<'_>, checkpoint: &Checkpoint) -> Result<(), Error> {
        let statement = upsert(attempt, checkpoint)?;
        // One after another, so that a record waits for one at most.
        let turn = timeout(TURN_WITHIN, self.0.storing.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(Error::Down("others are still being stored".into())) };
        let stored = self.write_within(STORED_WITHIN.max(self.0.deadline), statement).await?.rows;
        if stored.is_empty() {
            return Err(Error::Outdated("the run is over, or a later attempt has stored its checkpoint"));
        }
        Ok(())
    }

    /// The last checkpoint of this attempt's run, whichever attempt stored it.
    pub async fn checkpoint(&self, attempt: &AttemptKey<'_>) -> Result<Option<Checkpoint>, Error> {
        let asked = of_run("SELECT attempt, stored, content_type, content", attempt);
        self.read_within(READ_WITHIN.max(self.0.deadline), asked).await?.rows.first().map(checkpoint).transpose()
    }

    /// Whether there is one.
    pub async fn has_checkpoint(&self, attempt: &AttemptKey<'_>) -> Result<bool, Error> {
        Ok(!self.read(of_run("SELECT attempt", attempt)).await?.rows.is_empty())
    }
}

fn of_run(select: &str, attempt: &AttemptKey<'_>) -> Statement {
    Statement::new(select)
        .and(" FROM archive_checkpoints WHERE uid = $1 AND run_id = $2 AND part = '' AND began = $3")
        .with(column(attempt.uid))
        .with(column(attempt.run_id))
        .with(attempt.began.as_microsecond())
}

fn upsert(key: &AttemptKey<'_>, checkpoint: &Checkpoint) -> Result<Statement, Error> {
    let bytes = checkpoint.content.len();
    if bytes > LARGEST_CHECKPOINT {
        return Err(Error::TooLarge { what: "a checkpoint", bytes, limit: LARGEST_CHECKPOINT });
    }
    must_be_a_content_type(&checkpoint.content_type)?;
    let stored = "INSERT INTO archive_checkpoints (uid, run_id, began, attempt, stored, content_type, content) \
        SELECT $1, $2, $3, $4, $5, $6, $7 WHERE NOT EXISTS \
        (SELECT 1 FROM archive_records WHERE uid = $1 AND run_id = $2 AND final = 1 AND began >= $3) \
        ON CONFLICT (uid, run_id, part) DO UPDATE SET began = excluded.began, attempt = excluded.attempt, \
        stored = excluded.stored, content_type = excluded.content_type, content = excluded.content WHERE \
        (excluded.began, excluded.attempt) >= (archive_checkpoints.began, archive_checkpoints.attempt) RETURNING attempt";
    Ok(Statement::new(stored)
        .with(column(key.uid))
        .with(column(key.run_id))
        .with(key.began.as_microsecond())
        .with(i64::from(key.attempt))
        .with(checkpoint.stored_at.as_microsecond())
        .with(checkpoint.content_type.as_str())
        .with(Value::Bytes(checkpoint.content.clone())))
}

fn checkpoint(row: &AnyRow) -> Result<Checkpoint, Error> {
    let attempt: i64 = row.try_get("attempt")?;
    Ok(Checkpoint {
        attempt: attempt.try_into().unwrap_or(i32::MAX),
        content_type: row.try_get("content_type")?,
        content: Arc::new(row.try_get("content")?),
        stored_at: Timestamp::from_microsecond(row.try_get("stored")?).unwrap_or_default(),
    })
}
