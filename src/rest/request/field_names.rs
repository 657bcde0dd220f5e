//! The names of fields: as a manifest has them, and as REST has them, in paths and in the API server's sentences.

use serde_json::{Map, Value};

/// A type as it is called in the cluster: an underscore cannot be in its name, and is what services write.
pub fn type_name(told: &str) -> String {
    told.replace('_', "-")
}

/// A path in a manifest as a path in a body: "spec.retry.maxSeconds" is "retry.max_seconds".
pub fn field(path: &str) -> String {
    let path = path.strip_prefix("spec.").or_else(|| path.strip_prefix("metadata.")).unwrap_or(path);
    // A key of a map stands in brackets there.
    let path = path.replace('[', ".").replace(']', "");
    let (first, rest) = path.split_at(path.find('.').unwrap_or(path.len()));
    match first {
        "type" => "task_type".into(),
        "ttlSecondsAfterFinished" => "ttl_seconds".into(),
        // Names within these are the client's own.
        "payload" | "resources" => path,
        _ => format!("{}{}", snake(first), snake(rest)),
    }
}

/// The spec of a task as the body of its submission.
pub fn body(spec: Map<String, Value>) -> Map<String, Value> {
    let nested = |name: &str, value: Value| match value {
        // Names within the other objects are the client's own, or the same.
        Value::Object(fields) if name == "retry" || name == "batch" => body(fields).into(),
        value => value,
    };
    spec.into_iter().map(|(name, value)| (field(&name), nested(&name, value))).collect()
}

fn snake(camel: &str) -> String {
    let mut snake = String::with_capacity(camel.len() + 4);
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// A sentence about a manifest as a sentence about a body.
pub fn sentence(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("spec.") {
        let (before, path) = rest.split_at(at);
        told.push_str(before);
        let end = path.find(|c: char| !(c.is_ascii_alphanumeric() || ".[]_-/".contains(c))).unwrap_or(path.len());
        let (path, behind) = path.split_at(end);
        let bare = path.trim_end_matches('.');
        told.push_str(&field(bare));
        told.push_str(&path[bare.len()..]);
        rest = behind;
    }
    told.push_str(rest);
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_are_told_as_a_client_wrote_them() {
        for (path, told) in [
            ("spec.timeoutSeconds", "timeout_seconds"),
            ("spec.retry.oomMemoryFactor", "retry.oom_memory_factor"),
            ("spec.type", "task_type"),
            ("spec.ttlSecondsAfterFinished", "ttl_seconds"),
            ("spec.resources.limits.nvidia.com/GPU", "resources.limits.nvidia.com/GPU"),
            ("spec.resources.requests[cpu]", "resources.requests.cpu"),
            ("metadata.name", "name"),
            ("spec.kbId", "kb_id"),
        ] {
            assert_eq!(field(path), told);
        }
    }

    #[test]
    fn a_spec_is_told_as_the_body_that_it_came_from() {
        let spec = json!({"type": "t", "kbId": "k", "retry": {"maxSeconds": 7}, "payload": {"aB": 1},
            "resources": {"limits": {"cpu": "1"}}, "ttlSecondsAfterFinished": 5});
        let told = json!({"task_type": "t", "kb_id": "k", "retry": {"max_seconds": 7}, "payload": {"aB": 1},
            "resources": {"limits": {"cpu": "1"}}, "ttl_seconds": 5});
        assert_eq!(Value::Object(body(spec.as_object().expect("an object").clone())), told);
    }

    #[test]
    fn sentences_speak_of_the_body() {
        assert_eq!(
            sentence("Invalid value: -1: spec.timeoutSeconds in body should be at least 1, see spec.retry."),
            "Invalid value: -1: timeout_seconds in body should be at least 1, see retry."
        );
    }
}
