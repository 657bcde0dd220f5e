//! The archive: one record for each run of one task, and results that are too large for a status. It keeps them when
//! the cluster no longer has the task. Until a run is over, it keeps its last checkpoint.
//!
//! An [`Archive`] is a file of SQLite or a database of PostgreSQL; callers see no difference but the URL. Every call
//! has a deadline, may be repeated safely, and fails with an [`Error`] that says what to do. Nothing here reads a
//! clock but for deadlines, calls the API server, or decides what becomes of a task.

pub mod database;
mod guard;
pub mod identity;
mod records;
pub mod sole;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};
use tokio::time::timeout;

pub use database::error::Error;
pub use database::location::UrlError;
pub use guard::Guard;
pub use records::checkpoints::{Checkpoint, LARGEST_CHECKPOINT};
pub use records::chunks::{BatchKey, CHUNKS_READ_AT_ONCE, ChunkEnd};
pub use records::filter::{Cursor, CursorError, Filter};
pub use records::logs::AttemptKey;
pub use records::record::{LOG_BYTES, LOG_LINES, Record, RecordDetails, RecordSummary, tail};
pub use records::results::{LARGEST_RESULT, LONGEST_TYPE, LargeResult};
pub use records::retention::PruneLimits;
pub use records::search::{Count, Page};

use identity::Identity;

use database::connections::{Connections, End};
use database::location::{Backend, FileIdentity, Location};
use database::statement::{Answer, Statement};

/// The longest time that bringing the tables up to date may take.
const MIGRATED_WITHIN: Duration = Duration::from_secs(60);
/// Connections that only read. They are apart from those that write, so that many readers never delay a record.
const READ_CONNECTIONS: u32 = 4;

/// Options of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The deadline of a call.
    pub deadline: Duration,
    /// Connections to PostgreSQL that write at once; SQLite has one writer at a time.
    pub connections: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(2), connections: 8 }
    }
}

/// An archive. Clones share its connections.
#[derive(Clone)]
pub struct Archive(Arc<Inner>);

struct Inner {
    location: Location,
    deadline: Duration,
    read_write: Arc<Connections>,
    read_only: Arc<Connections>,
    /// The file that was opened, once its tables are up to date.
    opened: Arc<Mutex<Option<FileIdentity>>>,
    /// Whether an archive has been opened since this program began.
    was_opened: AtomicBool,
    /// Large results and checkpoints that are stored at once.
    storing: Semaphore,
    /// Every record is in the table of the filters.
    is_searchable: AtomicBool,
    identity: Identity,
}

impl fmt::Debug for Archive {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Archive({})", self.0.location)
    }
}

/// The URL without user and password.
impl fmt::Display for Archive {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.location.fmt(out)
    }
}

impl Archive {
    /// The archive at `url`. It does not connect yet, so the database may be down: the first call that reaches it
    /// brings its tables up to date, or [`Archive::prepare`] does.
    pub fn at(url: &str, options: &Options) -> Result<Self, UrlError> {
        sqlx::any::install_default_drivers();
        let location: Location = url.parse()?;
        // Less than the deadline, so that the reason can still be reported.
        let patience = options.deadline.mul_f64(0.75);
        let connections = |end, most| Connections::new(location.options.clone(), end, most, patience);
        let (read_write, read_only) = match &location.backend {
            Backend::Sqlite { .. } => {
                let waits = format!("PRAGMA busy_timeout = {}; ", patience.as_millis());
                let read_only = End::File { setup: waits.clone() + "PRAGMA query_only = ON" };
                (connections(End::File { setup: waits + SQLITE_WRITER }, 1), connections(read_only, READ_CONNECTIONS))
            }
            Backend::Postgres => (
                connections(End::Server { begin: POSTGRES_WRITER }, options.connections.max(1)),
                connections(End::Server { begin: POSTGRES_READER }, READ_CONNECTIONS),
            ),
        };
        Ok(Self(Arc::new(Inner {
            location,
            deadline: options.deadline,
            read_write,
            read_only,
            opened: Arc::default(),
            was_opened: AtomicBool::default(),
            storing: Semaphore::new(1),
            is_searchable: AtomicBool::default(),
            identity: Identity::default(),
        })))
    }

    /// Brings the tables up to date, unless that was done. It may take longer than a call, so a program calls this
    /// when it starts. Where the database is down then, the first call that reaches it does the same.
    pub async fn prepare(&self) -> Result<(), Error> {
        within(MIGRATED_WITHIN, self.0.prepared()).await.map(drop)
    }

    /// Which archive it is, and whether it is the one that all replicas mean.
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// Stores and deletes a record and a result of nobody. A smaller probe would prove less: a database without room,
    /// or without the right to write, still answers.
    pub async fn probe(&self) -> Result<(), Error> {
        self.must_still_be_itself().await?;
        self.store_and_delete_a_record().await?;
        self.store_and_delete_a_result().await
    }

    /// Fails where a server answers that has another archive, or none: behind the same URL there may be another one than
    /// before. The next call prepares it, and reads its id.
    async fn must_still_be_itself(&self) -> Result<(), Error> {
        if let Backend::Sqlite { .. } = &self.0.location.backend {
            return Ok(());
        }
        let found = database::id::found(&self.write(database::id::find()).await?.rows)?;
        let known = self.0.identity.own().borrow().clone();
        if found == known {
            return Ok(());
        }
        *self.0.opened.lock().await = None;
        let [known, found] = [known, found].map(|id| id.unwrap_or_else(|| "without id".into()));
        Err(Error::Down(format!("another database answers at {self}: its archive is {found}, and was {known}")))
    }

    async fn write(&self, statement: Statement) -> Result<Answer, Error> {
        self.write_within(self.0.deadline, statement).await
    }

    async fn read(&self, statement: Statement) -> Result<Answer, Error> {
        self.read_within(self.0.deadline, statement).await
    }

    async fn write_within(&self, deadline: Duration, statement: Statement) -> Result<Answer, Error> {
        self.run(&self.0.read_write, statement, deadline).await
    }

    async fn read_within(&self, deadline: Duration, statement: Statement) -> Result<Answer, Error> {
        self.run(&self.0.read_only, statement, deadline).await
    }

    async fn run(
        &self,
        connections: &Arc<Connections>,
        statement: Statement,
        deadline: Duration,
    ) -> Result<Answer, Error> {
        let work = async {
            let opened = self.0.prepared().await?;
            let answer = connections.run(&statement, deadline).await;
            // A write to a file that was no longer in its place is lost, so it must fail.
            self.0.location.must_still_be(opened).await?;
            if answer.as_ref().is_err_and(Error::is_of_missing_table) {
                *self.0.opened.lock().await = None;
            }
            answer
        };
        within(deadline, work).await
    }
}

/// WAL lets readers work during a write; FULL means that an acknowledged write survives a power cut.
const SQLITE_WRITER: &str =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864";

/// Every statement goes along an index, in the order of its answer. A server that has no statistics yet, or old ones,
/// would rather read and sort whole tables; and of a range of several columns it always expects a large share of them.
macro_rules! along_indexes {
    ($begin:literal) => {
        concat!(
            $begin,
            "; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; \
             SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off"
        )
    };
}
const POSTGRES_READER: &str = along_indexes!("BEGIN READ ONLY");
const POSTGRES_WRITER: &str = along_indexes!("BEGIN");

/// Moves the write-ahead log into the database file. Otherwise the log would stay behind when the file is moved, and
/// be taken for a part of the next file.
const SQLITE_LAST: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

async fn within<T>(deadline: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(deadline, work).await.unwrap_or_else(|_| Err(Error::Down(format!("no answer within {deadline:?}"))))
}

impl Inner {
    /// The file in place, with its tables up to date. Fails where it is not the one that was opened; whoever replaces
    /// it may not be ready, so only the next call uses the new one.
    async fn prepared(self: &Arc<Self>) -> Result<FileIdentity, Error> {
        let mut opened = self.opened.clone().lock_owned().await;
        let Some(present) = *opened else { return self.open(opened).await };
        if self.location.identity().await? != present {
            *opened = None;
        }
        self.location.must_still_be(present).await.map(|()| present)
    }

    /// Goes on when the caller gives up: what waits for a file system is not begun a second time beside it.
    async fn open(self: &Arc<Self>, mut opened: OwnedMutexGuard<Option<FileIdentity>>) -> Result<FileIdentity, Error> {
        let this = self.clone();
        let opening = tokio::spawn(async move {
            let present = match this.location.backend {
                Backend::Sqlite { .. } => this.opened_anew().await,
                Backend::Postgres => within(MIGRATED_WITHIN, this.opened_anew()).await,
            };
            this.was_opened.fetch_or(present.is_ok(), Ordering::Relaxed);
            *opened = present.as_ref().ok().copied();
            present
        });
        opening.await.unwrap_or_else(|ended| Err(Error::Down(ended.to_string())))
    }

    async fn opened_anew(&self) -> Result<FileIdentity, Error> {
        self.close().await;
        self.is_searchable.store(false, Ordering::Relaxed);
        // A new file would know nothing of earlier runs: idempotency keys and `once` would be forgotten.
        if self.was_opened.load(Ordering::Relaxed) {
            self.location.must_exist().await?;
        }
        match self.migrated().await {
            Ok(present) => Ok(present),
            Err(error) => Err(self.location.why_unwritable().await.map_or(error, Error::Refused)),
        }
    }

    async fn migrated(&self) -> Result<FileIdentity, Error> {
        let before = self.location.identity().await?;
        let mut connection = self.read_write.connect().await?;
        database::migrations::migrate(&mut connection, &self.location.backend).await?;
        self.identity.read(database::id::of(&mut connection).await?);
        if let Backend::Postgres = self.location.backend
            && let Some(doubt) = database::durability::doubt(&mut connection).await?
        {
            tracing::warn!(archive = %self.location, doubt, "tasks are deleted once their record is acknowledged, and this database may lose it");
        }
        // Migrating creates a missing file.
        if before.is_absent() { self.location.identity().await } else { Ok(before) }
    }

    /// Closes all connections. Two files must never be open at once: the files beside them have the same names.
    async fn close(&self) {
        if let Backend::Sqlite { .. } = &self.location.backend {
            self.read_only.close(SQLITE_LAST).await;
            self.read_write.close(SQLITE_LAST).await;
        }
    }
}
