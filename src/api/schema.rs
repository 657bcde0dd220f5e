//! Schemas and decoders that several resources share, and the type of the payload.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// The payload of a task: any JSON object.
///
/// The operator's caches keep only its size. The content is read again from the API server for a launch or a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    Whole(Map<String, Value>),
    /// The content was dropped; `bytes` is its size as compact JSON.
    Measured {
        bytes: usize,
    },
}

impl Payload {
    /// The size in bytes as compact JSON, which is the unit of limits on payloads.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Whole(content) => serde_json::to_string(content).map_or(0, |json| json.len()),
            Self::Measured { bytes } => *bytes,
        }
    }

    pub fn measured(&self) -> Self {
        Self::Measured { bytes: self.bytes() }
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Whole(content) => content.serialize(serializer),
            Self::Measured { .. } => {
                Err(serde::ser::Error::custom("a payload whose content was dropped cannot be written"))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer).map(Self::Whole)
    }
}

impl JsonSchema for Payload {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Payload".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        any_object_schema()
    }
}

fn any_object_schema() -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "x-kubernetes-map-type": "atomic",
    })
}

pub(super) fn any_object(_: &mut SchemaGenerator) -> Schema {
    any_object_schema()
}

pub(super) fn any_value(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}

/// The schema of a word from a list that may grow: an operator newer than the installed definitions may write a new
/// one.
pub(super) fn word(_: &mut SchemaGenerator) -> Schema {
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
