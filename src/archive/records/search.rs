//! Lists and counts records by any filter. What a filter leaves out is read nonetheless, so both read part by part, as
//! many records as their time allows, and say where they stopped.

use std::time::Duration;

use sqlx::Row;
use sqlx::any::AnyRow;
use tokio::time::Instant;

use super::filter::{Cursor, Filter};
use super::record::RecordSummary;
use super::summary;
use crate::archive::Archive;
use crate::archive::database::error::Error;
use crate::archive::database::statement::{Statement, Value};

/// The most records of a page.
const MOST_LISTED: u32 = 1000;
/// The records that one statement looks at, most of which the filter may leave out.
const PART: i64 = 50_000;
/// The same while not every record is in the table of the filters: then each is read from the place of the whole one.
const PART_OF_WHOLE: i64 = 5_000;
/// No further part is begun after this share of the deadline.
const SHARE: f64 = 0.4;

/// A page of the list, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    pub items: Vec<RecordSummary>,
    /// The position of the next page; `None` on the last one. A page that is not full has one where there was no time to
    /// look further.
    pub next: Option<Cursor>,
}

/// The number of selected records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub many: u64,
    /// There was no time to look at all: it is the number among the newest.
    pub is_cut: bool,
}

/// A part of the records by their order: those before one record, as far as another.
struct Part {
    table: &'static str,
    after: Option<Cursor>,
    /// `None`: as far as there are any.
    end: Option<Cursor>,
}

impl Archive {
    /// The selected records, newest first, after the cursor: 1 to 1,000 of them. Following the cursors returns each
    /// record once, also while others are stored.
    pub async fn list(&self, filter: &Filter, after: Option<&Cursor>, limit: u32) -> Result<Page, Error> {
        let limit = limit.clamp(1, MOST_LISTED) as usize;
        let until = self.until();
        let (mut items, mut after) = (vec![], after.cloned());
        loop {
            let part = self.part(filter, after).await?;
            // One more than the limit tells whether there is another page.
            let mut rows = self.listed(filter, &part, limit + 1 - items.len()).await?;
            let is_full = items.len() + rows.len() > limit;
            rows.truncate(limit - items.len());
            let last = rows.last().map(cursor).transpose()?;
            items.extend(rows.iter().map(summary).collect::<Result<Vec<_>, _>>()?);
            // The one too many may have come first in a later part than the last of the page.
            let next = if is_full { last.or(part.after) } else { part.end };
            if is_full || next.is_none() || Instant::now() >= until {
                return Ok(Page { items, next });
            }
            after = next;
        }
    }

    /// The number of selected records.
    pub async fn count(&self, filter: &Filter) -> Result<Count, Error> {
        let until = self.until();
        let (mut many, mut after) = (0, None);
        loop {
            let part = self.part(filter, after).await?;
            let start = Statement::new(format!("SELECT count(*) AS many FROM {} WHERE", part.table));
            let rows = self.read(part.bound(filter.select(start, part.table))).await?.rows;
            let counted: i64 = rows.first().map_or(Ok(0), |row| row.try_get("many"))?;
            many += u64::try_from(counted).unwrap_or_default();
            match part.end {
                None => return Ok(Count { many, is_cut: false }),
                Some(_) if Instant::now() >= until => return Ok(Count { many, is_cut: true }),
                end => after = end,
            }
        }
    }

    fn until(&self) -> Instant {
        Instant::now() + Duration::min(self.0.deadline.mul_f64(SHARE), Duration::from_secs(5))
    }

    /// The next part after this record.
    async fn part(&self, filter: &Filter, after: Option<Cursor>) -> Result<Part, Error> {
        let (table, most) = match self.is_searchable().await? {
            true => ("archive_search", PART),
            false => ("archive_records", PART_OF_WHOLE),
        };
        let part = Part { table, after, end: None };
        let keys = Statement::new(format!("SELECT at, uid, run_id FROM {table} WHERE"));
        let last = newest_first(part.bound(filter.range(keys))).and(" LIMIT 1 OFFSET ").list([most - 1]);
        let end = self.read(last).await?.rows.first().map(cursor).transpose()?;
        Ok(Part { end, ..part })
    }

    async fn listed(&self, filter: &Filter, part: &Part, most: usize) -> Result<Vec<AnyRow>, Error> {
        let start = "SELECT at, uid, run_id, summary, replayed_by FROM archive_records WHERE (uid, run_id) IN \
            (SELECT uid, run_id FROM ";
        let start = Statement::new(format!("{start}{} WHERE", part.table));
        let keys = newest_first(part.bound(filter.select(start, part.table))).and(" LIMIT ");
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = self.read(keys.list([most]).and(")")).await?.rows;
        let mut rows = rows.into_iter().map(|row| Ok((cursor(&row)?, row))).collect::<Result<Vec<_>, Error>>()?;
        // Here and not by the database, which might read all records in their order instead.
        rows.sort_by(|(one, _), (other, _)| other.order().cmp(&one.order()));
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }
}

impl Part {
    /// Appends the conditions of the part.
    fn bound(&self, mut statement: Statement) -> Statement {
        for (sql, bound) in [(" AND (at, uid, run_id) < ", &self.after), (" AND (at, uid, run_id) >= ", &self.end)] {
            if let Some(bound) = bound {
                statement = statement.and(sql).list(key(bound));
            }
        }
        statement
    }
}

fn newest_first(statement: Statement) -> Statement {
    statement.and(" ORDER BY at DESC, uid DESC, run_id DESC")
}

pub(super) fn cursor(row: &AnyRow) -> Result<Cursor, Error> {
    Ok(Cursor { at: row.try_get("at")?, uid: row.try_get("uid")?, run_id: row.try_get("run_id")? })
}

/// The columns of a position, as values.
pub(super) fn key(cursor: &Cursor) -> [Value; 3] {
    [cursor.at.into(), cursor.uid.as_str().into(), cursor.run_id.as_str().into()]
}
