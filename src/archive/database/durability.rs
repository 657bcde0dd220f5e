//! Says whether a server of PostgreSQL keeps what it has acknowledged. Changes nothing: whoever runs it decides that.

use sqlx::{AnyConnection, Connection, Row};

use super::error::Error;
use super::statement::Statement;

/// Why a record that was acknowledged may be lost, where the server's settings show it.
pub(crate) async fn doubt(connection: &mut AnyConnection) -> Result<Option<String>, Error> {
    let asked = "SELECT current_setting('synchronous_commit') AS commits, current_setting('fsync') AS fsync";
    // Behind a pooler another session may have the next statement, and would not know what was prepared.
    let mut transaction = connection.begin().await?;
    let rows = Statement::new(asked).run(&mut transaction).await?.rows;
    transaction.commit().await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (commits, fsync): (String, String) = (row.try_get("commits")?, row.try_get("fsync")?);
    Ok(match (commits.as_str(), fsync.as_str()) {
        ("off", _) => {
            Some("synchronous_commit is off: a crash of the server loses the records of the last moments".into())
        }
        (_, "off") => Some("fsync is off: a power cut may lose any record".into()),
        _ => None,
    })
}
