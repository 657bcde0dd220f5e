//! Cancelling over REST.

use std::collections::BTreeMap;

use harness::*;
use hyper::Method;
use serde_json::{Value, json};

use super::{body, body_with, served, served_and_held, status_when};
use crate::stage::started;

async fn cancel(rest: &Rest, id: &str) -> Answer {
    rest.send(Method::POST, &format!("/api/v1/tasks/{id}/cancel"), &[], None).await
}

#[tokio::test]
async fn a_task_that_waits_is_cancelled() {
    in_namespace("rest-cancel", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let id = rest.submit(&body()).await;
        let answer = cancel(&rest, &id).await;
        assert_eq!((answer.status, answer.task_id()), (202, id.clone()));
        status_when(&rest, &id, "cancelled").await;
        let result = rest.get(&format!("/api/v1/tasks/{id}/result")).await.json();
        assert_eq!((&result["status"], result["error"]["reason"].is_string()), (&json!("cancelled"), true));
        let again = cancel(&rest, &id).await;
        assert_eq!((again.status, &again.json()["status"]), (200, &json!("cancelled")));
    })
    .await;
}

#[tokio::test]
async fn a_task_that_runs_is_cancelled_and_one_that_is_done_stays_as_it_is() {
    in_namespace("rest-cancel-run", async |ns| {
        let (node, _operator, rest) = served(&ns).await;
        let done = rest.submit(&body()).await;
        status_when(&rest, &done, "completed").await;
        let answer = cancel(&rest, &done).await;
        assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("completed")));
        node.script("runs", [Outcome::Hold]);
        let id = rest.submit(&body_with(json!({"name": "runs"}))).await;
        started(&node, "runs", 1).await;
        status_when(&rest, &id, "processing").await;
        assert_eq!(cancel(&rest, &id).await.status, 202);
        status_when(&rest, &id, "cancelled").await;
        assert_eq!(rest.status(&done).await["status"], "completed");
    })
    .await;
}

async fn cancel_many(rest: &Rest, body: Value) -> Value {
    let answer = rest.post("/api/v1/tasks/cancel", &body).await;
    assert_eq!(answer.status, 200, "{body}: {}", answer.text);
    answer.json()
}

fn outcomes(told: &Value) -> BTreeMap<&str, &str> {
    let results = told["results"].as_array().expect("results").iter();
    results
        .map(|item| (item["task_id"].as_str().expect("an id"), item["outcome"].as_str().unwrap_or_default()))
        .collect()
}

#[tokio::test]
async fn many_are_cancelled_by_a_filter_and_a_dry_run_says_which() {
    in_namespace("rest-cancel-many", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let mut of_a = vec![];
        for _ in 0..3 {
            of_a.push(rest.submit(&body_with(json!({"kb_id": "a"}))).await);
        }
        let of_b = rest.submit(&body_with(json!({"kb_id": "b", "priority": "high"}))).await;
        let told = cancel_many(&rest, json!({"kb_id": "a", "dry_run": true, "limit": 2})).await;
        assert_eq!((&told["matched"], &told["cancelled"], &told["dry_run"]), (&json!(3), &json!(0), &json!(true)));
        assert!(outcomes(&told).values().all(|outcome| outcome.is_empty()) && outcomes(&told).len() == 2, "{told}");
        let cursor = told["next_cursor"].clone();
        let rest_of_it = cancel_many(&rest, json!({"kb_id": "a", "dry_run": true, "cursor": cursor})).await;
        assert_eq!((outcomes(&rest_of_it).len(), rest_of_it.get("next_cursor")), (1, None));
        for id in &of_a {
            assert_eq!(rest.status(id).await["status"], "queued", "a dry run changes nothing");
        }

        let told = cancel_many(&rest, json!({"kb_id": "a", "status": "queued", "task_type": "work", "limit": 2})).await;
        assert_eq!(
            (&told["matched"], &told["cancelled"], &told["failed"]),
            (&json!(3), &json!(2), &json!(0)),
            "{told}"
        );
        assert!(told["next_cursor"].is_string(), "and more remain: {told}");
        let told = cancel_many(&rest, json!({"kb_id": "a"})).await;
        assert_eq!(
            (&told["matched"], &told["cancelled"], told.get("next_cursor")),
            (&json!(1), &json!(1), None),
            "{told}"
        );
        for id in &of_a {
            status_when(&rest, id, "cancelled").await;
        }
        assert_eq!(rest.status(&of_b).await["status"], "queued");
        assert_eq!(cancel_many(&rest, json!({"priority": "high", "namespace": ns.name})).await["cancelled"], 1);
        status_when(&rest, &of_b, "cancelled").await;
    })
    .await;
}

#[tokio::test]
async fn a_filter_that_means_everything_must_say_so() {
    in_namespace("rest-cancel-all", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let id = rest.submit(&body()).await;
        for body in [json!({}), json!({"dry_run": true}), json!({"limit": 5}), json!({"all": false})] {
            let answer = rest.post("/api/v1/tasks/cancel", &body).await;
            assert_eq!((answer.status, answer.problem()), (422, ("invalid".into(), Some("all".into()))), "{body}");
        }
        for (body, field) in [
            (json!({"task_ids": []}), "task_ids"),
            (json!({"all": true, "limit": 0}), "limit"),
            (json!({"task_ids": [id], "limit": 0}), "limit"),
            (json!({"all": true, "cursor": "x"}), "cursor"),
            (json!({"colour": "red"}), "colour"),
            (json!({"status": "done"}), "status"),
        ] {
            let answer = rest.post("/api/v1/tasks/cancel", &body).await;
            assert_eq!((answer.status, answer.problem()), (422, ("invalid".into(), Some(field.into()))), "{body}");
        }
        let elsewhere = rest.post("/api/v1/tasks/cancel", &json!({"namespace": "kube-system"})).await;
        assert_eq!((elsewhere.status, elsewhere.problem().0.as_str()), (404, "unknown-namespace"));
        assert_eq!(rest.status(&id).await["status"], "queued");
        assert_eq!(cancel_many(&rest, json!({"all": true})).await["cancelled"], 1);
        status_when(&rest, &id, "cancelled").await;
    })
    .await;
}

#[tokio::test]
async fn tasks_that_are_named_are_told_each_with_its_outcome() {
    in_namespace("rest-cancel-ids", async |ns| {
        let (node, _operator, rest) = served(&ns).await;
        let done = rest.submit(&body()).await;
        status_when(&rest, &done, "completed").await;
        node.script("runs", [Outcome::Hold]);
        let runs = rest.submit(&body_with(json!({"name": "runs"}))).await;
        started(&node, "runs", 1).await;
        let other = rest.submit(&body_with(json!({"kb_id": "other", "start_after": "2100-01-01T00:00:00Z"}))).await;
        let nobody = "00000000-0000-0000-0000-000000000000";
        let ids = json!([done, runs, other, nobody, runs]);
        let told = cancel_many(&rest, json!({"task_ids": ids, "kb_id": "kb-1"})).await;
        let expected = [(&*done, "already_final"), (&*runs, "cancelled"), (nobody, "failed")];
        assert_eq!(outcomes(&told), BTreeMap::from(expected), "{told}");
        let counts = ["matched", "cancelled", "already_final", "failed"].map(|name| told[name].as_u64());
        assert_eq!(counts, [Some(2), Some(1), Some(1), Some(1)]);
        let failed = told["results"].as_array().expect("results").iter().find(|item| item["task_id"] == nobody);
        assert_eq!(failed.map(|item| &item["problem"]["type"]), Some(&json!("/problems/unknown-task")));
        status_when(&rest, &runs, "cancelled").await;
        assert_eq!(rest.status(&other).await["status"], "queued", "the filters hold too");
    })
    .await;
}
