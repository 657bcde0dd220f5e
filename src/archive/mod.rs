//! What is still known of a run when the cluster has forgotten its task: one record for each run of one task,
//! and results too large for a status.
//!
//! An [`Archive`] is a file of SQLite or a database of PostgreSQL; which one shows nowhere but in its URL. Every
//! call has a deadline, may safely be made again, and fails with an [`Error`] that says what to do. Nothing here
//! reads a clock but for deadlines, calls the API server, or decides what becomes of a task.

mod connections;
mod error;
mod filter;
mod guard;
mod migrations;
mod place;
mod record;
mod records;
mod results;
mod retention;
mod statement;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::timeout;

pub use error::Error;
pub use filter::{Cursor, CursorError, Filter};
pub use guard::Guard;
pub use place::UrlError;
pub use record::{Details, LOG_BYTES, LOG_LINES, Record, Summary, tail};
pub use records::Page;
pub use results::{LARGEST_RESULT, LONGEST_TYPE, LargeResult};
pub use retention::Retention;

use connections::Connections;
use place::{Backend, Place};
use statement::{Answer, Statement};

/// How long bringing the tables up to date may take.
const MIGRATED_WITHIN: Duration = Duration::from_secs(60);
/// SQLite has one writer at a time; so many read beside it.
const SQLITE_READERS: usize = 4;

/// How an archive is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long any call may take.
    pub deadline: Duration,
    /// Connections to PostgreSQL at once.
    pub connections: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(2), connections: 8 }
    }
}

/// An archive. Clones are the same one.
#[derive(Clone)]
pub struct Archive(Arc<Inner>);

struct Inner {
    place: Place,
    deadline: Duration,
    writer: Connections,
    /// Absent where the writer's connections serve readers too.
    reader: Option<Connections>,
    prepared: OnceCell<()>,
}

impl fmt::Debug for Archive {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Archive({})", self.0.place)
    }
}

/// Where it is, without user and password.
impl fmt::Display for Archive {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.place.fmt(out)
    }
}

impl Archive {
    /// The archive at `url`. Nothing is connected to yet, so it may well be down: the first call that gets through
    /// brings its tables up to date, or [`Archive::prepare`] does.
    pub fn at(url: &str, options: &Options) -> Result<Self, UrlError> {
        sqlx::any::install_default_drivers();
        let place: Place = url.parse()?;
        // Less than the deadline, so that what was waited for in vain can still be told.
        let patience = options.deadline.mul_f64(0.75);
        let connections = |setup, most| Connections::new(place.options.clone(), setup, most, patience);
        let (writer, reader) = match &place.backend {
            Backend::Sqlite { .. } => {
                let waits = format!("PRAGMA busy_timeout = {}; ", patience.as_millis());
                let reader = connections(waits.clone() + "PRAGMA query_only = ON", SQLITE_READERS);
                (connections(waits + SQLITE_WRITER, 1), Some(reader))
            }
            Backend::Postgres => (connections(postgres_setup(options.deadline), options.connections.max(1)), None),
        };
        let prepared = OnceCell::new();
        Ok(Self(Arc::new(Inner { place, deadline: options.deadline, writer, reader, prepared })))
    }

    /// The archive at `url`, with its tables up to date.
    pub async fn open(url: &str, options: &Options) -> Result<Self, Error> {
        let archive = Self::at(url, options).map_err(|error| Error::Refused(error.to_string()))?;
        archive.prepare().await?;
        Ok(archive)
    }

    /// Brings the tables up to date, unless that was done. It may take longer than a call may, so a program calls
    /// this when it starts; where the archive is down then, the first call that gets through does it.
    pub async fn prepare(&self) -> Result<(), Error> {
        within(MIGRATED_WITHIN, self.0.prepared()).await
    }

    /// Whether it takes what it is given: stores a record and a result that nobody asked for, and deletes them. Less
    /// would not tell: what has no right to write, or no room, still answers.
    pub async fn probe(&self) -> Result<(), Error> {
        self.store_and_delete_a_record().await?;
        self.store_and_delete_a_result().await
    }

    async fn write(&self, statement: Statement) -> Result<Answer, Error> {
        self.run(&self.0.writer, statement).await
    }

    async fn read(&self, statement: Statement) -> Result<Answer, Error> {
        self.run(self.0.reader.as_ref().unwrap_or(&self.0.writer), statement).await
    }

    async fn run(&self, connections: &Connections, statement: Statement) -> Result<Answer, Error> {
        let work = async {
            self.0.prepared().await?;
            connections.run(&statement).await
        };
        within(self.0.deadline, work).await
    }
}

/// WAL lets readers go on while it writes; FULL means that what was acknowledged survives a power cut.
const SQLITE_WRITER: &str =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864";

/// The server ends what we have given up, or it would pile up there.
fn postgres_setup(deadline: Duration) -> String {
    let millis = deadline.as_millis();
    format!("SET application_name = 'task-manager'; SET statement_timeout = {millis}")
}

async fn within<T>(deadline: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(deadline, work).await.unwrap_or_else(|_| Err(Error::Down(format!("no answer within {deadline:?}"))))
}

impl Inner {
    async fn prepared(&self) -> Result<(), Error> {
        self.prepared.get_or_try_init(|| self.migrated()).await.copied()
    }

    async fn migrated(&self) -> Result<(), Error> {
        let migrated = async {
            let mut connection = self.writer.connect().await?;
            migrations::migrate(&mut connection, &self.place.backend).await
        };
        migrated.await.map_err(|error| self.explained(error))
    }

    /// SQLite does not say why it cannot open a file.
    fn explained(&self, error: Error) -> Error {
        let trouble = match &self.place.backend {
            Backend::Sqlite { file } => place::trouble_with(Path::new(file)),
            Backend::Postgres => None,
        };
        trouble.map_or(error, Error::Refused)
    }
}
