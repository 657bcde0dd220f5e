//! The id of a database, which whoever first finds none makes at random.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Connection, Row};

use super::error::Error;
use super::statement::Statement;

const FIND: &str = "SELECT id FROM archive_identity WHERE one = 1";

/// Asks for the id, and makes none.
pub(crate) fn find() -> Statement {
    Statement::new(FIND)
}

/// The answer to that.
pub(crate) fn found(rows: &[AnyRow]) -> Result<Option<String>, Error> {
    Ok(rows.first().map(|row| row.try_get("id")).transpose()?)
}

pub(crate) async fn of(connection: &mut AnyConnection) -> Result<String, Error> {
    let drawn = getrandom::u64().map_err(|error| Error::Down(format!("no random id: {error}")))?;
    let mut transaction = connection.begin().await?;
    let made = "INSERT INTO archive_identity (one, id) VALUES (1, $1) ON CONFLICT DO NOTHING";
    Statement::new(made).with(format!("{drawn:016x}")).run(&mut transaction).await?;
    let rows = find().run(&mut transaction).await?.rows;
    transaction.commit().await?;
    found(&rows)?.ok_or_else(|| Error::Corrupt("it has lost its id".into()))
}
