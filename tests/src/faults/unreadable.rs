//! Makes objects unreadable for the operator's types, contrary to their schema.

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;
use serde_json::Value;

use super::layer::{Answer, whole};

/// The answer, in which no task of this name can be read.
pub(super) async fn spoil(answer: Answer, name: &str) -> Answer {
    let (head, body) = answer?.into_parts();
    let text = body.collect().await?.to_bytes();
    Ok(Response::from_parts(head, whole(spoiled(&text, name))))
}

/// The same object, list or event of a watch, in which no task of this name can be read.
pub(super) fn spoiled(text: &[u8], name: &str) -> Bytes {
    let Ok(mut value) = serde_json::from_slice::<Value>(text) else { return Bytes::copy_from_slice(text) };
    let event_type = value["type"].clone();
    if let Some(items) = value.get_mut("items").and_then(Value::as_array_mut) {
        items.iter_mut().for_each(|item| spoil_object(item, name));
    } else if let Some(object) = value.get_mut("object") {
        spoil_object(object, name);
        // The API server says first what happened, and is read in that order.
        return format!("{{\"type\":{},\"object\":{object}}}\n", event_type).into();
    } else {
        spoil_object(&mut value, name);
    }
    format!("{value}\n").into()
}

fn spoil_object(object: &mut Value, name: &str) {
    let is_it = object.pointer("/metadata/name").and_then(Value::as_str) == Some(name);
    // Requests for metadata alone have no spec.
    if let Some(kind) = object.pointer_mut("/spec/type").filter(|_| is_it) {
        *kind = 7.into();
    }
}
