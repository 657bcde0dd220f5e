//! SQL that both databases understand, with the values of its placeholders.
//!
//! Placeholders are `$1`, `$2` …, numbers are BIGINT, everything else is TEXT or bytes. Text that others wrote is
//! never part of the SQL.

use std::sync::Arc;

use futures::TryStreamExt;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::{AnyConnection, Arguments, AssertSqlSafe, Either, Error as Cause, Executor};

/// A value for a placeholder.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    MaybeText(Option<String>),
    Number(i64),
    Bytes(Arc<Vec<u8>>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::MaybeText(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// `text` as a column holds it: PostgreSQL takes no NUL in a text, so NUL is escaped. Different texts stay different.
pub(crate) fn column(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\0', "\\0")
}

#[derive(Clone, Debug)]
pub(crate) struct Statement {
    sql: String,
    values: Vec<Value>,
}

/// The outcome of a statement.
#[derive(Default)]
pub(crate) struct Answer {
    pub rows: Vec<AnyRow>,
    /// Rows that were written or deleted.
    pub changed: u64,
}

impl Statement {
    pub fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), values: vec![] }
    }

    /// Adds the value of the next placeholder of the SQL given to `new`.
    pub fn with(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Appends `sql`.
    pub fn and(mut self, sql: &str) -> Self {
        self.sql.push_str(sql);
        self
    }

    /// Appends `(a, b, …)` with these values as placeholders.
    pub fn list<V: Into<Value>>(mut self, values: impl IntoIterator<Item = V>) -> Self {
        let mut before = '(';
        for value in values {
            self.values.push(value.into());
            self.sql.push_str(&format!("{before}${}", self.values.len()));
            before = ',';
        }
        self.and(")")
    }

    /// Runs it once. The server is left no prepared statement: another session would not know it.
    pub async fn run(&self, connection: &mut AnyConnection) -> Result<Answer, Cause> {
        self.run_on(connection, false).await
    }

    /// The same, kept prepared by this connection.
    pub async fn run_prepared(&self, connection: &mut AnyConnection) -> Result<Answer, Cause> {
        self.run_on(connection, true).await
    }

    async fn run_on(&self, connection: &mut AnyConnection, is_prepared: bool) -> Result<Answer, Cause> {
        let query = sqlx::query_with(AssertSqlSafe(self.sql.clone()), self.arguments()?).persistent(is_prepared);
        let mut parts = connection.fetch_many(query);
        let mut answer = Answer::default();
        while let Some(part) = parts.try_next().await? {
            match part {
                Either::Left(done) => answer.changed += done.rows_affected(),
                Either::Right(row) => answer.rows.push(row),
            }
        }
        Ok(answer)
    }

    fn arguments(&self) -> Result<AnyArguments, Cause> {
        let mut arguments = AnyArguments::default();
        for value in &self.values {
            let added = match value {
                Value::Text(text) => arguments.add(text.as_str()),
                Value::MaybeText(text) => arguments.add(text.clone()),
                Value::Number(number) => arguments.add(*number),
                Value::Bytes(bytes) => arguments.add(bytes.as_slice()),
            };
            added.map_err(Cause::Encode)?;
        }
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_numbered_as_they_come() {
        let statement = Statement::new("SELECT 1 WHERE a = $1").with("x").and(" AND b IN ").list([1, 2]);
        assert_eq!(statement.sql, "SELECT 1 WHERE a = $1 AND b IN ($2,$3)");
        assert_eq!(statement.values.len(), 3);
    }

    proptest! {
        #[test]
        fn different_texts_stay_different_and_hold_no_nul(one in "[\\\\0\0a]{0,6}", other in "[\\\\0\0a]{0,6}") {
            prop_assert!(!column(&one).contains('\0'));
            prop_assert_eq!(column(&one) == column(&other), one == other);
        }
    }
}
