//! Errors of the archive, sorted by what the caller should do.

use std::borrow::Cow;

use sqlx::Error as Cause;
use sqlx::error::DatabaseError;
use strum::IntoStaticStr;

/// Why a call failed. Nothing was done, or the call may be repeated safely.
#[derive(Clone, Debug, thiserror::Error, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Error {
    /// Try again later: the database cannot be reached, or is too busy to answer in time.
    #[error("the archive does not answer: {0}")]
    Down(String),
    /// Try again when somebody has made room.
    #[error("the archive has no room left: {0}")]
    Full(String),
    /// Never try this again: it does not fit.
    #[error("{what} of {bytes} bytes is too large for the archive, which takes at most {limit}")]
    TooLarge { what: &'static str, bytes: usize, limit: usize },
    /// Never try this again: the archive already has something newer.
    #[error("the archive has what came later: {0}")]
    Outdated(&'static str),
    /// Somebody must look: stored data cannot be read.
    #[error("the archive is damaged: {0}")]
    Corrupt(String),
    /// Somebody must look: the database is set up wrongly, or the statement is not allowed.
    #[error("the archive refuses: {0}")]
    Refused(String),
}

impl Error {
    /// The label in metrics.
    pub fn label(&self) -> &'static str {
        self.into()
    }

    /// A table is missing: another database may answer than the one that was prepared.
    pub(crate) fn is_of_missing_table(&self) -> bool {
        matches!(self, Self::Refused(told) if told.ends_with(MISSING_TABLE))
    }

    /// Whether the same call may succeed later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Down(_) | Self::Full(_))
    }
}

impl From<Cause> for Error {
    fn from(cause: Cause) -> Self {
        match &cause {
            Cause::Database(told) => Self::of_database(told.as_ref()),
            Cause::ColumnDecode { .. } | Cause::Decode(_) | Cause::AnyDriverError(_) => {
                Self::Corrupt(cause.to_string())
            }
            Cause::Configuration(_) | Cause::Encode(_) | Cause::InvalidArgument(_) => Self::Refused(cause.to_string()),
            _ => Self::Down(cause.to_string()),
        }
    }
}

impl Error {
    fn of_database(told: &dyn DatabaseError) -> Self {
        let code = told.code().unwrap_or_default();
        let make = if code.len() == SQLSTATE { of_postgres(&code) } else { of_sqlite(&code) };
        let message: Cow<str> = told.message().into();
        if message.contains(POOLER_REFUSES) {
            return Self::Refused(format!("{message} ({code}); set {POOLER_IGNORES} in pgbouncer.ini"));
        }
        make(format!("{message} ({code})"))
    }
}

/// PgBouncer's words for a connection that says how many digits a float is to have, as the driver's do.
const POOLER_REFUSES: &str = "unsupported startup parameter: extra_float_digits";
const POOLER_IGNORES: &str = "ignore_startup_parameters = extra_float_digits";

/// The code of PostgreSQL for a table that it does not have, at the end of a message.
const MISSING_TABLE: &str = "(42P01)";

/// The length of an SQLSTATE, the code of a PostgreSQL error.
const SQLSTATE: usize = 5;

type Constructor = fn(String) -> Error;

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn of_postgres(code: &str) -> Constructor {
    match code {
        // The disk is full.
        "53100" => Error::Full,
        // Its files are damaged.
        "XX001" | "XX002" => Error::Corrupt,
        // Conflicts and locks; a standby that takes no writes, as after a failover; our own statement_timeout.
        "25006" | "40001" | "40P01" | "55P03" | "57014" => Error::Down,
        // Connections; resources; stopping and starting; the machine below.
        code if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => Error::Down,
        _ => Error::Refused,
    }
}

/// <https://www.sqlite.org/rescode.html>; the lower byte is the primary code.
fn of_sqlite(code: &str) -> Constructor {
    match code.parse::<i32>().map(|code| code & 0xff) {
        // FULL
        Ok(13) => Error::Full,
        // BUSY, LOCKED, NOMEM, INTERRUPT, IOERR, CANTOPEN, PROTOCOL, SCHEMA
        Ok(5 | 6 | 7 | 9 | 10 | 14 | 15 | 17) => Error::Down,
        // CORRUPT, NOTADB
        Ok(11 | 26) => Error::Corrupt,
        _ => Error::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_postgres_say_what_to_do() {
        for (code, label) in [
            ("53100", "full"),
            ("53300", "down"),
            ("57P01", "down"),
            ("57014", "down"),
            ("08006", "down"),
            ("25006", "down"),
            ("XX001", "corrupt"),
            ("28P01", "refused"),
            ("42P01", "refused"),
            ("22021", "refused"),
        ] {
            assert_eq!(of_postgres(code)(String::new()).label(), label, "{code}");
        }
    }

    #[test]
    fn codes_of_sqlite_say_what_to_do_in_their_extended_forms_too() {
        for (code, label) in [
            ("13", "full"),
            ("5", "down"),
            ("517", "down"),
            ("778", "down"),
            ("14", "down"),
            ("11", "corrupt"),
            ("26", "corrupt"),
            ("8", "refused"),
            ("1", "refused"),
            ("", "refused"),
        ] {
            assert_eq!(of_sqlite(code)(String::new()).label(), label, "{code}");
        }
    }

    #[test]
    fn only_what_passes_by_itself_or_with_room_is_worth_another_try() {
        assert!(Error::Down(String::new()).is_temporary() && Error::Full(String::new()).is_temporary());
        assert!(!Error::Refused(String::new()).is_temporary() && !Error::Corrupt(String::new()).is_temporary());
        assert!(!Error::TooLarge { what: "a result", bytes: 2, limit: 1 }.is_temporary());
    }
}
