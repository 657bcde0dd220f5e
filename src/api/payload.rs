//! The payload of a task, whole or without its content.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::exact::{Fault, Loss, LossKind};
use super::{exact, schema};

/// The largest payload that a type can allow, in bytes as compact JSON. A larger one can never run, so it is only counted.
pub const LARGEST: usize = 131_072;

/// The payload of a task: any JSON object.
///
/// The operator's caches keep only its size. The content is read again from the API server for a launch or a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    Whole(Map<String, Value>),
    /// The content was dropped, was never read because nothing so large can run, or is nested too deeply to be read;
    /// `bytes` is its size as compact JSON.
    Measured {
        bytes: usize,
        fault: Option<Box<Fault>>,
    },
}

impl Payload {
    /// The size in bytes as compact JSON, which is the unit of limits on payloads.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Whole(content) => serde_json::to_string(content).map_or(0, |json| json.len()),
            Self::Measured { bytes, .. } => *bytes,
        }
    }

    /// The fault for which the work would be given something else than was written.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Whole(content) => exact::fault(content),
            Self::Measured { fault, .. } => fault.as_deref().cloned(),
        }
    }

    /// It is larger than any type can allow: nobody has its content.
    pub fn is_too_large(&self) -> bool {
        self.bytes() > LARGEST
    }

    /// The same payload without its content.
    pub fn measured(&self) -> Self {
        Self::Measured { bytes: self.bytes(), fault: self.fault().map(Box::new) }
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
        let text = Box::<RawValue>::deserialize(deserializer)?;
        if text.get().len() > LARGEST && text.get().starts_with('{') {
            let bytes = exact::compact_bytes(text.get());
            if bytes > LARGEST {
                return Ok(Self::Measured { bytes, fault: None });
            }
        }
        match serde_json::from_str(text.get()) {
            Ok(content) => Ok(Self::Whole(content)),
            // Its task is told so, instead of being unreadable as a whole.
            Err(_) if matches!(exact::loss(text.get()), Some(Loss { kind: LossKind::Depth, .. })) => {
                Ok(Self::Measured { bytes: text.get().len(), fault: Some(Box::new(Fault::Depth)) })
            }
            Err(error) => Err(D::Error::custom(error)),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_payload_that_is_nested_too_deeply_is_read_as_that() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
        let payload: Payload = serde_json::from_str(&deep).expect("it can be read");
        assert_eq!((payload.bytes(), payload.fault()), (deep.len(), Some(Fault::Depth)));
        assert_eq!(payload.measured(), payload);
        assert!(serde_json::from_str::<Payload>("[1]").is_err(), "a payload is an object");
    }

    #[test]
    fn a_payload_that_no_type_can_allow_is_counted_and_not_read() {
        let of = |letters: usize| format!("{{ \"a\": \"{}\" }}", "\\u003c".repeat(letters));
        let whole: Payload = serde_json::from_str(&of(LARGEST - 8)).expect("it can be read");
        assert_eq!((whole.bytes(), whole.is_too_large()), (LARGEST, false));
        assert!(matches!(whole, Payload::Whole(_)), "its text was longer, for its escapes");
        let counted: Payload = serde_json::from_str(&of(LARGEST - 7)).expect("it can be read");
        assert_eq!(counted, Payload::Measured { bytes: LARGEST + 1, fault: None });
        assert!(counted.is_too_large());
    }

    #[test]
    fn a_payload_is_read_from_text_and_from_values() {
        let content = json!({"b": [1.5, "x"], "a": null});
        let of_text: Payload = serde_json::from_str(&content.to_string()).expect("an object");
        assert_eq!(Some(of_text), serde_json::from_value(content).ok());
    }
}
