//! Changes fields of a JSON object in place. A field that is absent or null is made.

use serde_json::{Map, Value};

pub type Object = Map<String, Value>;

/// Changes the object `field` of `parent`.
pub fn object(parent: &mut Object, field: &str, change: impl FnOnce(&mut Object)) {
    let mut inner = match parent.remove(field) {
        Some(Value::Object(inner)) => inner,
        _ => Object::new(),
    };
    change(&mut inner);
    parent.insert(field.into(), Value::Object(inner));
}

/// Changes the list `field` of `parent`.
pub fn list(parent: &mut Object, field: &str, change: impl FnOnce(&mut Vec<Value>)) {
    let mut inner = match parent.remove(field) {
        Some(Value::Array(inner)) => inner,
        _ => vec![],
    };
    change(&mut inner);
    parent.insert(field.into(), Value::Array(inner));
}

/// The field is there and not null.
pub fn is_set(object: &Object, field: &str) -> bool {
    object.get(field).is_some_and(|value| !value.is_null())
}
