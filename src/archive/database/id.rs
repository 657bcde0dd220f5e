//! The id of a database, which whoever first finds none makes at random.

use sqlx::{AnyConnection, Connection, Row};

use super::error::Error;
use super::statement::Statement;

pub(crate) async fn of(connection: &mut AnyConnection) -> Result<String, Error> {
    let drawn = getrandom::u64().map_err(|error| Error::Down(format!("no random id: {error}")))?;
    let mut transaction = connection.begin().await?;
    let made = "INSERT INTO archive_identity (one, id) VALUES (1, $1) ON CONFLICT DO NOTHING";
    Statement::new(made).with(format!("{drawn:016x}")).run(&mut transaction).await?;
    let found = Statement::new("SELECT id FROM archive_identity WHERE one = 1").run(&mut transaction).await?;
    transaction.commit().await?;
    let row = found.rows.first().ok_or_else(|| Error::Corrupt("it has lost its id".into()))?;
    Ok(row.try_get("id")?)
}
