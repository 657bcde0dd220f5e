//! The columns of the table: which of them are shown, and how wide. Pure.

use super::super::{
    text::{self, Line, Tone},
    view::{Row, is_telling},
};
use crate::api::Priority;

/// A column: its content, its widths, and how early a narrow terminal drops it.
struct Column {
    title: &'static str,
    cell: fn(&Row) -> (Tone, String),
    widest: usize,
    kind: Kind,
    /// 0: always shown. The highest goes first.
    dispensable: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    /// It is cut in its middle; down to the first width beside a message, down to the second where there is none.
    Name(usize, usize),
}

const GAP: usize = 2;
/// Less than this of a message tells nothing: it stands beneath its row then.
const NARROWEST_MESSAGE: usize = 24;
/// From this width on there is room for NAME, STATE, REASON and MESSAGE, however long they are.
const WIDE: usize = 20 + GAP + 10 + GAP + WIDEST_REASON + GAP + NARROWEST_MESSAGE;
const NARROWEST_NAMESPACE: usize = 12;
const WIDEST_REASON: usize = 18;
/// Columns that are more dispensable than this go before a name is cut.
const KEPT: u8 = 2;

const COLUMNS: [Column; 9] = [
    Column {
        title: NAMESPACE,
        cell: |row| (Tone::Dim, row.namespace.clone()),
        widest: 24,
        kind: Kind::Name(NARROWEST_NAMESPACE, 6),
        dispensable: 1,
    },
    Column {
        title: "NAME",
        cell: |row| (Tone::Plain, row.name.clone()),
        widest: 40,
        kind: Kind::Name(20, 10),
        dispensable: 0,
    },
    Column {
        title: "TYPE",
        cell: |row| (Tone::Dim, row.type_.clone()),
        widest: 24,
        kind: Kind::Name(24, 24),
        dispensable: 8,
    },
    Column { title: "PRIORITY", cell: priority_cell, widest: 8, kind: Kind::Text, dispensable: 7 },
    Column {
        title: "STATE",
        cell: |row| (row.tone, row.state.to_string()),
        widest: 10,
        kind: Kind::Text,
        dispensable: 0,
    },
    Column { title: REASON, cell: reason_cell, widest: WIDEST_REASON, kind: Kind::Text, dispensable: KEPT },
    Column {
        title: "TRY",
        cell: |row| (Tone::Plain, row.attempt.clone()),
        widest: 4,
        kind: Kind::Number,
        dispensable: 4,
    },
    Column {
        title: "WAITED",
        cell: |row| (Tone::Dim, row.waited.clone()),
        widest: 8,
        kind: Kind::Number,
        dispensable: 6,
    },
    Column { title: "RAN", cell: |row| (Tone::Plain, row.ran.clone()), widest: 8, kind: Kind::Number, dispensable: 5 },
];
const NAMESPACE: &str = "NAMESPACE";
const REASON: &str = "REASON";

fn priority_cell(row: &Row) -> (Tone, String) {
    let tone = match row.priority {
        Priority::Critical => Tone::Strong,
        Priority::High | Priority::Normal => Tone::Plain,
        Priority::Low => Tone::Dim,
    };
    (tone, row.priority.to_string())
}

fn reason_cell(row: &Row) -> (Tone, String) {
    let told = if is_telling(row.state, row.reason) { row.reason.to_string() } else { String::new() };
    (row.tone, told)
}

/// Whether a terminal has room for a column of messages. It depends on nothing else, so that the table does not turn
/// into another one while tasks change.
pub fn has_messages(available: usize, several_namespaces: bool) -> bool {
    available >= WIDE + if several_namespaces { NARROWEST_NAMESPACE + GAP } else { 0 }
}

pub struct Layout {
    /// The columns that are shown, with their widths.
    columns: Vec<(&'static Column, usize)>,
    message: Option<usize>,
}

impl Layout {
    pub fn of(rows: &[Row], available: usize, several_namespaces: bool) -> Self {
        let has_messages = has_messages(available, several_namespaces);
        let for_message = if has_messages { GAP + NARROWEST_MESSAGE } else { 0 };
        let shown = COLUMNS.iter().filter(|column| several_namespaces || column.title != NAMESPACE);
        let mut columns: Vec<_> = shown.map(|column| (column, column.natural(rows))).collect();
        let excess = |columns: &[_]| (taken(columns) + for_message).saturating_sub(available);
        while excess(&columns) > 0 {
            let next = columns.iter().map(|(column, _)| column.dispensable).max().unwrap_or(0);
            let must_go = next > KEPT || next > 0 && excess(&columns) > slack(&columns, has_messages);
            if !must_go {
                break;
            }
            columns.retain(|(column, _)| column.dispensable != next);
        }
        let excess = excess(&columns);
        shrink(&mut columns, excess, has_messages);
        let left = available.saturating_sub(taken(&columns) + GAP);
        Self { columns, message: has_messages.then_some(left) }
    }

    pub fn header(&self) -> Line {
        let cells = self.columns.iter().map(|(column, width)| (Tone::Strong, column.fit(column.title, *width)));
        joined(cells.chain(self.message.map(|_| (Tone::Strong, "MESSAGE".to_owned()))))
    }

    /// Without its message where that stands beneath.
    pub fn row(&self, row: &Row, message_is_beneath: bool) -> Line {
        let cells = self.columns.iter().map(|(column, width)| {
            let (tone, text) = (column.cell)(row);
            (tone, column.fit(&text, *width))
        });
        let tone = if row.is_trouble() { row.tone } else { Tone::Dim };
        let message = self.message.filter(|_| !message_is_beneath);
        joined(cells.chain(message.map(|width| (tone, text::cut(&row.message, width).into_owned()))))
    }

    /// The text for beneath the row, where its message has no room in it; it begins with a reason that is not shown
    /// either.
    pub fn beneath(&self, row: &Row) -> Option<String> {
        let fits = self.message.is_some_and(|width| text::width(&row.message) <= width);
        let shows_reason = self.columns.iter().any(|(column, _)| column.title == REASON);
        let told = || match reason_cell(row).1 {
            reason if shows_reason || reason.is_empty() => row.message.clone(),
            reason => format!("{reason}: {}", row.message),
        };
        (row.must_tell() && !fits).then(told)
    }
}

impl Column {
    fn natural(&self, rows: &[Row]) -> usize {
        let cells = rows.iter().map(|row| text::width(&(self.cell)(row).1)).max().unwrap_or(0);
        cells.min(self.widest).max(text::width(self.title))
    }

    fn narrowest(&self, has_messages: bool) -> Option<usize> {
        match self.kind {
            Kind::Name(beside_a_message, alone) => Some(if has_messages { beside_a_message } else { alone }),
            Kind::Text | Kind::Number => None,
        }
    }

    fn fit(&self, text: &str, width: usize) -> String {
        match self.kind {
            Kind::Text => text::pad(text, width),
            Kind::Number => text::pad_left(text, width),
            Kind::Name(..) => text::pad_name(text, width),
        }
    }
}

fn taken(columns: &[(&'static Column, usize)]) -> usize {
    columns.iter().map(|(_, width)| width + GAP).sum::<usize>().saturating_sub(GAP)
}

/// The number of columns by which a name can be cut.
fn slack_of((column, width): &(&'static Column, usize), has_messages: bool) -> usize {
    column.narrowest(has_messages).map_or(0, |narrowest| width.saturating_sub(narrowest))
}

fn slack(columns: &[(&'static Column, usize)], has_messages: bool) -> usize {
    columns.iter().map(|column| slack_of(column, has_messages)).sum()
}

/// Cuts names, always the one that has most to give.
fn shrink(columns: &mut [(&'static Column, usize)], excess: usize, has_messages: bool) {
    for _ in 0..excess {
        let widest = columns.iter_mut().max_by_key(|column| slack_of(column, has_messages));
        match widest {
            Some(column) if slack_of(column, has_messages) > 0 => column.1 -= 1,
            _ => break,
        }
    }
}

fn joined(cells: impl Iterator<Item = (Tone, String)>) -> Line {
    let mut line = Line::default();
    for (at, (tone, text)) in cells.enumerate() {
        line = if at == 0 { line.and(tone, text) } else { line.and(Tone::Plain, " ".repeat(GAP)).and(tone, text) };
    }
    line
}
