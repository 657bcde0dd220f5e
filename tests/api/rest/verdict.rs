//! A body is accepted or refused over REST exactly as the same manifest is by the API server. Left out is what
//! REST refuses by itself: what a schema cannot see, and numbers that would lose digits.

use std::sync::Arc;

use harness::arbitrary::{Instead, damaged, of_schema, schema_of};
use harness::*;
use hyper::Request;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::served_and_held;
use crate::stage::manifest;

const BODIES: usize = 400;
/// So many of each verdict at least: else nothing was shown.
const OF_EACH: usize = 40;
const OWN_REFUSALS: [&str; 6] =
    ["unknown-type", "unknown-queue", "above-maximum", "larger-than-queue", "payload-too-large", "number-too-long"];
/// What only a manifest can say.
const NOT_OVER_REST: [&str; 5] = ["suspend", "cancel", "runId", "once", "chunk"];

/// Specs of all kinds, many of them wrong somewhere.
fn specs() -> impl Strategy<Value = Value> {
    let instead: Instead = Arc::new(|field| match field {
        "type" => Some(select(vec!["work", "document-processing"]).prop_map(Value::from).boxed()),
        "queue" => Some(prop_oneof![4 => Just("default"), 1 => Just("nobody")].prop_map(Value::from).boxed()),
        _ => None,
    });
    let mut schema = schema_of("Task").get("spec").cloned().expect("a spec");
    let fields = schema["properties"].as_object_mut().expect("fields");
    NOT_OVER_REST.iter().for_each(|field| drop(fields.remove(*field)));
    let whole = of_schema(&schema, &instead);
    prop_oneof![2 => whole.clone(), 3 => whole.prop_flat_map(damaged)]
}

/// The body that stands for a spec.
fn body(spec: &Value) -> Value {
    let Some(fields) = spec.as_object() else { return spec.clone() };
    let renamed = fields.iter().map(|(name, value)| {
        let value = if name == "retry" || name == "batch" { snake_fields(value) } else { value.clone() };
        (snake(name), value)
    });
    Value::Object(renamed.collect())
}

fn snake_fields(value: &Value) -> Value {
    let Some(fields) = value.as_object() else { return value.clone() };
    Value::Object(fields.iter().map(|(name, value)| (snake(name), value.clone())).collect())
}

fn snake(name: &str) -> String {
    match name {
        "type" => "task_type".into(),
        "ttlSecondsAfterFinished" => "ttl_seconds".into(),
        _ => name
            .chars()
            .flat_map(|c| if c.is_ascii_uppercase() { vec!['_', c.to_ascii_lowercase()] } else { vec![c] })
            .collect(),
    }
}

/// What the API server says to the manifest: `None` when it takes it.
async fn of_the_api_server(ns: &Namespace, spec: &Value) -> Option<String> {
    let uri = format!("/apis/taskmanager.dev/v1alpha1/namespaces/{}/tasks?dryRun=All&fieldValidation=Strict", ns.name);
    let text = manifest("Task", "verdict", spec.clone()).to_string();
    let request = Request::post(uri).header("content-type", "application/json").body(text.into_bytes());
    match ns.client.request::<Value>(request.expect("a request")).await {
        Ok(_) => None,
        Err(kube::Error::Api(status)) => Some(status.message),
        Err(error) => panic!("no answer: {error}"),
    }
}

#[tokio::test]
async fn a_body_is_judged_as_its_manifest_is() {
    in_namespace("rest-verdict", async |ns| {
        ns.create(&task_type("document-processing")).await;
        let (_operator, rest) = served_and_held(&ns).await;
        let mut runner = TestRunner::default();
        let (mut taken, mut refused, mut own) = (0, 0, 0);
        for _ in 0..BODIES {
            let spec = specs().new_tree(&mut runner).expect("a spec").current();
            let body = body(&spec);
            let answer = rest.post("/api/v1/tasks", &body).await;
            if answer.status != 202 && OWN_REFUSALS.contains(&answer.problem().0.as_str()) {
                own += 1;
                continue;
            }
            let verdict = of_the_api_server(&ns, &spec).await;
            let alike = matches!((answer.status, &verdict), (202, None) | (400..=499, Some(_)));
            assert!(
                alike,
                "REST says {} {}\nthe API server says {verdict:?}\nof {body}\nand  {spec}",
                answer.status, answer.text
            );
            if verdict.is_none() { taken += 1 } else { refused += 1 }
        }
        println!("{taken} were taken by both, {refused} refused by both, {own} by REST alone");
        assert!(taken >= OF_EACH && refused >= OF_EACH, "{taken} taken, {refused} refused");
    })
    .await;
}

#[tokio::test]
async fn rest_takes_every_field_of_a_spec_that_is_not_for_manifests_alone() {
    in_namespace("rest-fields", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let schema = schema_of("Task");
        let fields = schema["spec"]["properties"].as_object().expect("fields");
        let [retry, batch] = ["retry", "batch"].map(|name| fields[name]["properties"].as_object().expect("fields"));
        // Null is as good as absent, for each that is known.
        let of = |fields: &serde_json::Map<String, Value>| -> Value {
            let known = fields.keys().filter(|name| !NOT_OVER_REST.contains(&name.as_str()));
            Value::Object(known.map(|name| (snake(name), Value::Null)).collect())
        };
        let mut whole = of(fields);
        whole["task_type"] = json!("work");
        whole["retry"] = of(retry);
        whole["batch"] = of(batch);
        whole["batch"]["count"] = json!(1);
        rest.submit(&whole).await;
    })
    .await;
}
