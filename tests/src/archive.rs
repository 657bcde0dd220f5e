//! Opens an archive, and locks that of a namespace's operators.

use sqlx::{Connection, SqliteConnection};
use task_manager::archive::{Archive, Error, Options};

use crate::namespace::Namespace;

/// The archive at `url`, with its tables up to date.
pub async fn open_archive(url: &str, options: &Options) -> Result<Archive, Error> {
    let archive = Archive::at(url, options).map_err(|error| Error::Refused(error.to_string()))?;
    archive.prepare().await?;
    Ok(archive)
}

/// The checkpoints that a namespace's archive holds, whoever may read them.
pub async fn checkpoints_of(namespace: &Namespace) -> i64 {
    let mut connection = SqliteConnection::connect(&namespace.archive()).await.expect("a connection");
    let counted = sqlx::query_scalar("SELECT count(*) FROM archive_checkpoints").fetch_one(&mut connection).await;
    counted.expect("a count")
}

/// While this lock is held, every call of the operators fails.
pub struct Held(SqliteConnection);

impl Held {
    pub async fn hold(namespace: &Namespace) -> Self {
        let url = format!("{}?mode=rwc", namespace.archive());
        let mut connection = SqliteConnection::connect(&url).await.expect("a connection");
        sqlx::raw_sql("PRAGMA busy_timeout = 30000; BEGIN EXCLUSIVE")
            .execute(&mut connection)
            .await
            .expect("it is held");
        Self(connection)
    }

    pub async fn let_go(mut self) {
        sqlx::raw_sql("ROLLBACK").execute(&mut self.0).await.expect("it is free");
        self.0.close().await.expect("closed");
    }
}
