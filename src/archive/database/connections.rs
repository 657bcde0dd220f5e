//! A few connections to one database, kept open between calls.
//!
//! It replaces sqlx's pool because of three rules that the pool does not keep: a connection whose call was abandoned
//! is closed and never used again; no call waits for a server that has just not answered; and an error contains the
//! server's own message. Knows nothing of records.

use parking_lot::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions, Connection, Error as Cause, Executor};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::error::Error;
use super::statement::{Answer, Statement};

/// An idle connection that is older than this is closed: a firewall may have dropped it.
const IDLE: Duration = Duration::from_secs(60);
/// The pause after a failed connection; calls in that time fail at once with the same error.
const LEFT_ALONE: Duration = Duration::from_secs(1);

pub(crate) struct Connections {
    options: AnyConnectOptions,
    /// SQL that is run on each new connection.
    setup: String,
    /// The longest time that connecting may take.
    patience: Duration,
    /// The most connections.
    most: u32,
    permits: Semaphore,
    idle: Mutex<Vec<(AnyConnection, Instant)>>,
    unreachable: Mutex<Option<(Error, Instant)>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

impl Connections {
    pub fn new(options: AnyConnectOptions, setup: String, most: u32, patience: Duration) -> Self {
        let permits = Semaphore::new(most as usize);
        Self { options, setup, patience, most, permits, idle: Mutex::default(), unreachable: Mutex::default() }
    }

    /// Runs a statement, and runs it a second time where an idle connection turns out to be dead. So the statement
    /// must be one that may run twice.
    pub async fn run(&self, statement: &Statement) -> Result<Answer, Error> {
        let _permit = self.permits.acquire().await.map_err(|closed| Error::Down(closed.to_string()))?;
        if let Some(connection) = self.take_idle() {
            match self.run_on(connection, statement).await {
                Err(cause) if is_lost(&cause) => locked(&self.idle).clear(),
                done => return Ok(done?),
            }
        }
        Ok(self.run_on(self.connect().await?, statement).await?)
    }

    /// Keeps the connection only after success: an abandoned one may be in the middle of a statement.
    async fn run_on(&self, mut connection: AnyConnection, statement: &Statement) -> Result<Answer, Cause> {
        let answer = statement.run(&mut connection).await?;
        locked(&self.idle).push((connection, Instant::now()));
        Ok(answer)
    }

    fn take_idle(&self) -> Option<AnyConnection> {
        let mut idle = locked(&self.idle);
        idle.retain(|(_, since)| since.elapsed() < IDLE);
        idle.pop().map(|(connection, _)| connection)
    }

    /// Opens a connection for the caller alone.
    pub async fn connect(&self) -> Result<AnyConnection, Error> {
        let seen = locked(&self.unreachable).clone();
        if let Some((error, _)) = seen.filter(|(_, since)| since.elapsed() < LEFT_ALONE) {
            return Err(error);
        }
        let connected = match timeout(self.patience, self.open()).await {
            Ok(opened) => opened.map_err(Error::from),
            Err(_) => Err(Error::Down(format!("no connection within {:?}", self.patience))),
        };
        let down = connected.as_ref().err().filter(|error| matches!(error, Error::Down(_)));
        *locked(&self.unreachable) = down.map(|error| (error.clone(), Instant::now()));
        connected
    }

    /// Closes all connections, those in use when their call ends. Each runs `last` before, where it can.
    pub async fn close(&self, last: &'static str) {
        let all = self.permits.acquire_many(self.most).await;
        let idle = std::mem::take(&mut *locked(&self.idle));
        for (mut connection, _) in idle {
            let _ = connection.execute(sqlx::raw_sql(last)).await;
            let _ = connection.close().await;
        }
        drop(all);
    }

    async fn open(&self) -> Result<AnyConnection, Cause> {
        let mut connection = self.options.connect().await?;
        connection.execute(sqlx::raw_sql(AssertSqlSafe(self.setup.clone()))).await?;
        Ok(connection)
    }
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
