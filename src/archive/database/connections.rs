//! A few connections to one database, kept open between calls.
//!
//! It replaces sqlx's pool because of four rules that the pool does not keep: a connection to a server whose call was
//! abandoned is closed and never used again; a call to a file that was abandoned keeps its place until the file system
//! has answered, so that no number of calls costs more threads than there are connections; no call waits for a server
//! that has just not answered; and an error contains the server's own message. Knows nothing of records.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions, Connection, Error as Cause, Executor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::error::Error;
use super::statement::{Answer, Statement};

/// An idle connection that is older than this is closed: a firewall may have dropped it.
const IDLE: Duration = Duration::from_secs(60);
/// The pause after a failed connection; calls in that time fail at once with the same error.
const LEFT_ALONE: Duration = Duration::from_secs(1);

/// The other end of the connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A file of SQLite. This SQL is run on each new connection.
    File { setup: String },
    /// A server of PostgreSQL. All that a call needs is said in its own transaction, for a pooler may have the next
    /// transaction carried out by another session. This begins it.
    Server { begin: &'static str },
}

pub(crate) struct Connections {
    options: AnyConnectOptions,
    end: End,
    /// The longest time that connecting to a server may take.
    patience: Duration,
    /// The most connections.
    most: u32,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<(AnyConnection, Instant)>>,
    unreachable: Mutex<Option<(Error, Instant)>>,
}

impl Connections {
    pub fn new(options: AnyConnectOptions, end: End, most: u32, patience: Duration) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(most as usize));
        let (idle, unreachable) = (Mutex::default(), Mutex::default());
        Arc::new(Self { options, end, patience, most, permits, idle, unreachable })
    }

    /// Runs a statement, and runs it a second time where an idle connection turns out to be dead. So the statement
    /// must be one that may run twice. A server ends it by itself after `deadline`.
    pub async fn run(self: &Arc<Self>, statement: &Statement, deadline: Duration) -> Result<Answer, Error> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|closed| Error::Down(closed.to_string()))?;
        match self.end {
            End::Server { .. } => self.run_with(permit, statement, deadline).await,
            // A caller that gives up drops this, but a thread of SQLite that waits for a file system goes on waiting.
            End::File { .. } => {
                let (this, statement) = (self.clone(), statement.clone());
                let running = tokio::spawn(async move { this.run_with(permit, &statement, deadline).await });
                running.await.unwrap_or_else(|ended| Err(Error::Down(ended.to_string())))
            }
        }
    }

    /// The permit is held until the call is over.
    async fn run_with(
        &self,
        _permit: OwnedSemaphorePermit,
        statement: &Statement,
        deadline: Duration,
    ) -> Result<Answer, Error> {
        if let Some(connection) = self.take_idle() {
            match self.run_on(connection, statement, deadline).await {
                Err(cause) if is_lost(&cause) => self.idle.lock().clear(),
                done => return Ok(done?),
            }
        }
        Ok(self.run_on(self.connect().await?, statement, deadline).await?)
    }

    /// Keeps the connection only after success: an abandoned one may be in the middle of a statement.
    async fn run_on(
        &self,
        mut connection: AnyConnection,
        statement: &Statement,
        deadline: Duration,
    ) -> Result<Answer, Cause> {
        let answer = match self.end {
            End::File { .. } => statement.run_prepared(&mut connection).await?,
            End::Server { begin } => {
                let mut transaction = connection.begin_with(AssertSqlSafe(bounded(begin, deadline))).await?;
                let answer = statement.run(&mut transaction).await?;
                transaction.commit().await?;
                answer
            }
        };
        self.idle.lock().push((connection, Instant::now()));
        Ok(answer)
    }

    fn take_idle(&self) -> Option<AnyConnection> {
        let mut idle = self.idle.lock();
        idle.retain(|(_, since)| since.elapsed() < IDLE);
        idle.pop().map(|(connection, _)| connection)
    }

    /// Opens a connection for the caller alone.
    pub async fn connect(&self) -> Result<AnyConnection, Error> {
        let seen = self.unreachable.lock().clone();
        if let Some((error, _)) = seen.filter(|(_, since)| since.elapsed() < LEFT_ALONE) {
            return Err(error);
        }
        let connected = match self.end {
            // One that is given up would leave a thread behind.
            End::File { .. } => self.open().await.map_err(Error::from),
            End::Server { .. } => match timeout(self.patience, self.open()).await {
                Ok(opened) => opened.map_err(Error::from),
                Err(_) => Err(Error::Down(format!("no connection within {:?}", self.patience))),
            },
        };
        let down = connected.as_ref().err().filter(|error| matches!(error, Error::Down(_)));
        *self.unreachable.lock() = down.map(|error| (error.clone(), Instant::now()));
        connected
    }

    /// Closes all connections, those in use when their call ends. Each runs `last` before, where it can.
    pub async fn close(&self, last: &'static str) {
        let all = self.permits.acquire_many(self.most).await;
        let idle = std::mem::take(&mut *self.idle.lock());
        for (mut connection, _) in idle {
            let _ = connection.execute(sqlx::raw_sql(last)).await;
            let _ = connection.close().await;
        }
        drop(all);
    }

    async fn open(&self) -> Result<AnyConnection, Cause> {
        let mut connection = self.options.connect().await?;
        if let End::File { setup } = &self.end {
            connection.execute(sqlx::raw_sql(AssertSqlSafe(setup.clone()))).await?;
        }
        Ok(connection)
    }
}

/// Begins a transaction that the server ends by itself, whether its statement is slow or its client gone: abandoned ones
/// would pile up there and hold their locks.
pub(crate) fn bounded(begin: &str, deadline: Duration) -> String {
    let millis = deadline.as_millis();
    format!("{begin}; SET LOCAL statement_timeout = {millis}; SET LOCAL idle_in_transaction_session_timeout = {millis}")
}

/// Whether the connection failed, and not the statement.
fn is_lost(cause: &Cause) -> bool {
    match cause {
        // Class 57P: the server was stopped, and said so.
        Cause::Database(told) => told.code().is_some_and(|code| code.starts_with("57P")),
        Cause::Io(_) | Cause::Tls(_) | Cause::Protocol(_) | Cause::WorkerCrashed => true,
        _ => false,
    }
}
