//! Brings the tables of a database up to date in one transaction, also when several replicas do it at once. It is over
//! within moments however many records there are: no statement here reads or rewrites a table that has any. What is to be
//! done to each record is done later, in batches.
//!
//! A migration only adds, so that the version before can work beside this one: two versions run at once during an
//! update, and a rollback finds the tables of the newer one.

use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor, Row};

use super::error::Error;
use super::location::Backend;
use super::statement::Statement;
use crate::core::digest::sha256_hex;

/// A migration as each database takes it.
struct Migration {
    version: i64,
    sqlite: &'static str,
    postgres: &'static str,
}

const fn same(version: i64, sql: &'static str) -> Migration {
    Migration { version, sqlite: sql, postgres: sql }
}

/// The migrations in order. A released one never changes. There is no 3 any longer: it added a column to all records, for
/// which PostgreSQL rewrites the table. Where it was applied nothing uses that column.
const MIGRATIONS: [Migration; 7] = [
    same(1, include_str!("migrations/1.sql")),
    same(2, include_str!("migrations/2.sql")),
    same(4, include_str!("migrations/4.sql")),
    same(5, include_str!("migrations/5.sql")),
    Migration {
        version: 6,
        sqlite: include_str!("migrations/6.sqlite.sql"),
        postgres: include_str!("migrations/6.postgres.sql"),
    },
    Migration {
        version: 7,
        sqlite: include_str!("migrations/7.sqlite.sql"),
        postgres: include_str!("migrations/7.postgres.sql"),
    },
    same(8, include_str!("migrations/8.sql")),
];

/// Held by the replica that migrates a database of PostgreSQL, until its transaction ends. Waiting for it may take
/// longer than the deadline of a call, hence no statement_timeout.
const LOCK: &str = "SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock(7521096415)";
const BOOKS: &str = "CREATE TABLE IF NOT EXISTS archive_migrations (version BIGINT PRIMARY KEY, digest TEXT NOT NULL)";

pub(crate) async fn migrate(connection: &mut AnyConnection, backend: &Backend) -> Result<(), Error> {
    let begin = match backend {
        Backend::Sqlite { .. } => "BEGIN IMMEDIATE",
        Backend::Postgres => "BEGIN",
    };
    let mut transaction = connection.begin_with(begin).await?;
    if let Backend::Postgres = backend {
        transaction.execute(sqlx::raw_sql(LOCK)).await?;
        must_be_utf8(&mut transaction).await?;
    }
    transaction.execute(sqlx::raw_sql(BOOKS)).await?;
    let applied = applied(&mut transaction).await?;
    for Migration { version, sqlite, postgres } in MIGRATIONS {
        let migration = match backend {
            Backend::Sqlite { .. } => sqlite,
            Backend::Postgres => postgres,
        };
        match applied.iter().find(|(seen, _)| *seen == version) {
            None => apply(&mut transaction, version, migration, backend).await?,
            Some((_, digest)) if *digest == sha256_hex(migration) => {}
            Some(_) => return Err(Error::Refused(format!("its tables are not those of version {version}"))),
        }
    }
    Ok(transaction.commit().await?)
}

async fn applied(connection: &mut AnyConnection) -> Result<Vec<(i64, String)>, Error> {
    let rows = Statement::new("SELECT version, digest FROM archive_migrations").run(connection).await?.rows;
    rows.iter().map(|row| Ok((row.try_get("version")?, row.try_get("digest")?))).collect()
}

async fn apply(connection: &mut AnyConnection, version: i64, sql: &str, backend: &Backend) -> Result<(), Error> {
    let (text, bytes, clustered) = match backend {
        Backend::Sqlite { .. } => ("TEXT", "BLOB", " WITHOUT ROWID"),
        // Collation "C" sorts by bytes, as SQLite does: an index must not depend on the machine's locales.
        Backend::Postgres => ("TEXT COLLATE \"C\"", "BYTEA", ""),
    };
    let script = sql.replace("{text}", text).replace("{bytes}", bytes).replace("{clustered}", clustered);
    connection.execute(sqlx::raw_sql(AssertSqlSafe(script))).await?;
    let noted = Statement::new("INSERT INTO archive_migrations (version, digest) VALUES ($1, $2)");
    noted.with(version).with(sha256_hex(sql)).run(connection).await?;
    Ok(())
}

async fn must_be_utf8(connection: &mut AnyConnection) -> Result<(), Error> {
    let asked = Statement::new("SELECT current_setting('server_encoding') AS encoding").run(connection).await?;
    let encodings: Result<Vec<String>, _> = asked.rows.iter().map(|row| row.try_get("encoding")).collect();
    match encodings?.first().map(String::as_str) {
        Some("UTF8") => Ok(()),
        other => {
            let encoding = other.unwrap_or("unknown");
            Err(Error::Refused(format!("the database's encoding is {encoding}; create it with ENCODING 'UTF8'")))
        }
    }
}
