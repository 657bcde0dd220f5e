//! Whether the API server keeps JSON as it is written: it keeps integers of 64 bits with a sign, every other number as a
//! double, of a key that comes twice the last value, and no half of a surrogate pair. Says what is lost; decides nothing.

mod compact;
mod number;
mod scan;

use std::fmt;

use serde_json::{Map, Number, Value};

pub use compact::compact_bytes;
use number::Rounded;
pub use scan::loss;

/// The most levels of nesting. The API server takes more, but programs that read what it stores stop at 128, with the
/// levels around the payload.
pub const MOST_LEVELS: usize = 120;
/// The longest piece of what was written that a sentence quotes, in characters.
const QUOTED: usize = 40;

/// The first part of a JSON text that would not come back as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Where it is, such as payload.ids[3]; empty for the text as a whole.
    pub path: String,
    pub kind: LossKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LossKind {
    /// A number, and the number that it would become; `None` where it is too large for any.
    Number { written: String, kept: Option<String> },
    /// A key that comes twice.
    Twice,
    /// Nested too deeply.
    Depth,
    /// Half of a surrogate pair.
    Surrogate,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.kind {
            LossKind::Number { written, kept: Some(kept) } => {
                write!(f, "the number {} would come back as {}", quoted(written), quoted(kept))
            }
            LossKind::Number { written, kept: None } => {
                write!(f, "the number {} is larger than the largest that is kept, 1.8e308", quoted(written))
            }
            LossKind::Twice => write!(f, "duplicate field {:?}: it comes twice, and only one would be kept", self.path),
            LossKind::Depth => write!(f, "it is nested deeper than {MOST_LEVELS} levels"),
            LossKind::Surrogate => f.write_str(
                "a text holds half of a surrogate pair, which is no character and would come back as U+FFFD",
            ),
        }
    }
}

fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A fault of a payload that the API server has stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nested too deeply to be read by every part.
    Depth,
    /// A number that was an integer beyond 64 bits when it was written: the API server has rounded it.
    Rounded { path: String, number: String },
    /// A number so large that it may have been such an integer, or a double with all its digits.
    MayBeRounded { path: String, number: String },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Depth => write!(f, "the payload is nested deeper than {MOST_LEVELS} levels"),
            Self::Rounded { path, number } => write!(
                f,
                "payload{path} is {number}, which the API server has rounded: it keeps integers of up to 64 bits, with a sign; write it as a string"
            ),
            Self::MayBeRounded { path, number } => write!(
                f,
                "payload{path} was given to the work as {number}: if it was written as an integer, the API server has rounded it; write such a number as a string"
            ),
        }
    }
}

/// The first fault of a payload as the API server has stored it; one that is certain goes before one that may be.
pub fn fault(content: &Map<String, Value>) -> Option<Fault> {
    let mut search = Search { path: vec![], found: None };
    search.fields(content);
    search.found
}

/// A walk through a payload. Its path is put into words only for what is found: every change of a task is searched.
struct Search<'a> {
    path: Vec<Step<'a>>,
    found: Option<Fault>,
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl<'a> Search<'a> {
    fn fields(&mut self, fields: &'a Map<String, Value>) {
        fields.iter().for_each(|(key, value)| self.within(Step::Key(key), value));
    }

    fn within(&mut self, step: Step<'a>, value: &'a Value) {
        if matches!(self.found, None | Some(Fault::MayBeRounded { .. })) {
            self.path.push(step);
            self.look(value);
            self.path.pop();
        }
    }

    fn look(&mut self, value: &'a Value) {
        match value {
            Value::Number(stored) => self.number(stored),
            Value::Array(_) | Value::Object(_) if self.path.len() >= MOST_LEVELS => self.found = Some(Fault::Depth),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(index, item)| self.within(Step::Index(index), item));
            }
            Value::Object(fields) => self.fields(fields),
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }

    fn number(&mut self, stored: &Number) {
        let Some(rounded) = number::rounded(stored) else { return };
        let (path, number) = (self.written_path(), number::as_stored(stored));
        match rounded {
            Rounded::Surely => self.found = Some(Fault::Rounded { path, number }),
            Rounded::Maybe => self.found = self.found.take().or(Some(Fault::MayBeRounded { path, number })),
        }
    }

    fn written_path(&self) -> String {
        self.path.iter().fold(String::new(), |path, step| match step {
            Step::Key(key) => scan::member(&path, key),
            Step::Index(index) => format!("{path}[{index}]"),
        })
    }
}

#[cfg(test)]
mod tests;
