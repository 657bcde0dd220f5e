//! Results that are too large for a status: stored beside the record of their run, and deleted with it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::Row;
use sqlx::any::AnyRow;
use tokio::time::timeout;

use crate::archive::Archive;
use crate::archive::database::error::Error;
use crate::archive::database::statement::{Statement, Value, column};

pub const LARGEST_RESULT: usize = 16 << 20;
/// The longest time that one may take to be stored, whatever the deadline of other calls: the largest one then takes a
/// disk or a network of half a megabyte a second.
const STORED_WITHIN: Duration = Duration::from_secs(40);
/// The longest time that one waits for those before it. It waits here and not for a connection, so that the records that
/// came meanwhile are stored between two of them.
pub(super) const TURN_WITHIN: Duration = Duration::from_secs(15);
/// The longest time that one may take to be read.
pub(super) const READ_WITHIN: Duration = Duration::from_secs(20);
/// Larger than one page of either database.
pub(crate) const BYTES_OF_A_PROBE: usize = 16 << 10;
pub const LONGEST_TYPE: usize = 255;

/// The result of one attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct LargeResult {
    /// The start of its run: a runId may be used again, and attempts are then counted anew.
    pub began: Timestamp,
    pub attempt: i32,
    /// The media type, as in HTTP. Example: application/json.
    pub content_type: String,
    /// Any bytes, at most 16 MiB.
    pub content: Arc<Vec<u8>>,
    pub stored_at: Timestamp,
}

impl Archive {
    /// Stores the result of a run, before or after its record. It replaces the result of the same or an earlier
    /// attempt. Where a later attempt, or a later run under the same runId, has stored one, that one stays and this
    /// one is refused.
    pub async fn put_result(&self, uid: &str, run_id: &str, result: &LargeResult) -> Result<(), Error> {
        let statement = upsert(uid, run_id, result)?;
        let turn = timeout(TURN_WITHIN, self.0.storing.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(Error::Down("other results are still being stored".into())) };
        let stored = self.write_within(STORED_WITHIN.max(self.0.deadline), statement).await?.rows;
        if stored.is_empty() {
            return Err(Error::Outdated("a later attempt has stored its result"));
        }
        Ok(())
    }

    /// Uses a uid that no task has.
    pub(crate) async fn store_and_delete_a_result(&self) -> Result<(), Error> {
        let content = Arc::new(vec![0; BYTES_OF_A_PROBE]);
        let (began, stored_at) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        let probe = LargeResult { began, attempt: 0, content_type: String::new(), content, stored_at };
        // With the deadline of a record, and beside large ones.
        self.write(upsert("", "", &probe)?).await?;
        self.write(Statement::new("DELETE FROM archive_results WHERE uid = ''")).await.map(drop)
    }

    /// The result of a run that its last attempt with a result stored.
    pub async fn result(&self, uid: &str, run_id: &str) -> Result<Option<LargeResult>, Error> {
        let asked =
            "SELECT began, attempt, content_type, content, stored FROM archive_results WHERE uid = $1 AND run_id = $2";
        let asked = Statement::new(asked).with(column(uid)).with(column(run_id));
        self.read_within(READ_WITHIN.max(self.0.deadline), asked).await?.rows.first().map(result).transpose()
    }
}

fn upsert(uid: &str, run_id: &str, result: &LargeResult) -> Result<Statement, Error> {
    let bytes = result.content.len();
    if bytes > LARGEST_RESULT {
        return Err(Error::TooLarge { what: "a result", bytes, limit: LARGEST_RESULT });
    }
    must_be_a_content_type(&result.content_type)?;
    let stored = "INSERT INTO archive_results (uid, run_id, attempt, stored, content_type, content, began) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (uid, run_id) DO UPDATE SET attempt = excluded.attempt, \
        stored = excluded.stored, content_type = excluded.content_type, content = excluded.content, \
        began = excluded.began WHERE (excluded.began, excluded.attempt) >= (archive_results.began, archive_results.attempt) \
        RETURNING attempt";
    Ok(Statement::new(stored)
        .with(column(uid))
        .with(column(run_id))
        .with(i64::from(result.attempt))
        .with(result.stored_at.as_microsecond())
        .with(result.content_type.as_str())
        .with(Value::Bytes(result.content.clone()))
        .with(result.began.as_microsecond()))
}

pub(super) fn must_be_a_content_type(text: &str) -> Result<(), Error> {
    if text.len() > LONGEST_TYPE || text.contains(char::is_control) {
        return Err(Error::Refused(format!("{text:?} is no content type")));
    }
    Ok(())
}

fn result(row: &AnyRow) -> Result<LargeResult, Error> {
    let attempt: i64 = row.try_get("attempt")?;
    Ok(LargeResult {
        began: Timestamp::from_microsecond(row.try_get("began")?).unwrap_or_default(),
        attempt: attempt.try_into().unwrap_or(i32::MAX),
        content_type: row.try_get("content_type")?,
        content: Arc::new(row.try_get("content")?),
        stored_at: Timestamp::from_microsecond(row.try_get("stored")?).unwrap_or_default(),
    })
}
