//! Reads what failed work left in its result file: an error that it reports, or its last words.

use serde_json::Value;

use super::Reported;
use crate::telling::text;

pub(super) fn reported(left: &str) -> Option<Reported> {
    let left: Value = serde_json::from_str(left).ok()?;
    let error = left.get("error")?.as_object()?;
    let text = |key: &str| error.get(key).and_then(Value::as_str).map(str::to_owned);
    Some(Reported {
        type_: text("type"),
        message: text("message"),
        retryable: error.get("retryable").and_then(Value::as_bool),
    })
}

const BRIEF: usize = 200;

/// The last line. Where it begins in the middle of a character, the kubelet has cut off what came before.
pub(super) fn brief(left: &str) -> String {
    let line = left.trim().lines().next_back().unwrap_or_default();
    text::cut(line.trim_start_matches('\u{fffd}'), BRIEF)
}
