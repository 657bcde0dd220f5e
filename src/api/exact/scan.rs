//! Walks through a JSON text once, without building anything of it, and finds what would not come back.

use std::borrow::Cow;
use std::collections::HashSet;

use super::number::other_than_written;
use super::{Loss, LossKind, MOST_LEVELS};

/// The first part of `json`, which can be read as JSON, that the API server would change.
pub fn loss(json: &str) -> Option<Loss> {
    let mut scanner = Scanner { text: json, at: 0, open: vec![] };
    while scanner.at < json.len() {
        if let Some(kind) = scanner.step() {
            return Some(Loss { path: scanner.path(), kind });
        }
    }
    None
}

/// The path of a field of what is at `path`.
pub fn member(path: &str, key: &str) -> String {
    let is_plain = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_plain { format!("{path}.{key}") } else { format!("{path}[{key:?}]") }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    open: Vec<Level<'a>>,
}

/// An object or a list that is not closed yet.
enum Level<'a> {
    Object { keys: HashSet<Cow<'a, str>>, key: Cow<'a, str>, is_key_next: bool },
    List { index: usize },
}

impl<'a> Scanner<'a> {
    /// Goes on by one token.
    fn step(&mut self) -> Option<LossKind> {
        let bytes = self.text.as_bytes();
        match bytes[self.at] {
            b'{' => {
                return self.enter(Level::Object { keys: HashSet::new(), key: "".into(), is_key_next: true });
            }
            b'[' => return self.enter(Level::List { index: 0 }),
            b'}' | b']' => drop(self.open.pop()),
            b',' => match self.open.last_mut() {
                Some(Level::Object { is_key_next, .. }) => *is_key_next = true,
                Some(Level::List { index }) => *index += 1,
                None => {}
            },
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => return self.number(),
            _ => {}
        }
        self.at += 1;
        None
    }

    fn enter(&mut self, level: Level<'a>) -> Option<LossKind> {
        self.at += 1;
        if self.open.len() >= MOST_LEVELS {
            return Some(LossKind::Depth);
        }
        self.open.push(level);
        None
    }

    fn number(&mut self) -> Option<LossKind> {
        let rest = &self.text.as_bytes()[self.at..];
        let is_of_number = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
        let length = rest.iter().position(|byte| !is_of_number(byte)).unwrap_or(rest.len());
        let written = &self.text[self.at..self.at + length];
        self.at += length;
        other_than_written(written).map(|kept| LossKind::Number { written: written.to_owned(), kept })
    }

    fn string(&mut self) -> Option<LossKind> {
        let begin = self.at;
        self.at = end_of_string(self.text.as_bytes(), begin + 1);
        let raw = &self.text[begin..self.at];
        let read: Option<Cow<'a, str>> = match raw.contains('\\') {
            false => Some(raw.trim_matches('"').into()),
            true => serde_json::from_str::<String>(raw).ok().map(Cow::from),
        };
        let Some(read) = read else { return Some(LossKind::Surrogate) };
        let Some(Level::Object { keys, key, is_key_next }) = self.open.last_mut().filter(Level::awaits_key) else {
            return None;
        };
        *is_key_next = false;
        key.clone_from(&read);
        (!keys.insert(read)).then_some(LossKind::Twice)
    }

    /// Where it is, without a dot before the first key.
    fn path(&self) -> String {
        let whole = self.open.iter().fold(String::new(), |path, level| match level {
            Level::Object { key, .. } if key.is_empty() => path,
            Level::Object { key, .. } => member(&path, key),
            Level::List { index } => format!("{path}[{index}]"),
        });
        whole.trim_start_matches('.').to_owned()
    }
}

impl Level<'_> {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "filter hands a reference to a reference")]
    fn awaits_key(self: &&mut Self) -> bool {
        matches!(self, Self::Object { is_key_next: true, .. })
    }
}

/// Behind the closing quote of the string whose content begins at `at`.
fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}
