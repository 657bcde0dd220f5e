//! Many submissions in one request.

use std::collections::BTreeSet;
use std::time::Instant;

use harness::*;
use hyper::Method;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::{body, body_with, served_and_held};

const BULK: &str = "/api/v1/tasks/bulk";

#[tokio::test]
async fn a_thousand_are_taken_in_one_request() {
    in_namespace("rest-bulk", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let tasks: Vec<Value> = (0..1000).map(|number| body_with(json!({"payload": {"number": number}}))).collect();
        let began = Instant::now();
        let answer = rest.post(BULK, &json!({"tasks": tasks})).await;
        println!("1,000 tasks were taken in {:?}", began.elapsed());
        assert_eq!(answer.status, 207, "{}", answer.text);
        let answer = answer.json();
        let results = answer["results"].as_array().expect("results");
        let ids: BTreeSet<&str> = results.iter().filter_map(|one| one["task_id"].as_str()).collect();
        assert_eq!((results.len(), ids.len()), (1000, 1000));
        assert!(results.iter().enumerate().all(|(number, one)| one["index"] == number));
        let ids: Vec<&str> = ids.into_iter().collect();
        let statuses = rest.post("/api/v1/tasks/status", &json!({"task_ids": ids})).await.json();
        assert_eq!(statuses["statuses"].as_array().expect("a list").len(), 1000);
    })
    .await;
}

#[tokio::test]
async fn a_bad_item_harms_no_other() {
    in_namespace("rest-bulk-bad", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let text = format!(
            r#"{{"tasks": [{good}, {{"task_type": "nobody"}}, 7, {good}, {{"task_type": "work", "nope": 1}},
                {{"task_type": "work", "payload": {{"n": 99999999999999999999}}}},
                {{"task_type": "work", "payload": {{}}, "name": "n"}}, {{"task_type": "work", "payload": {{}}, "name": "n"}}]}}"#,
            good = body()
        );
        let json = [("content-type", "application/json")];
        let answer = rest.send(Method::POST, BULK, &json, Some(text)).await;
        assert_eq!(answer.status, 207, "{}", answer.text);
        let answer = answer.json();
        let outcomes: Vec<String> = answer["results"].as_array().expect("results").iter().map(|one| {
            one["problem"]["type"].as_str().unwrap_or(if one["task_id"].is_string() { "taken" } else { "?" }).to_owned()
        }).collect();
        assert_eq!(outcomes[..6], ["taken", "/problems/unknown-type", "/problems/invalid", "taken", "/problems/invalid", "/problems/number-too-long"]);
        let mut named = outcomes[6..].to_vec();
        named.sort();
        assert_eq!(named, ["/problems/exists", "taken"]);
        assert_eq!(ns.tasks().list(&ListParams::default()).await.expect("tasks").items.len(), 3);
    })
    .await;
}

#[tokio::test]
async fn an_item_may_have_a_key() {
    in_namespace("rest-bulk-key", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let keyed = |key: Value| body_with(json!({"idempotency_key": key}));
        let bulk = json!({"tasks": [keyed(json!("one")), keyed(json!("one")), keyed(json!("two")), keyed(json!("a b")), keyed(json!(7))]});
        let first = rest.post(BULK, &bulk).await.json();
        let again = rest.post(BULK, &bulk).await.json();
        assert_eq!(first, again);
        let id = |number: usize| first["results"][number]["task_id"].as_str().map(str::to_owned);
        assert!(id(0).is_some() && id(0) == id(1) && id(2).is_some() && id(0) != id(2));
        for number in [3, 4] {
            assert_eq!(first["results"][number]["problem"]["field"], "idempotency_key");
        }
        let single = rest.post_with("/api/v1/tasks", &[("idempotency-key", "one")], &body()).await;
        assert_eq!(Some(single.task_id()), id(0), "it is the same key as a single one's");
        assert_eq!(ns.tasks().list(&ListParams::default()).await.expect("tasks").items.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn too_many_and_none_are_refused() {
    in_namespace("rest-bulk-bounds", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        for (bulk, field) in [
            (json!({"tasks": []}), Some("tasks")),
            (json!({"tasks": vec![body(); 1001]}), Some("tasks")),
            (json!({"tasks": "all"}), Some("tasks")),
            (json!({}), Some("tasks")),
            (json!([]), None),
            (json!({"tasks": [], "more": 1}), Some("more")),
        ] {
            let answer = rest.post(BULK, &bulk).await;
            assert_eq!((answer.status, answer.problem()), (422, ("invalid".into(), field.map(str::to_owned))));
        }
        assert_eq!(ns.tasks().list(&ListParams::default()).await.expect("tasks").items.len(), 0);
    })
    .await;
}
