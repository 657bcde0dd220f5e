//! The last lines that attempts of a run logged which failed and were followed by others. That of the last attempt is in
//! the record of its run. They are deleted with it.

use std::sync::Arc;

use jiff::Timestamp;
use sqlx::Row;

use super::record::tail;
use crate::archive::Archive;
use crate::archive::database::error::Error;
use crate::archive::database::statement::{Statement, Value, column};

/// Of so many attempts of a run a log is kept: the last ones.
const ATTEMPTS: i64 = 10;

/// An attempt of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptKey<'a> {
    pub uid: &'a str,
    pub run_id: &'a str,
    /// The start of the run: a runId may be used again.
    pub began: Timestamp,
    pub attempt: i32,
}

impl AttemptKey<'_> {
    fn values(&self) -> [Value; 4] {
        let began = self.began.as_microsecond();
        [column(self.uid).into(), column(self.run_id).into(), began.into(), i64::from(self.attempt).into()]
    }
}

impl Archive {
    /// Keeps the end of the log of this attempt, and forgets that of the one ten attempts before.
    pub async fn put_log(&self, key: &AttemptKey<'_>, log: &str, now: Timestamp) -> Result<(), Error> {
        let stored = "INSERT INTO archive_logs (uid, run_id, began, attempt, stored, log) VALUES ($1, $2, $3, $4, $5, $6) \
            ON CONFLICT (uid, run_id, began, attempt) DO UPDATE SET stored = excluded.stored, log = excluded.log";
        let log = Value::Bytes(Arc::new(tail(log).as_bytes().to_vec()));
        let stored = key.values().into_iter().fold(Statement::new(stored), Statement::with);
        self.write(stored.with(now.as_microsecond()).with(log)).await?;
        let earlier = "DELETE FROM archive_logs WHERE uid = $1 AND run_id = $2 AND began = $3 AND attempt <= $4 - $5";
        let earlier = key.values().into_iter().fold(Statement::new(earlier), Statement::with).with(ATTEMPTS);
        self.write(earlier).await.map(drop)
    }

    /// The end of the log of this attempt, if it is kept.
    pub async fn log(&self, key: &AttemptKey<'_>) -> Result<Option<String>, Error> {
        let asked = "SELECT log FROM archive_logs WHERE uid = $1 AND run_id = $2 AND began = $3 AND attempt = $4";
        let rows = self.read(key.values().into_iter().fold(Statement::new(asked), Statement::with)).await?.rows;
        let log: Option<Vec<u8>> = rows.first().map(|row| row.try_get("log")).transpose()?;
        Ok(log.map(|log| String::from_utf8_lossy(&log).into_owned()))
    }
}
