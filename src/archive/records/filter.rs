//! Selects records, and a position in their list.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use crate::api::{Priority, Reason, State};
use crate::archive::database::statement::{Statement, column};

/// Conditions on records, all of which must hold. The default selects all records of all namespaces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// The namespaces; `None` is all, and an empty list selects nothing.
    pub namespaces: Option<Vec<String>>,
    /// The states; an empty list is any.
    pub states: Vec<State>,
    pub type_: Option<String>,
    pub reason: Option<Reason>,
    pub kb_id: Option<String>,
    pub priority: Option<Priority>,
    pub queue: Option<String>,
    /// Finished at this time or later.
    pub finished_from: Option<Timestamp>,
    /// Finished before this time.
    pub finished_before: Option<Timestamp>,
    /// Whether the run was replayed; `None` is both.
    pub replayed: Option<bool>,
    /// Selects only the last archived run of each task.
    pub last_run: bool,
}

impl Filter {
    /// Selects all records of these namespaces.
    pub fn within<N: Into<String>>(namespaces: impl IntoIterator<Item = N>) -> Self {
        Self { namespaces: Some(namespaces.into_iter().map(Into::into).collect()), ..Self::default() }
    }

    /// Selects dead letters only: tasks that failed for good, or whose retries were used up.
    pub fn dead_letters(self) -> Self {
        Self { states: vec![State::Failed], ..self }
    }

    /// Appends the conditions to a `SELECT … FROM <table> WHERE`. The table has a row for each record.
    pub(crate) fn select(&self, statement: Statement, table: &str) -> Statement {
        let texts = [
            (" AND type = ", self.type_.as_deref().map(column)),
            (" AND reason = ", self.reason.map(|reason| reason.to_string())),
            (" AND priority = ", self.priority.map(|priority| priority.to_string())),
            (" AND queue = ", self.queue.as_deref().map(column)),
        ];
        let asked = texts.into_iter().filter_map(|(sql, value)| Some((sql, value?)));
        let statement = asked.fold(self.range(statement), |statement, (sql, value)| statement.and(sql).list([value]));
        self.listed(statement, table)
    }

    /// Appends those conditions alone by which records are in order: a part of what they leave is read from one place.
    pub(crate) fn range(&self, statement: Statement) -> Statement {
        // Records without a uid are probes.
        let mut statement = statement.and(" uid <> ''");
        if !self.states.is_empty() {
            statement = one_of(statement, "state", self.states.iter().map(ToString::to_string).collect());
        }
        if let Some(kb_id) = &self.kb_id {
            statement = statement.and(" AND kb_id = ").list([column(kb_id)]);
        }
        self.finished(statement)
    }

    fn listed(&self, mut statement: Statement, table: &str) -> Statement {
        if let Some(namespaces) = &self.namespaces {
            statement = one_of(statement, "namespace", namespaces.iter().map(|name| column(name)).collect());
        }
        if self.last_run {
            statement = statement.and(&format!(
                " AND NOT EXISTS (SELECT 1 FROM {table} AS later WHERE later.uid = {table}.uid \
                 AND (later.began, later.run_id) > ({table}.began, {table}.run_id))"
            ));
        }
        match self.replayed {
            Some(true) => statement.and(" AND replayed_by IS NOT NULL"),
            Some(false) => statement.and(" AND replayed_by IS NULL"),
            None => statement,
        }
    }

    fn finished(&self, mut statement: Statement) -> Statement {
        if self.finished_from.is_some() || self.finished_before.is_some() {
            statement = statement.and(" AND final = 1");
        }
        for (sql, time) in [(" AND at >= ", self.finished_from), (" AND at < ", self.finished_before)] {
            if let Some(time) = time {
                statement = statement.and(sql).list([time.as_microsecond()]);
            }
        }
        statement
    }
}

fn one_of(statement: Statement, name: &str, values: Vec<String>) -> Statement {
    match values.as_slice() {
        [] => statement.and(" AND 1 = 0"),
        [only] => statement.and(&format!(" AND {name} = ")).list([only.as_str()]),
        _ => statement.and(&format!(" AND {name} IN ")).list(values),
    }
}

/// A position in the list: after one record. New records do not move it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) at: i64,
    pub(crate) uid: String,
    pub(crate) run_id: String,
}

impl Cursor {
    /// The order of the list, from the oldest on.
    pub(crate) fn order(&self) -> (i64, &str, &str) {
        (self.at, &self.uid, &self.run_id)
    }
}

/// The text is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no cursor: give back the one that came with the page before, as it is")]
pub struct CursorError;

impl fmt::Display for Cursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, uid, run_id } = self;
        out.write_str(&URL_SAFE_NO_PAD.encode(format!("{at}/{uid}/{run_id}")))
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let text = String::from_utf8(bytes).map_err(|_| CursorError)?;
        let mut parts = text.splitn(3, '/');
        let mut next = || parts.next().filter(|part| !part.contains('\0')).ok_or(CursorError);
        let at = next()?.parse().map_err(|_| CursorError)?;
        Ok(Self { at, uid: next()?.into(), run_id: next()?.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_reads_back(at: i64, uid in "[a-f0-9-]{1,36}", run_id in "[^\0]{0,63}") {
            let cursor = Cursor { at, uid, run_id };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn any_other_text_is_no_cursor_or_one_that_the_databases_take(text in ".{0,40}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert!(!cursor.uid.contains('\0') && !cursor.run_id.contains('\0'));
            }
        }
    }
}
