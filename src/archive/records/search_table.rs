//! Adds the records of earlier versions to the table of the filters, in batches: it may be stopped at any moment and goes
//! on where it was, also by another replica, and other calls get in between. Triggers do the same for all that is written
//! meanwhile.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::Row;
use tokio::time::sleep;

use super::filter::Cursor;
use super::search::{cursor, key};
use crate::archive::Archive;
use crate::archive::database::error::Error;
use crate::archive::database::location::Backend;
use crate::archive::database::statement::Statement;

/// The most records of a batch. Where one takes too long, half of it is tried, and after that twice as many again.
const BATCH: i64 = 1000;
/// The pause between two batches, in which others write.
const PAUSE: Duration = Duration::from_millis(5);

const COLUMNS: &str =
    "state, at, uid, run_id, began, final, namespace, type, kb_id, priority, queue, reason, replayed_by";

impl Archive {
    /// Adds all that is missing. Returns the number of records that it looked at.
    pub async fn make_searchable(&self) -> Result<u64, Error> {
        let (mut batch, mut looked_at) = (BATCH, 0);
        while let Some(done) = self.progress().await? {
            match self.add_batch(&done, batch).await {
                Ok(Some(many)) => {
                    looked_at += many;
                    // Whatever made it slow has passed, or shows again.
                    batch = (2 * batch).min(BATCH);
                }
                Ok(None) => break,
                Err(Error::Down(_)) if batch > 1 => batch /= 2,
                Err(error) => return Err(error),
            }
            sleep(PAUSE).await;
        }
        Ok(looked_at)
    }

    /// Whether every record is there. Once it is, it stays so.
    pub(super) async fn is_searchable(&self) -> Result<bool, Error> {
        Ok(self.0.is_searchable.load(Ordering::Relaxed) || self.progress().await?.is_none())
    }

    /// The last record that was added; `None` when all are.
    async fn progress(&self) -> Result<Option<Cursor>, Error> {
        let asked = "SELECT at, uid, run_id FROM archive_progress WHERE name = 'archive_search' AND done = 0";
        let left = self.read(Statement::new(asked)).await?.rows.first().map(cursor).transpose()?;
        self.0.is_searchable.store(left.is_none(), Ordering::Relaxed);
        Ok(left)
    }

    /// The number of records in the next batch; `None` where there was none, and all are added. Each step may be done
    /// twice.
    async fn add_batch(&self, done: &Cursor, batch: i64) -> Result<Option<u64>, Error> {
        let last = "SELECT at, uid, run_id FROM archive_records WHERE (at, uid, run_id) > ($1, $2, $3) \
            ORDER BY at, uid, run_id LIMIT $4";
        let last = key(done).into_iter().fold(Statement::new(last), Statement::with).with(batch);
        let rows = self.read(last).await?.rows;
        let Some(last) = rows.last().map(cursor).transpose()? else {
            let all = "UPDATE archive_progress SET done = 1 WHERE name = 'archive_search'";
            self.write(Statement::new(all)).await?;
            return Ok(None);
        };
        // A record that is changed just now is added as it was, and removed by its trigger, or added as it becomes.
        let held = match self.0.location.backend {
            Backend::Sqlite { .. } => "",
            Backend::Postgres => " FOR SHARE",
        };
        let added = format!(
            "INSERT INTO archive_search ({COLUMNS}) SELECT {COLUMNS} FROM archive_records \
             WHERE (at, uid, run_id) > ($1, $2, $3) AND (at, uid, run_id) <= ($4, $5, $6){held} ON CONFLICT DO NOTHING"
        );
        self.write(key(done).into_iter().chain(key(&last)).fold(Statement::new(added), Statement::with)).await?;
        let noted = "UPDATE archive_progress SET at = $1, uid = $2, run_id = $3 \
            WHERE name = 'archive_search' AND (at, uid, run_id) < ($1, $2, $3)";
        self.write(key(&last).into_iter().fold(Statement::new(noted), Statement::with)).await?;
        Ok(Some(rows.len() as u64))
    }

    /// How many records are in the table of the filters, for tests.
    #[doc(hidden)]
    pub async fn searchable(&self) -> Result<u64, Error> {
        let rows = self.read(Statement::new("SELECT count(*) AS many FROM archive_search")).await?.rows;
        let many: i64 = rows.first().map_or(Ok(0), |row| row.try_get("many"))?;
        Ok(many.try_into().unwrap_or_default())
    }
}
