//! Generates objects that a schema accepts, extreme and odd ones included, as if written by somebody who read only
//! the definition. It does not know rules in CEL.

use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::string::string_regex;
use serde_json::{Map, Value, json};

/// The most items of lists and maps, and the greatest depth of free JSON.
const MOST_ITEMS: usize = 4;
const DEPTH: u32 = 4;

/// Values for some fields, by the field's name, instead of arbitrary ones.
pub type Instead = Arc<dyn Fn(&str) -> Option<BoxedStrategy<Value>>>;

/// Values that `schema`, of a CustomResourceDefinition, accepts.
pub fn of_schema(schema: &Value, instead: &Instead) -> BoxedStrategy<Value> {
    let value = not_null(schema, instead);
    if schema["nullable"] == true { prop_oneof![9 => value, 1 => Just(Value::Null)].boxed() } else { value }
}

fn not_null(schema: &Value, instead: &Instead) -> BoxedStrategy<Value> {
    if let Some(words) = schema["enum"].as_array() {
        return select(words.clone()).boxed();
    }
    if schema["x-kubernetes-int-or-string"] == true {
        return quantity();
    }
    match schema["type"].as_str() {
        Some("object") if schema["x-kubernetes-preserve-unknown-fields"] == true => any_object(),
        Some("object") => object(schema, instead),
        Some("array") => {
            let least = schema["minItems"].as_u64().unwrap_or_default() as usize;
            let most = schema["maxItems"].as_u64().map_or(MOST_ITEMS, |most| MOST_ITEMS.min(most as usize));
            vec(of_schema(&schema["items"], instead), least..=most.max(least)).prop_map(Value::Array).boxed()
        }
        Some("string") => string(schema),
        Some("integer") => integer(schema),
        Some("number") => number(schema),
        Some("boolean") => any::<bool>().prop_map(Value::Bool).boxed(),
        _ => any_json(),
    }
}

fn object(schema: &Value, instead: &Instead) -> BoxedStrategy<Value> {
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        let keys =
            prop_oneof![4 => select(vec!["cpu", "memory", "nvidia.com/gpu"]).prop_map(str::to_owned), 1 => text()];
        let entries = btree_map(keys, of_schema(values, instead), 0..=MOST_ITEMS);
        return entries.prop_map(|entries| Value::Object(entries.into_iter().collect())).boxed();
    }
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let fields = schema["properties"].as_object().into_iter().flatten().map(|(name, field)| {
        let value = instead(name).unwrap_or_else(|| of_schema(field, instead));
        let value = if required.contains(&name.as_str()) {
            value.prop_map(Some).boxed()
        } else {
            option::weighted(0.4, value).boxed()
        };
        (Just(name.clone()), value)
    });
    let whole = |fields: Vec<(String, Option<Value>)>| {
        Value::Object(fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    };
    fields.collect::<Vec<_>>().prop_map(whole).boxed()
}

fn integer(schema: &Value) -> BoxedStrategy<Value> {
    let (low, high) = match schema["format"].as_str() {
        Some("int32") => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN, i64::MAX),
    };
    let bound = |name: &str| schema[name].as_f64().map(|bound| bound as i64);
    let (low, high) = (bound("minimum").unwrap_or(low), bound("maximum").unwrap_or(high));
    let small = 3.clamp(low, high);
    prop_oneof![3 => low..=high, 1 => Just(low), 1 => Just(high), 3 => low..=small.max(low)]
        .prop_map(Value::from)
        .boxed()
}

fn number(schema: &Value) -> BoxedStrategy<Value> {
    let bound = |name: &str| schema[name].as_f64();
    let (low, high) = (bound("minimum").unwrap_or(-1e300), bound("maximum").unwrap_or(1e300));
    let whole = Just(low as i64);
    prop_oneof![(low..=high).prop_map(Value::from), Just(Value::from(high)), whole.prop_map(Value::from)].boxed()
}

/// Times that the API server takes, some of which few programs can read.
const TIMES: [&str; 8] = [
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00.123456Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "2016-12-31T23:59:60Z",
    "2026-01-01T00:00:00+14:00",
    "2026-01-01T24:00:00Z",
    "2026-02-29T00:00:00Z",
];

fn string(schema: &Value) -> BoxedStrategy<Value> {
    let most = schema["maxLength"].as_u64().map_or(300, |most| most as usize);
    let least = schema["minLength"].as_u64().unwrap_or_default() as usize;
    if schema["format"] == "date-time" {
        return select(TIMES.to_vec()).prop_map(Value::from).boxed();
    }
    let of_pattern = schema["pattern"].as_str().and_then(|pattern| string_regex(pattern.trim_matches(['^', '$'])).ok());
    let texts = of_pattern.map_or_else(text, Strategy::boxed);
    let fitting = texts.prop_map(move |text| text.chars().take(most).collect::<String>());
    let fitting = fitting.prop_map(move |text| if text.chars().count() < least { "x".repeat(least) } else { text });
    fitting.prop_map(Value::from).boxed()
}

const QUANTITIES: [&str; 16] = [
    "0",
    "1",
    "500m",
    "1.5",
    "1Gi",
    "3Ki",
    "1e3",
    "1E3",
    "9223372036854775807",
    "9Ei",
    "1e18",
    "0.0000000001",
    "100n",
    "+1",
    "00012",
    ".5",
];

fn quantity() -> BoxedStrategy<Value> {
    prop_oneof![
        6 => select(QUANTITIES.to_vec()).prop_map(Value::from),
        2 => (0..=i64::MAX).prop_map(Value::from),
        2 => (0..100i64).prop_map(Value::from),
        1 => "[0-9a-zA-Z.+-]{0,32}".prop_map(Value::from),
    ]
    .boxed()
}

/// Texts that have broken programs before.
const TEXTS: [&str; 12] = [
    "",
    " ",
    "a",
    "default",
    "$(SECRET)",
    "$$(SECRET)",
    "../../etc",
    "ünï-çødé",
    "\u{0}\u{7f}\u{2028}",
    "🦀🦀🦀",
    "null",
    "{\"error\": {}}",
];

/// Texts of every kind.
pub fn text() -> BoxedStrategy<String> {
    prop_oneof![
        3 => select(TEXTS.to_vec()).prop_map(str::to_owned),
        3 => "[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?",
        2 => any::<String>(),
        1 => "[a-z.]{200,260}",
    ]
    .boxed()
}

pub fn any_json() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e300..1e300f64).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(DEPTH, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            btree_map(text(), inner, 0..6).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
    .boxed()
}

pub fn any_object() -> BoxedStrategy<Value> {
    btree_map(text(), any_json(), 0..6).prop_map(|fields| Value::Object(fields.into_iter().collect())).boxed()
}

/// `whole` with some parts missing or replaced.
pub fn damaged(whole: Value) -> BoxedStrategy<Value> {
    let scars = vec((any::<prop::sample::Index>(), option::of(any_json())), 0..4);
    scars
        .prop_map(move |scars| {
            let mut damaged = whole.clone();
            for (place, instead) in scars {
                damage(&mut damaged, &place, instead);
            }
            damaged
        })
        .boxed()
}

fn damage(value: &mut Value, place: &prop::sample::Index, instead: Option<Value>) {
    let mut places = vec![];
    pointers(value, String::new(), &mut places);
    let pointer = place.get(&places).clone();
    match instead {
        Some(instead) => *value.pointer_mut(&pointer).expect("a place") = instead,
        None => remove(value, &pointer),
    }
}

fn remove(value: &mut Value, pointer: &str) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    match value.pointer_mut(parent).expect("a place") {
        Value::Object(fields) => drop(fields.remove(&name.replace("~1", "/").replace("~0", "~"))),
        Value::Array(items) => drop(items.remove(name.parse().expect("a number"))),
        _ => {}
    }
}

fn pointers(value: &Value, at: String, places: &mut Vec<String>) {
    places.push(at.clone());
    let inner = |name: &str| format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| pointers(value, inner(name), places)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| pointers(value, inner(&index.to_string()), places))
        }
        _ => {}
    }
}

/// A pod template that can be used.
pub fn template() -> Value {
    json!({"metadata": {"labels": {"team": "docs"}}, "spec": {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 3,
        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}],
        "initContainers": [{"name": "fetch", "image": "busybox", "command": ["true"], "restartPolicy": "Always",
            "resources": {"requests": {"cpu": "100m"}}}],
        "containers": [{"name": "work", "image": "busybox", "command": ["sh", "-c", "true"],
            "env": [{"name": "A", "value": "$(B)"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
            "resources": {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"memory": "128Mi", "nvidia.com/gpu": 1}}}],
    }})
}

/// The schema of one kind, from its own definition.
pub fn schema_of(kind: &str) -> Map<String, Value> {
    let crds = task_manager::api::crds();
    let crd = crds.iter().find(|crd| crd.spec.names.kind == kind).expect("a kind of ours");
    let schema = serde_json::to_value(&crd.spec.versions[0].schema).expect("JSON");
    schema["openAPIV3Schema"]["properties"].as_object().expect("properties").clone()
}
