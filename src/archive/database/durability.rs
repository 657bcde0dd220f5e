//! Says whether a server of PostgreSQL keeps what it has acknowledged. Changes nothing: whoever runs it decides that.

use sqlx::{AnyConnection, Row};

use super::error::Error;
use super::statement::Statement;

/// Why a record that was acknowledged may be lost, where the server's settings show it.
pub(crate) async fn doubt(connection: &mut AnyConnection) -> Result<Option<String>, Error> {
    let asked = "SELECT current_setting('synchronous_commit') AS commits, current_setting('fsync') AS fsync";
    let rows = Statement::new(asked).run(connection).await?.rows;
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
