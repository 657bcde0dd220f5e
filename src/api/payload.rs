//! The payload of a task, whole or without its content.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::schema;

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

    /// The same payload without its content.
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

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schema::any_object(generator)
    }
}
