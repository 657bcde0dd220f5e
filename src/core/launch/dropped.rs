//! The fields of a template that the API server leaves out of its answer without a word, because a feature gate of it is
//! off. A field that came back with another value is not told: a webhook may have changed it.

use serde_json::Value;

/// Fields by which an item of a list is found again.
const KEYS: [&str; 6] = ["name", "mountPath", "devicePath", "containerPort", "key", "ip"];

/// The paths of the fields of `sent` that are not in `answered`.
pub fn fields(sent: &Value, answered: &Value, path: &str) -> Vec<String> {
    match (sent, answered) {
        (Value::Object(sent), Value::Object(answered)) => {
            let set = sent.iter().filter(|(_, value)| !is_empty(value));
            set.flat_map(|(key, value)| {
                let path = format!("{path}.{key}");
                answered.get(key).map_or_else(|| vec![path.clone()], |inner| fields(value, inner, &path))
            })
            .collect()
        }
        (Value::Array(sent), Value::Array(answered)) => {
            let objects = sent.iter().enumerate().filter(|(_, item)| item.is_object());
            objects.flat_map(|(index, item)| of_item(item, index, answered, &format!("{path}[{index}]"))).collect()
        }
        _ => vec![],
    }
}

/// The fields that were dropped of an item of a list: nothing where one of the items that may be the same still has all.
fn of_item(item: &Value, index: usize, answered: &[Value], path: &str) -> Vec<String> {
    let keys: Vec<_> =
        KEYS.iter().filter_map(|key| Some((key, item.get(key).filter(|value| !is_empty(value))?))).collect();
    let is_same = |other: &&Value| keys.iter().all(|(key, value)| other.get(key) == Some(value));
    let candidates: Vec<_> = match keys.is_empty() {
        true => answered.get(index).into_iter().collect(),
        false => answered.iter().filter(is_same).collect(),
    };
    let dropped = candidates.into_iter().map(|other| fields(item, other, path)).min_by_key(Vec::len);
    dropped.unwrap_or_else(|| vec![path.to_owned()])
}

/// The API server leaves such values out where they say what is the default.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        Value::Bool(true) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn dropped(sent: Value, answered: Value) -> Vec<String> {
        fields(&sent, &answered, "spec")
    }

    #[test]
    fn a_field_that_did_not_come_back_is_named() {
        let sent =
            json!({"containers": [{"name": "work", "lifecycle": {"stopSignal": "SIGUSR1"}}], "hostnameOverride": "h"});
        let answered = json!({"containers": [{"name": "injected"}, {"name": "work", "image": "x"}]});
        assert_eq!(dropped(sent, answered), ["spec.containers[0].lifecycle", "spec.hostnameOverride"]);
    }

    #[test]
    fn an_item_that_did_not_come_back_is_named() {
        let sent = json!({"volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}]});
        let answered = json!({"volumeMounts": [{"name": "v", "mountPath": "/a"}]});
        assert_eq!(dropped(sent, answered), ["spec.volumeMounts[1]"]);
    }

    #[test]
    fn other_values_and_what_is_empty_are_not_told() {
        let sent = json!({"a": 1, "off": false, "none": null, "zero": 0, "blank": "", "map": {}, "list": [], "args": ["x", "y"],
            "sizeLimit": 1_000_000});
        assert!(dropped(sent, json!({"a": 2, "args": ["x"], "sizeLimit": "1M"})).is_empty());
    }
}
