//! The fields of a template that the API server leaves out of its answer without a word, because a feature gate of it is
//! off. A field that came back with another value is not told: a webhook may have changed it.

use std::cmp::Reverse;

use serde_json::Value;

/// Fields by which an item of a list is found again.
const KEYS: [&str; 6] = ["name", "mountPath", "devicePath", "containerPort", "key", "ip"];

/// Of longer lists without keys nothing is told: how many pairs of items are compared.
const COMPARED: usize = 10_000;

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
        (Value::Array(sent), Value::Array(answered)) => of_list(sent, answered, path),
        _ => vec![],
    }
}

/// So many fields are named.
const TOLD: usize = 5;

/// The sentence about fields that somebody drops; `None` where there are none.
pub fn told(mut fields: Vec<String>, who: &str) -> Option<String> {
    let more = fields.len().saturating_sub(TOLD);
    fields.truncate(TOLD);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!fields.is_empty()).then(|| {
        format!(
            "{who} drops {}{more} without a word, usually because a feature gate of it is off; remove it, or have it switched on",
            fields.join(", ")
        )
    })
}

/// The fields that were dropped of the items of a list. Others may have put items of theirs anywhere among them.
fn of_list(sent: &[Value], answered: &[Value], path: &str) -> Vec<String> {
    let objects = sent.iter().enumerate().filter(|(_, item)| item.is_object());
    let (keyed, others): (Vec<_>, Vec<_>) = objects.partition(|(_, item)| keys_of(item).next().is_some());
    let place = |index: usize| format!("{path}[{index}]");
    let of_keyed = keyed.into_iter().map(|(index, item)| (index, by_key(item, answered, &place(index))));
    let mut dropped: Vec<_> = of_keyed.chain(by_content(&others, answered, place)).collect();
    dropped.sort_by_key(|(index, _)| *index);
    dropped.into_iter().flat_map(|(_, fields)| fields).collect()
}

fn keys_of(item: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
    KEYS.into_iter().filter_map(|key| Some((key, item.get(key).filter(|value| !is_empty(value))?)))
}

/// Nothing where one of the items that may be the same still has all.
fn by_key(item: &Value, answered: &[Value], path: &str) -> Vec<String> {
    let is_same = |other: &&Value| keys_of(item).all(|(key, value)| other.get(key) == Some(value));
    let dropped = answered.iter().filter(is_same).map(|other| fields(item, other, path)).min_by_key(Vec::len);
    dropped.unwrap_or_else(|| vec![path.to_owned()])
}

/// Items that nothing names are found again by what is in them, each answered one once: those first that agree best.
fn by_content(
    items: &[(usize, &Value)],
    answered: &[Value],
    place: impl Fn(usize) -> String,
) -> Vec<(usize, Vec<String>)> {
    if items.len().saturating_mul(answered.len()) > COMPARED {
        return vec![];
    }
    let mut pairs: Vec<_> = items
        .iter()
        .enumerate()
        .flat_map(|(number, (index, item))| {
            let path = place(*index);
            let pair = move |(at, other)| (number, at, fields(item, other, &path), agreeing(item, other));
            answered.iter().enumerate().filter(|(_, other)| other.is_object()).map(pair)
        })
        .collect();
    pairs.sort_by_key(|(number, at, dropped, agreeing)| (Reverse(*agreeing), dropped.len(), *number, *at));
    let mut found: Vec<Option<Vec<String>>> = vec![None; items.len()];
    let mut taken = vec![false; answered.len()];
    for (number, at, dropped, _) in pairs {
        if found[number].is_none() && !taken[at] {
            (found[number], taken[at]) = (Some(dropped), true);
        }
    }
    let told = items.iter().zip(found);
    told.map(|((index, _), dropped)| (*index, dropped.unwrap_or_else(|| vec![place(*index)]))).collect()
}

/// How many values below are the same in both.
fn agreeing(one: &Value, other: &Value) -> usize {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.iter().filter_map(|(key, value)| Some(agreeing(value, other.get(key)?))).sum()
        }
        (Value::Array(one), Value::Array(other)) => one.iter().filter(|item| other.contains(item)).count(),
        _ => usize::from(one == other),
    }
}

/// The API server leaves such values out where they say what is the default.
pub fn is_empty(value: &Value) -> bool {
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
    fn items_without_a_key_are_found_again_by_what_is_in_them() {
        let toleration =
            |seconds: i64| json!({"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
        let injected = json!({"operator": "Exists", "effect": "NoSchedule"});
        let sent = json!({"tolerations": [toleration(60), toleration(90)]});
        assert!(dropped(sent.clone(), json!({"tolerations": [injected, toleration(60), toleration(90)]})).is_empty());
        let without = json!({"operator": "Exists", "effect": "NoExecute"});
        assert_eq!(
            dropped(sent.clone(), json!({"tolerations": [injected, without, toleration(90)]})),
            ["spec.tolerations[0].tolerationSeconds"]
        );
        assert_eq!(
            dropped(sent, json!({"tolerations": [injected, toleration(90)]})),
            ["spec.tolerations[0].tolerationSeconds"]
        );
        let from = |name: &str| json!({"configMapRef": {"name": name}});
        let sent = json!({"envFrom": [from("a"), from("b")]});
        assert!(
            dropped(sent.clone(), json!({"envFrom": [{"secretRef": {"name": "s"}}, from("a"), from("b")]})).is_empty()
        );
        assert_eq!(dropped(sent, json!({"envFrom": [from("b")]})), ["spec.envFrom[0]"]);
    }

    #[test]
    fn lists_without_keys_that_are_very_long_are_not_compared() {
        let list = |length: usize| json!({"list": vec![json!({"a": 1}); length]});
        assert!(dropped(list(1000), list(900)).is_empty());
    }

    #[test]
    fn other_values_and_what_is_empty_are_not_told() {
        let sent = json!({"a": 1, "off": false, "none": null, "zero": 0, "blank": "", "map": {}, "list": [], "args": ["x", "y"],
            "sizeLimit": 1_000_000});
        assert!(dropped(sent, json!({"a": 2, "args": ["x"], "sizeLimit": "1M"})).is_empty());
    }
}
