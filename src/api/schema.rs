//! Schemas and decoders that several resources share.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{NEVER, read_time};

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

/// Times that a person writes, as RFC 3339 has them: `date-time` alone lets in an offset of 99 hours, and texts behind the
/// time.
pub(super) fn written_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time", "pattern": WRITTEN_TIME })
}

const WRITTEN_TIME: &str =
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$";

/// Reads a time before which nothing may happen. One that cannot be read is never over: the API server also accepts a list
/// where a string has a format, and older definitions more.
pub(super) fn time_to_wait_for<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    let written = Value::deserialize(deserializer)?;
    let read = |text: &str| read_time(text).unwrap_or(NEVER);
    Ok((!written.is_null()).then(|| Time(written.as_str().map_or(NEVER, read))))
}

/// Reads a time of a status. One that cannot be read counts as absent, so that one odd date does not make the whole object
/// unreadable.
pub(super) fn lenient_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_str().and_then(read_time).map(Time))
}

pub(super) fn lenient_micro_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<MicroTime>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_str().and_then(read_time).map(MicroTime))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{NEVER, Task};

    #[test]
    fn a_start_time_that_cannot_be_read_is_never_over() {
        let read = |time: serde_json::Value| {
            let task = json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task", "metadata": {"name": "t"},
                "spec": {"type": "w", "startAfter": time}, "status": {"startedAt": time}});
            let task: Task = serde_json::from_value(task).expect("it can be read");
            (task.spec.start_after.map(|time| time.0), task.status.and_then(|status| status.started_at))
        };
        for odd in [json!([[1, null]]), json!([]), json!("tomorrow"), json!({}), json!(7)] {
            assert_eq!(read(odd.clone()), (Some(NEVER), None), "{odd}");
        }
        assert_eq!(read(json!(null)), (None, None));
        let (start, started) = read(json!("2026-01-01T00:00:00.123456789012Z"));
        assert!(start.is_some_and(|start| start < NEVER) && started.is_some());
    }
}
