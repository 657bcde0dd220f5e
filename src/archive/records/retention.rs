//! Forgets what is too old or too much: in batches, so that nobody else waits for long.

use jiff::Timestamp;
use sqlx::Row;

use super::filter::Cursor;
use crate::archive::Archive;
use crate::archive::database::error::Error;
use crate::archive::database::statement::{Statement, Value};

/// So many records are deleted by one statement, …
const BATCH: i64 = 500;
/// … and so many results, which may be large; fewer where that takes too long.
const BATCH_OF_RESULTS: i64 = 16;

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Records that were finished before this time are deleted …
    pub older_than: Timestamp,
    /// … and of the others the oldest, when there are more than so many.
    pub keep_at_most: u64,
}

/// The oldest records up to a place in time, as many as a batch has.
const OLDEST: &str = "(SELECT uid, run_id FROM archive_records WHERE (at, uid, run_id) <= ($1, $2, $3) \
    ORDER BY at, uid, run_id LIMIT $4)";
/// Results of the oldest $4 records.
const THEIRS: &str = "(SELECT uid, run_id FROM archive_results WHERE (uid, run_id) IN (SELECT uid, run_id FROM \
    archive_records WHERE (at, uid, run_id) <= ($1, $2, $3) ORDER BY at, uid, run_id LIMIT $4) LIMIT $5)";
/// Results whose record is gone, or never came.
const ORPHANS: &str = "(SELECT uid, run_id FROM archive_results WHERE stored < $1 AND NOT EXISTS (SELECT 1 FROM \
    archive_records WHERE archive_records.uid = archive_results.uid AND archive_records.run_id = archive_results.run_id) \
    LIMIT $2)";

impl Archive {
    /// Deletes what is not to be kept, with its results, and says how many records that were. When it fails, what was
    /// deleted so far stays deleted, and the next call goes on.
    pub async fn prune(&self, retention: &Retention) -> Result<u64, Error> {
        // The empty texts sort before all others.
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
        let rows = self.read(Statement::new(newest).with(keep.try_into().unwrap_or(i64::MAX))).await?.rows;
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
            // Results first: a record that is left without one says so, a result without a record is found by nobody.
            let of_records = [&key[..], &[records.into()]].concat();
            while self.delete("archive_results", THEIRS, &of_records, &mut results).await? > 0 {}
            match self.delete("archive_records", OLDEST, &key, &mut records).await? {
                0 => return Ok(deleted),
                some => deleted += some,
            }
        }
    }

    async fn delete_orphans(&self, older_than: Timestamp) -> Result<(), Error> {
        let mut batch = BATCH_OF_RESULTS;
        while self.delete("archive_results", ORPHANS, &[older_than.as_microsecond().into()], &mut batch).await? > 0 {}
        Ok(())
    }

    /// Deletes a batch of what is meant. Where that takes too long, it may be for the size of it: then half of it is
    /// tried, down to one alone, so that no size stops this for ever.
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
