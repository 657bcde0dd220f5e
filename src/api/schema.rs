//! Schemas and decoders that several resources share.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Any object, which the API server stores as it is and replaces as a whole.
pub(super) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "x-kubernetes-map-type": "atomic",
    })
}

pub(super) fn any_value(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}

/// The schema of a word from a list that may grow: an operator newer than the installed definitions may write a new
/// one.
pub(super) fn open_enum(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 64, "pattern": "^[A-Za-z]*$" })
}

pub(super) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

/// Reads a time. One that Kubernetes accepts and this program cannot read counts as absent, so that one odd date does
/// not make the whole object unreadable. The API server also accepts a list where a string has a format.
pub(super) fn lenient_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_str().and_then(|text| text.parse().ok().map(Time)))
}

pub(super) fn lenient_micro_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<MicroTime>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_str().and_then(|text| text.parse().ok().map(MicroTime)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::Task;

    #[test]
    fn what_is_no_time_is_read_as_absent() {
        let read = |time: serde_json::Value| {
            let task = json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task", "metadata": {"name": "t"},
                "spec": {"type": "w", "startAfter": time}, "status": {"startedAt": time}});
            serde_json::from_value::<Task>(task).expect("it can be read").spec
        };
        for odd in [json!([[1, null]]), json!([]), json!("tomorrow"), json!(null), json!({}), json!(7)] {
            assert_eq!(read(odd.clone()).start_after, None, "{odd}");
        }
        assert!(read(json!("2026-01-01T00:00:00Z")).start_after.is_some());
    }
}
