//! The manifest that a submission stands for, and the names and digests by which the API server decides who was first.

use serde_json::{Map, Value, json};

use crate::core::digest::sha256_hex;
use crate::serving::problem::{Problem, ProblemType};

/// Hexadecimal digits of a name that a key stands for.
const KEY_DIGITS: usize = 40;

/// The digest of a request: the same for the same submission, however it is written.
pub fn digest(spec: &Value) -> String {
    // Objects are sorted, and numbers are settled.
    sha256_hex(spec.to_string())
}

/// The name that a key stands for, so that the API server decides who was first.
pub fn name_of_key(namespace: &str, key: &str) -> String {
    format!("rest-{}", &sha256_hex(format!("{namespace}/{key}"))[..KEY_DIGITS])
}

/// A number that nobody else draws, in hexadecimal digits.
pub fn draw() -> Result<String, Problem> {
    let drawn = getrandom::u64().map_err(|error| {
        tracing::error!(%error, "failed to draw random bytes");
        ProblemType::Busy.because("no number could be drawn for the task; send it again in a moment")
    })?;
    Ok(format!("{drawn:016x}"))
}

/// A name that nobody has, and that does not stand in the way of better words about what else is wrong.
pub fn new_name(kind: &str) -> Result<String, Problem> {
    let drawn = draw()?;
    let stem: String =
        kind.chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-').take(40).collect();
    let stem = stem.trim_matches('-');
    Ok(format!("{}-{drawn}", if stem.is_empty() { "task" } else { stem }))
}

/// The fields that are there.
pub fn present(fields: Value) -> Value {
    let Value::Object(mut fields) = fields else { return fields };
    fields.retain(|_, value| !value.is_null());
    Value::Object(fields)
}

/// The whole manifest, with annotations of ours.
pub fn manifest<'a>(
    namespace: &str,
    name: &str,
    spec: Value,
    annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Value {
    let annotations: Map<String, Value> =
        annotations.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let annotations = (!annotations.is_empty()).then_some(annotations);
    let metadata = present(json!({"namespace": namespace, "name": name, "annotations": annotations}));
    json!({"apiVersion": format!("{}/{}", crate::api::GROUP, crate::api::VERSION), "kind": "Task",
        "metadata": metadata, "spec": spec})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::submit::submission::Submission;

    #[test]
    fn a_digest_is_of_what_is_meant() {
        let digest_of = |text: &str| digest(&Submission::read(text).expect(text).spec());
        let one = digest_of(r#"{"task_type": "a_b", "payload": {"x": 1, "y": [2.0]}, "timeout_seconds": 5}"#);
        assert_eq!(one, digest_of(r#"{"timeout_seconds": 5.0, "payload": {"y": [2], "x": 1}, "task_type": "a-b"}"#));
        assert_ne!(one, digest_of(r#"{"task_type": "a_b", "payload": {"x": 2, "y": [2]}, "timeout_seconds": 5}"#));
    }

    #[test]
    fn a_key_stands_for_one_name_in_each_namespace() {
        assert_eq!(name_of_key("a", "k"), name_of_key("a", "k"));
        assert_ne!(name_of_key("a", "k"), name_of_key("b", "k"));
    }

    #[test]
    fn names_are_new_and_fit() {
        let kind = "a".repeat(300);
        let name = |kind: &str| new_name(kind).expect("random bytes");
        assert_ne!(name(&kind), name(&kind));
        assert!(name(&kind).len() < 63);
        assert!(name("-.Ü").starts_with("task-"));
    }
}
