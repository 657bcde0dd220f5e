//! The result that the work left in its file: JSON, else text. Where it cannot be kept as it was left, says so.

use serde::de::IgnoredAny;
use serde_json::Value;
use task_manager_api::exact::{Loss, loss};

/// The longest result that a task keeps: the kubelet's own limit on a termination message, of which it reads the end …
pub const RESULT_BYTES: usize = 4096;
/// … and on those of a whole pod: the first so many bytes of each are kept, in equal shares.
const RESULT_BYTES_OF_A_POD: usize = 3 * RESULT_BYTES;

/// The kubelet's mark in the place of bytes that are no UTF-8.
const NO_UTF8: char = '\u{fffd}';
const CUT: &str = "the result filled all the room there was (4096 bytes, less in a pod of many containers), so only a \
    part of it may be kept, as text: hand over a longer one with PUT /worker/v1/result";
const DAMAGED: &str = "the result is damaged: it holds U+FFFD, which the kubelet puts in the place of bytes that are no UTF-8 \
    (unless the work wrote it): write UTF-8, or hand over bytes with PUT /worker/v1/result";

/// The content of the result file, as a status keeps it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeftResult {
    pub value: Value,
    /// It filled all the room there was, and only a part of it may be left.
    pub truncated: bool,
    /// It is JSON that the API server would change, and `value` is its text.
    pub as_text: Option<Loss>,
    pub damaged: bool,
}

impl LeftResult {
    /// Reads what was left in a pod of so many containers.
    pub fn of(left: &str, containers: usize) -> Self {
        let is_full = left.len() >= RESULT_BYTES.min(RESULT_BYTES_OF_A_POD / containers.max(1));
        let text = |text: &str| Value::String(text.to_owned());
        if !is_json(left, is_full) {
            return Self {
                value: text(left.trim_end_matches('\n')),
                truncated: is_full,
                as_text: None,
                damaged: is_damaged(left, is_full),
            };
        }
        let as_text = loss(left);
        // One that loses nothing can be read.
        let value = serde_json::from_str(left).ok().filter(|_| as_text.is_none());
        let value = value.unwrap_or_else(|| text(left));
        Self { value, truncated: false, as_text, damaged: is_damaged(left, false) }
    }

    /// A sentence about what is not as the work left it.
    pub fn remark(&self) -> Option<String> {
        let as_text = self.as_text.as_ref().map(|loss| {
            let path = if loss.path.is_empty() { String::new() } else { format!("{}: ", loss.path) };
            format!("the result is kept as text, as it was written ({path}{loss})")
        });
        let cut = self.truncated.then(|| CUT.to_owned());
        let damaged = self.damaged.then(|| DAMAGED.to_owned());
        let remarks: Vec<String> = [cut, as_text, damaged].into_iter().flatten().collect();
        (!remarks.is_empty()).then(|| remarks.join("; "))
    }
}

/// Whether it is JSON, and all of it. The end of a longer number reads as a number, too.
fn is_json(left: &str, is_full: bool) -> bool {
    let may_be_cut = is_full && !left.trim_start().starts_with(['{', '[', '"']);
    !may_be_cut && serde_json::from_str::<IgnoredAny>(left).is_ok()
}

/// Where it was cut in the middle of a character, the mark at its edge says nothing more.
fn is_damaged(left: &str, is_cut: bool) -> bool {
    let inner = if is_cut { left.trim_matches(NO_UTF8) } else { left };
    inner.contains(NO_UTF8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_result_is_json_or_text_and_says_when_it_was_cut_off() {
        let long = "x".repeat(RESULT_BYTES);
        let digits = "7".repeat(RESULT_BYTES);
        let exact = format!("\"{}\"", "x".repeat(RESULT_BYTES - 2));
        for (left, value, truncated) in [
            (r#"{"pages": 10}"#, json!({"pages": 10}), false),
            ("[1, 2]\n", json!([1, 2]), false),
            ("42", json!(42), false),
            ("null", json!(null), false),
            ("done, 10 pages\n", json!("done, 10 pages"), false),
            (r#"{"pages": "#, json!(r#"{"pages": "#), false),
            (long.as_str(), json!(long), true),
            (digits.as_str(), json!(digits), true),
            (exact.as_str(), json!("x".repeat(RESULT_BYTES - 2)), false),
        ] {
            let read = LeftResult { value, truncated, ..LeftResult::default() };
            assert_eq!(LeftResult::of(left, 3), read, "{} bytes", left.len());
        }
    }

    #[test]
    fn a_pod_of_many_containers_has_less_room_for_each_result() {
        for (containers, room) in [(0, 4096), (1, 4096), (3, 4096), (4, 3072), (5, 2457), (20, 614)] {
            let is_cut = |bytes: usize| LeftResult::of(&"x".repeat(bytes), containers).truncated;
            assert!(!is_cut(room - 1) && is_cut(room), "{containers} containers");
        }
    }

    #[test]
    fn json_that_would_be_changed_is_kept_as_the_text_that_it_was() {
        let deep = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
        for (left, words) in [
            ("{\"id\":18446744073709551615}\n", "(id: the number 18446744073709551615 would come back as 1844674"),
            ("[0.12345678901234567890]", "[0]: the number"),
            ("1e400", "the number 1e400 is larger"),
            ("{\"a\":1, \"a\":2}", "comes twice"),
            ("\"\\ud800\"", "surrogate"),
            ("-0.0", "would come back as 0"),
            (&deep, "deeper"),
        ] {
            let read = LeftResult::of(left, 1);
            assert_eq!(
                (&read.value, read.truncated, read.as_text.is_some()),
                (&json!(left), false, true),
                "{left:.40}"
            );
            assert!(read.remark().is_some_and(|remark| remark.contains(words)), "{left:.40}: {:?}", read.remark());
        }
    }

    #[test]
    fn a_result_that_holds_the_mark_of_no_utf8_is_damaged() {
        let cut = format!("\u{fffd}{}", "ä".repeat(RESULT_BYTES / 2));
        for (left, damaged) in [
            ("caf\u{fffd}", true),
            ("{\"name\": \"caf\u{fffd}\"}", true),
            ("\u{fffd}", true),
            (r#"{"name": "\ufffd"}"#, false),
            ("café", false),
            (&cut, false),
            (&format!("{cut}\u{fffd}ä"), true),
        ] {
            let read = LeftResult::of(left, 1);
            assert_eq!(read.damaged, damaged, "{left:.40}");
            assert_eq!(read.remark().is_some_and(|remark| remark.contains("damaged")), damaged, "{left:.40}");
        }
    }
}
