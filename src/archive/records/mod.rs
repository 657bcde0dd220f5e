//! Stores and finds records. Never decides whether a run is recorded.

pub mod checkpoints;
pub mod chunks;
pub mod filter;
pub mod logs;
pub mod record;
pub mod results;
pub mod retention;
pub mod search;
pub mod search_table;

use std::sync::LazyLock;

use jiff::Timestamp;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::database::error::Error;
use super::database::location::Backend;
use super::database::statement::{Statement, column};
use super::{Archive, RecordDetails};
use crate::api::{Reason, Task, TaskSpec, TaskStatus};
use record::{Record, RecordSummary};
use results::BYTES_OF_A_PROBE;

/// The most bytes of a record. The API server bounds the spec, and the rest is small.
const LARGEST_RECORD: usize = 4 << 20;

impl Archive {
    /// Stores a record. Storing the same again changes nothing. Of several records of one run, one remains whatever
    /// the order of calls: final before not final, then a later run under the same runId before an earlier one, then
    /// an end before a mere deletion, then the newest. Only [`Archive::link_replay`] sets by which task it was
    /// replayed.
    pub async fn put(&self, record: &Record) -> Result<(), Error> {
        self.write(upsert(record)?).await.map(drop)
    }

    /// Uses a uid that no task has and no list shows.
    pub(crate) async fn store_and_delete_a_record(&self) -> Result<(), Error> {
        let log = "0".repeat(BYTES_OF_A_PROBE);
        let nobody = Task::new("", TaskSpec::default());
        let probe = Record::of(&nobody, &TaskStatus::default(), Some(&log), Timestamp::UNIX_EPOCH);
        self.write(upsert(&probe)?).await?;
        self.write(Statement::new("DELETE FROM archive_records WHERE uid = ''")).await.map(drop)
    }

    /// The newest run of a task.
    pub async fn find(&self, uid: &str) -> Result<Option<Record>, Error> {
        self.one(whole(" uid = $1").with(column(uid))).await
    }

    /// One run of a task.
    pub async fn find_run(&self, uid: &str, run_id: &str) -> Result<Option<Record>, Error> {
        self.one(whole(" uid = $1 AND run_id = $2").with(column(uid)).with(column(run_id))).await
    }

    /// The newest run with this name and runId, of any task, since tasks may be created again under the same name.
    /// Tasks that ended with KeyReused are left out: the idempotency key does not stand for them.
    pub async fn by_name(&self, namespace: &str, name: &str, run_id: &str) -> Result<Option<Record>, Error> {
        let named = whole(" name = $1 AND namespace = $2 AND run_id = $3 AND reason <> $4")
            .with(column(name))
            .with(column(namespace))
            .with(column(run_id));
        self.one(named.with(Reason::KeyReused.to_string())).await
    }

    /// The end of the newest task of this name in this run, among those that were launched or ended as one that was.
    /// A run that ended by itself goes before one that was deleted.
    pub async fn outcome(&self, namespace: &str, name: &str, run_id: &str) -> Result<Option<Record>, Error> {
        let launches = match self.0.location.backend {
            Backend::Sqlite { .. } => "json_extract(summary, '$.attempt')",
            // PostgreSQL cannot read a JSON text that contains a NUL, so it is replaced.
            Backend::Postgres => r"(replace(summary, '\u0000', '\u0001')::json->>'attempt')::bigint",
        };
        let ended = format!(
            "SELECT summary, details, replayed_by FROM archive_records WHERE name = $1 AND namespace = $2 \
             AND run_id = $3 AND final = 1 AND (reason = $4 OR {launches} > 0) \
             ORDER BY genuine DESC, began DESC, uid DESC LIMIT 1"
        );
        let asked = Statement::new(ended).with(column(name)).with(column(namespace)).with(column(run_id));
        self.one(asked.with(Reason::RanBefore.to_string())).await
    }

    /// Notes at the newest run of `uid` that the task `by` repeats it, unless another was noted before. Returns the
    /// noted task; `None` where there is no such record.
    pub async fn link_replay(&self, uid: &str, by: &str) -> Result<Option<String>, Error> {
        let linked = "UPDATE archive_records SET replayed_by = COALESCE(replayed_by, $2) WHERE uid = $1 AND run_id = \
            (SELECT run_id FROM archive_records WHERE uid = $1 ORDER BY began DESC, run_id DESC LIMIT 1) RETURNING replayed_by";
        let rows = self.write(Statement::new(linked).with(column(uid)).with(column(by))).await?.rows;
        Ok(rows.first().map(|row| row.try_get("replayed_by")).transpose()?)
    }

    async fn one(&self, statement: Statement) -> Result<Option<Record>, Error> {
        self.read(statement).await?.rows.first().map(record).transpose()
    }
}

/// The columns that `put` writes, in this order.
const COLUMNS: [&str; 17] = [
    "uid",
    "run_id",
    "namespace",
    "name",
    "type",
    "kb_id",
    "priority",
    "queue",
    "state",
    "reason",
    "at",
    "final",
    "began",
    "genuine",
    "archived",
    "summary",
    "details",
];
/// Decides between two records of one run: the greater by these columns remains. The texts are included so that no
/// two are equal.
const PRECEDENCE: [&str; 6] = ["final", "began", "genuine", "archived", "summary", "details"];

static UPSERT: LazyLock<String> = LazyLock::new(|| {
    let joined =
        |names: &[&str], of: &dyn Fn(&str) -> String| names.iter().map(|name| of(name)).collect::<Vec<_>>().join(", ");
    let columns = joined(&COLUMNS, &str::to_owned);
    let numbers = (1..=COLUMNS.len()).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ");
    let set = joined(&COLUMNS, &|name| format!("{name} = excluded.{name}"));
    let new = joined(&PRECEDENCE, &|name| format!("excluded.{name}"));
    let old = joined(&PRECEDENCE, &|name| format!("archive_records.{name}"));
    format!(
        "INSERT INTO archive_records ({columns}) VALUES ({numbers}) \
         ON CONFLICT (uid, run_id) DO UPDATE SET {set} WHERE ({new}) > ({old})"
    )
});

fn upsert(record: &Record) -> Result<Statement, Error> {
    let Record { summary, details } = record;
    let unwritable = |error: serde_json::Error| Error::Refused(error.to_string());
    let told = serde_json::to_string(summary).map_err(unwritable)?;
    let rest = serde_json::to_string(details).map_err(unwritable)?;
    let bytes = told.len() + rest.len();
    if bytes > LARGEST_RECORD {
        return Err(Error::TooLarge { what: "a record", bytes, limit: LARGEST_RECORD });
    }
    Ok(Statement::new(UPSERT.as_str())
        .with(column(&summary.uid))
        .with(column(&summary.run_id))
        .with(column(&summary.namespace))
        .with(column(&summary.name))
        .with(column(&summary.type_))
        .with(summary.kb_id.as_deref().map(column))
        .with(summary.priority.to_string())
        .with(column(&summary.queue))
        .with(state_column(summary))
        .with(summary.reason.to_string())
        .with(record.at().as_microsecond())
        .with(i64::from(summary.state.is_final()))
        .with(record.began().as_microsecond())
        .with(i64::from(summary.reason != Reason::Deleted))
        .with(summary.archived_at.as_microsecond())
        .with(told)
        .with(rest))
}

/// The state by which records are filtered. A chunk is none of the tasks that people ask for by their state: its batch tells of
/// its items, and has them done again.
fn state_column(summary: &RecordSummary) -> String {
    match summary.chunk_of {
        Some(_) => format!("Chunk{}", summary.state),
        None => summary.state.to_string(),
    }
}

fn whole(condition: &str) -> Statement {
    Statement::new("SELECT summary, details, replayed_by FROM archive_records WHERE")
        .and(condition)
        .and(" ORDER BY began DESC, run_id DESC LIMIT 1")
}

fn record(row: &AnyRow) -> Result<Record, Error> {
    let summary = summary(row)?;
    let details: RecordDetails = json(row, "details")?;
    Ok(Record { summary, details })
}

fn summary(row: &AnyRow) -> Result<RecordSummary, Error> {
    Ok(RecordSummary { replayed_by: row.try_get("replayed_by")?, ..json(row, "summary")? })
}

fn json<T: serde::de::DeserializeOwned>(row: &AnyRow, name: &str) -> Result<T, Error> {
    let text: &str = row.try_get(name)?;
    serde_json::from_str(text).map_err(|error| Error::Corrupt(format!("the {name} of a record: {error}")))
}
