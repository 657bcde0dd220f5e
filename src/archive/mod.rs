//! What is still known of a run when the cluster has forgotten its task: one record for each run of one task,
//! and results too large for a status.
//!
//! An [`Archive`] is a file of SQLite or a database of PostgreSQL; which one shows nowhere but in its URL. Every
//! call has a deadline, may safely be made again, and fails with an [`Error`] that says what to do. Nothing here
//! reads a clock but for deadlines, calls the API server, or decides what becomes of a task.

pub mod database;
mod guard;
mod records;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;

pub use database::error::Error;
pub use database::place::UrlError;
pub use guard::Guard;
pub use records::Page;
pub use records::filter::{Cursor, CursorError, Filter};
pub use records::record::{Details, LOG_BYTES, LOG_LINES, Record, Summary, tail};
pub use records::results::{LARGEST_RESULT, LONGEST_TYPE, LargeResult};
pub use records::retention::Retention;

use database::connections::Connections;
use database::place::{Backend, Place, Present};
use database::statement::{Answer, Statement};

/// How long bringing the tables up to date may take.
const MIGRATED_WITHIN: Duration = Duration::from_secs(60);
/// So many read beside those that write, so that nobody who reads much keeps a record waiting.
const READERS: u32 = 4;

/// How an archive is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long any call may take.
    pub deadline: Duration,
    /// Connections to PostgreSQL that write at once; SQLite has one writer at a time.
    pub connections: u32,
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
    reader: Connections,
    /// What was opened, once its tables are up to date.
    opened: Mutex<Option<Present>>,
    /// Something was opened since this program began.
    was_opened: AtomicBool,
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
                let reader = connections(waits.clone() + "PRAGMA query_only = ON", READERS);
                (connections(waits + SQLITE_WRITER, 1), reader)
            }
            Backend::Postgres => {
                let setup = postgres_setup(options.deadline);
                let reader = connections(setup.clone() + "; SET default_transaction_read_only = on", READERS);
                (connections(setup, options.connections.max(1)), reader)
            }
        };
        Ok(Self(Arc::new(Inner {
            place,
            deadline: options.deadline,
            writer,
            reader,
            opened: Mutex::default(),
            was_opened: AtomicBool::default(),
        })))
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
        within(MIGRATED_WITHIN, self.0.prepared()).await.map(drop)
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
        self.run(&self.0.reader, statement).await
    }

    async fn run(&self, connections: &Connections, statement: Statement) -> Result<Answer, Error> {
        let work = async {
            let opened = self.0.prepared().await?;
            let answer = connections.run(&statement).await;
            // What was written to a file that was no more at its place then is not kept.
            self.0.place.must_have(opened).await?;
            answer
        };
        within(self.0.deadline, work).await
    }
}

/// WAL lets readers go on while it writes; FULL means that what was acknowledged survives a power cut.
const SQLITE_WRITER: &str =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864";

/// What was written last may be in a file beside the database alone, which does not go where that is moved to, and must
/// not be taken for a part of the next one.
const SQLITE_LAST: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// The server ends what we have given up, or it would pile up there.
fn postgres_setup(deadline: Duration) -> String {
    let millis = deadline.as_millis();
    format!("SET application_name = 'task-manager'; SET statement_timeout = {millis}")
}

async fn within<T>(deadline: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(deadline, work).await.unwrap_or_else(|_| Err(Error::Down(format!("no answer within {deadline:?}"))))
}

impl Inner {
    /// What is at its place, with its tables up to date. Fails where that is not what it was: whoever did this may not
    /// be ready, so the next call begins with what is there then.
    async fn prepared(&self) -> Result<Present, Error> {
        let mut opened = self.opened.lock().await;
        let present = match *opened {
            Some(present) => self.place.must_have(present).await.map(|()| present),
            None => {
                self.close().await;
                // A new file would know nothing of what has run: keys and `once` would be forgotten with it.
                if self.was_opened.load(Ordering::Relaxed) {
                    self.place.must_be_there().await?;
                }
                self.migrated().await.map_err(|error| self.explained(error))
            }
        };
        self.was_opened.fetch_or(present.is_ok(), Ordering::Relaxed);
        *opened = present.as_ref().ok().copied();
        present
    }

    async fn migrated(&self) -> Result<Present, Error> {
        let before = self.place.present().await;
        let mut connection = self.writer.connect().await?;
        database::migrations::migrate(&mut connection, &self.place.backend).await?;
        // A file that is not there is made.
        Ok(if before.is_nothing() { self.place.present().await } else { before })
    }

    /// No two files may be open at once: those beside them have the same names.
    async fn close(&self) {
        if let Backend::Sqlite { .. } = &self.place.backend {
            self.reader.close(SQLITE_LAST).await;
            self.writer.close(SQLITE_LAST).await;
        }
    }

    /// SQLite does not say why it cannot open a file.
    fn explained(&self, error: Error) -> Error {
        let trouble = match &self.place.backend {
            Backend::Sqlite { file } => database::place::trouble_with(Path::new(file)),
            Backend::Postgres => None,
        };
        trouble.map_or(error, Error::Refused)
    }
}
