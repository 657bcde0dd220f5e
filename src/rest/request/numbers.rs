//! Numbers as Kubernetes keeps them: one that is whole is written as an integer, as the API server stores it, and one that
//! would come back as another is refused.

use serde::de::IgnoredAny;
use serde_json::{Number, Value};

use crate::api::exact::{LossKind, loss};
use crate::serving::problem::{Problem, ProblemType};

/// Refuses a JSON text of which Kubernetes would keep something else than was written. A text that is no JSON is not judged.
pub fn exact(text: &str) -> Result<(), Problem> {
    let Some(loss) = loss(text) else { return Ok(()) };
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Ok(());
    }
    let problem = match loss.kind {
        LossKind::Number { .. } => ProblemType::NumberTooLong.because(format!("{loss}{}", advice(&loss.path))),
        LossKind::Twice => ProblemType::Invalid.because(loss.to_string()),
        LossKind::Depth => ProblemType::Invalid.because(format!("{loss}: put what is inside into a store of yours")),
        LossKind::Surrogate => ProblemType::Invalid.because(format!("{loss}: write whole characters")),
    };
    // One that is too deep is in a field of the first levels; the rest of its path says nothing.
    let field =
        if loss.kind == LossKind::Depth { loss.path.split(['.', '[']).next().unwrap_or_default() } else { &loss.path };
    Err(if field.is_empty() { problem } else { problem.at(field) })
}

/// Only a payload may hold a string in the place of a number.
fn advice(path: &str) -> &'static str {
    let is_of_a_payload = path.split(['.', '[']).any(|part| part == "payload" || part == "metadata");
    if is_of_a_payload { ": write it as a string" } else { ": it is out of the range of this field" }
}

/// Writes 125.0 as 125, everywhere.
pub fn settle(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = whole(number) {
                *number = whole.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(settle),
        Value::Object(fields) => fields.values_mut().for_each(settle),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Floats above this are not known to the last digit.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn whole(number: &Number) -> Option<i64> {
    let float = number.as_f64().filter(|_| number.is_f64())?;
    (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_would_come_back_as_something_else_is_refused_with_its_field() {
        for (text, kind, field, words) in [
            (
                r#"{"payload": {"a": [9223372036854775808]}}"#,
                ProblemType::NumberTooLong,
                "payload.a[0]",
                "come back as 9223372036854776000: write it as a string",
            ),
            (r#"{"payload": {"a": 1e400}}"#, ProblemType::NumberTooLong, "payload.a", "larger than the largest"),
            (r#"{"payload": {"a": 1, "a": 2}}"#, ProblemType::Invalid, "payload.a", "duplicate field \"payload.a\""),
            (r#"{"payload": {"a": "\udfff"}}"#, ProblemType::Invalid, "payload.a", "surrogate"),
        ] {
            let problem = exact(text).expect_err(text);
            assert!(problem.is(kind) && problem.detail.contains(words), "{problem:?}");
            assert_eq!(problem.field.as_deref(), Some(field));
        }
        let deep = format!(r#"{{"payload": {{"a": {}{}}}}}"#, "[".repeat(500), "]".repeat(500));
        assert_eq!(exact(&deep).expect_err("deep").field.as_deref(), Some("payload"));
        assert_eq!((exact(r#"{"a": 1e400"#), exact(r#"{"a": [1e300, 0.1, "9223372036854775808"]}"#)), (Ok(()), Ok(())));
    }

    #[test]
    fn whole_numbers_are_integers() {
        let mut value = json!({"a": [125.0, 1.5, -3.0, 1e300], "b": {"c": 1e3}});
        settle(&mut value);
        assert_eq!(value.to_string(), r#"{"a":[125,1.5,-3,1e+300],"b":{"c":1000}}"#);
    }
}
