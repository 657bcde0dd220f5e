//! A few connections to one database, kept open between calls.
//!
//! It is smaller than sqlx's pool, for the sake of what must hold here: a connection whose call was given up is
//! closed and never used again; no call waits for a server that was just seen not to answer; and an error says
//! what the server said. Knows nothing of what is stored.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions, Connection, Error as Cause, Executor};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::error::Error;
use super::statement::{Answer, Statement};

/// A connection that nobody used for so long is not used again: what lies between may have dropped it.
const IDLE: Duration = Duration::from_secs(60);
/// So long is a database that could not be reached left alone; calls meanwhile fail at once.
const LEFT_ALONE: Duration = Duration::from_secs(1);

pub(crate) struct Connections {
    options: AnyConnectOptions,
    /// What is run on each new connection.
    setup: String,
    /// How long connecting may take.
    patience: Duration,
    /// How many there are at most.
    most: u32,
    permits: Semaphore,
    idle: Mutex<Vec<(AnyConnection, Instant)>>,
    unreachable: Mutex<Option<(Error, Instant)>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connections {
    pub fn new(options: AnyConnectOptions, setup: String, most: u32, patience: Duration) -> Self {
        let permits = Semaphore::new(most as usize);
        Self { options, setup, patience, most, permits, idle: Mutex::default(), unreachable: Mutex::default() }
    }

    /// Runs a statement that may be run twice: once more, where its connection turns out to have died idle.
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

    /// Keeps the connection only when all went well: one that was given up is in the middle of something.
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

    /// A new connection, which is the caller's alone.
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

    /// Closes all of them, those in use when that is done; on each it runs `last` before, as far as that can be.
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

/// Whether it was the connection that failed, and not what was asked.
fn is_lost(cause: &Cause) -> bool {
    match cause {
        // The server was stopped, and said so.
        Cause::Database(told) => told.code().is_some_and(|code| code.starts_with("57P")),
        Cause::Io(_) | Cause::Tls(_) | Cause::Protocol(_) | Cause::WorkerCrashed => true,
        _ => false,
    }
}
