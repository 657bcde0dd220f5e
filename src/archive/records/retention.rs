//! Deletes records that are too old or too many: in batches, so that no other call waits long.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::Row;

use super::filter::Cursor;
use crate::archive::Archive;
use crate::archive::database::error::Error;
use crate::archive::database::statement::{Statement, Value};

/// The most records that one statement deletes.
const BATCH: i64 = 500;
/// The longest time that it may take to count as many records as are kept: nobody waits for that.
const COUNTED_WITHIN: Duration = Duration::from_secs(60);
/// The most results and checkpoints that one statement deletes. They may be large; where a batch takes too long, a smaller one is
/// tried.
const BATCH_OF_RESULTS: i64 = 16;

/// The records that pruning deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PruneLimits {
    /// Records that ended before this time are deleted.
    pub older_than: Timestamp,
    /// The most records that stay; the oldest beyond that number are deleted.
    pub keep_at_most: u64,
}

/// The oldest records up to a cursor, at most one batch.
const OLDEST: &str = "(SELECT uid, run_id FROM archive_records WHERE (at, uid, run_id) <= ($1, $2, $3) \
    ORDER BY at, uid, run_id LIMIT $4)";
/// The tables that have something beside the record of a run: results, logs, checkpoints, and ends of chunks.
const BESIDE: [&str; 4] = ["archive_results", "archive_logs", CHECKPOINTS, CHUNKS];
const CHECKPOINTS: &str = "archive_checkpoints";
const CHUNKS: &str = "archive_chunks";

/// Checkpoints of runs that are over. The final record deletes them, but for one that is stored in the same moment.
const OF_ENDED_RUNS: &str = "(SELECT uid, run_id FROM archive_checkpoints WHERE EXISTS (SELECT 1 FROM archive_records \
    WHERE archive_records.uid = archive_checkpoints.uid AND archive_records.run_id = archive_checkpoints.run_id \
    AND archive_records.final = 1 AND archive_records.began >= archive_checkpoints.began) LIMIT $1)";

/// Rows that such a table has of the oldest $4 records up to a cursor.
fn theirs(table: &str) -> String {
    format!(
        "(SELECT uid, run_id FROM {table} WHERE (uid, run_id) IN (SELECT uid, run_id FROM archive_records \
         WHERE (at, uid, run_id) <= ($1, $2, $3) ORDER BY at, uid, run_id LIMIT $4) LIMIT $5)"
    )
}

/// Rows of such a table whose record is gone or was never stored. A batch that runs has no record yet: its chunks' ends stay
/// while new ones come.
fn orphans(table: &str) -> String {
    let and_goes_on = match table {
        CHUNKS => format!(
            " AND NOT EXISTS (SELECT 1 FROM {table} AS later WHERE later.uid = {table}.uid \
             AND later.run_id = {table}.run_id AND later.stored >= $1)"
        ),
        _ => String::new(),
    };
    format!(
        "(SELECT uid, run_id FROM {table} WHERE stored < $1 AND NOT EXISTS (SELECT 1 FROM archive_records \
         WHERE archive_records.uid = {table}.uid AND archive_records.run_id = {table}.run_id){and_goes_on} LIMIT $2)"
    )
}

impl Archive {
    /// Deletes records beyond the limits with their results, and returns the number of records. After a failure the
    /// next call goes on.
    pub async fn prune(&self, retention: &PruneLimits) -> Result<u64, Error> {
        // Empty texts sort before all others.
        let too_old = Cursor { at: retention.older_than.as_microsecond(), uid: "".into(), run_id: "".into() };
        let mut deleted = self.delete_up_to(&too_old).await?;
        if let Some(newest) = self.newest_too_many(retention.keep_at_most).await? {
            deleted += self.delete_up_to(&newest).await?;
        }
        self.delete_orphans(retention.older_than).await?;
        Ok(deleted)
    }

    async fn newest_too_many(&self, keep: u64) -> Result<Option<Cursor>, Error> {
        let newest =
            "SELECT at, uid, run_id FROM archive_records ORDER BY at DESC, uid DESC, run_id DESC LIMIT 1 OFFSET $1";
        let newest = Statement::new(newest).with(keep.try_into().unwrap_or(i64::MAX));
        let rows = self.read_within(COUNTED_WITHIN.max(self.0.deadline), newest).await?.rows;
        let key = |row: &sqlx::any::AnyRow| {
            Ok(Cursor { at: row.try_get("at")?, uid: row.try_get("uid")?, run_id: row.try_get("run_id")? })
        };
        rows.first().map(key).transpose()
    }

    async fn delete_up_to(&self, last: &Cursor) -> Result<u64, Error> {
        let key: [Value; 3] = [last.at.into(), last.uid.as_str().into(), last.run_id.as_str().into()];
        let (mut records, mut results) = (BATCH, BATCH_OF_RESULTS);
        let mut deleted = 0;
        loop {
            // Results first: a record without its result says so, and a result without a record is found by nobody.
            let of_records = [&key[..], &[records.into()]].concat();
            for table in BESIDE {
                while self.delete(table, &theirs(table), &of_records, &mut results).await? > 0 {}
            }
            match self.delete("archive_records", OLDEST, &key, &mut records).await? {
                0 => return Ok(deleted),
                some => deleted += some,
            }
        }
    }

    async fn delete_orphans(&self, older_than: Timestamp) -> Result<(), Error> {
        let mut batch = BATCH_OF_RESULTS;
        for table in BESIDE {
            while self.delete(table, &orphans(table), &[older_than.as_microsecond().into()], &mut batch).await? > 0 {}
        }
        while self.delete(CHECKPOINTS, OF_ENDED_RUNS, &[], &mut batch).await? > 0 {}
        Ok(())
    }

    /// Deletes a batch. Where that takes too long, the batch may be too large: half of it is tried, down to a single
    /// row, so that no size blocks pruning for ever.
    async fn delete(&self, table: &str, which: &str, values: &[Value], batch: &mut i64) -> Result<u64, Error> {
        loop {
            let statement = Statement::new(format!("DELETE FROM {table} WHERE (uid, run_id) IN {which}"));
            let statement = values.iter().cloned().fold(statement, Statement::with).with(*batch);
            match self.write(statement).await {
                Err(Error::Down(_)) if *batch > 1 => *batch /= 2,
                answer => return Ok(answer?.changed),
            }
        }
    }
}
