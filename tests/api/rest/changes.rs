//! Changing a task that is not finished.

use harness::*;
use hyper::Method;
use serde_json::{Value, json};

use super::{body_with, served, served_and_full, served_and_held, status_when};
use crate::stage::started;

async fn patch(rest: &Rest, id: &str, headers: &[(&str, &str)], change: Value) -> Answer {
    let json = [("content-type", "application/merge-patch+json")];
    let headers = [&json[..], headers].concat();
    rest.send(Method::PATCH, &format!("/api/v1/tasks/{id}"), &headers, Some(change.to_string())).await
}

#[tokio::test]
async fn a_task_that_waits_is_changed_at_once_and_null_takes_back() {
    in_namespace("rest-change", async |ns| {
        let (_node, _operator, rest) = served_and_full(&ns).await;
        let ahead = rest.submit(&body_with(json!({}))).await;
        let more = json!({"name": "one", "timeout_seconds": 60, "retry": {"limit": 1, "initial_seconds": 5},
            "resources": {"limits": {"memory": "64Mi", "cpu": "1"}}, "start_after": "2020-01-01T00:00:00Z"});
        let id = rest.submit(&body_with(more)).await;
        let change = json!({"priority": "high", "timeout_seconds": null, "deadline_seconds": 900,
            "retry": {"limit": 7, "initial_seconds": null}, "resources": {"limits": {"memory": "128Mi", "cpu": null}},
            "start_after": null, "ttl_seconds": 5});
        let answer = patch(&rest, &id, &[], change).await;
        let told = answer.json();
        assert_eq!((answer.status, &told["priority"], &told["queue_position"]), (200, &json!("high"), &json!(1)));
        assert!(answer.header("etag").is_some());
        assert_eq!(rest.status(&ahead).await["queue_position"], 2);
        let spec = serde_json::to_value(ns.task("one").await.spec).expect("JSON");
        assert_eq!(
            (&spec["retry"], &spec["resources"]),
            (&json!({"limit": 7}), &json!({"limits": {"memory": "128Mi"}}))
        );
        assert_eq!((&spec["deadlineSeconds"], &spec["ttlSecondsAfterFinished"]), (&json!(900), &json!(5)));
        assert!(spec.get("timeoutSeconds").is_none() && spec.get("startAfter").is_none(), "{spec}");

        let suspended = patch(&rest, &id, &[], json!({"suspend": true, "ttl_seconds": null})).await;
        assert_eq!((suspended.status, suspended.json().get("queue_position")), (200, None), "{}", suspended.text);
        assert_eq!(ns.task("one").await.spec.ttl_seconds_after_finished, Some(3600), "the default of a submission");
        let json = [("content-type", "application/json")];
        let path = format!("/api/v1/tasks/{id}");
        let again = rest.send(Method::PATCH, &path, &json, Some(r#"{"suspend": null}"#.into())).await;
        assert_eq!((again.status, &again.json()["queue_position"]), (200, &json!(1)));
        let before = ns.task("one").await.metadata.generation;
        assert_eq!(patch(&rest, &id, &[], json!({})).await.status, 200);
        assert_eq!(ns.task("one").await.metadata.generation, before, "nothing changed, nothing is written");
    })
    .await;
}

#[tokio::test]
async fn a_wrong_change_is_refused_with_the_field_and_the_remedy() {
    in_namespace("rest-change-wrong", async |ns| {
        ns.create(&task_type("narrow").with(|spec| {
            spec.maximum = serde_json::from_value(json!({"priority": "high", "timeoutSeconds": 600, "retryLimit": 5,
                "resources": {"memory": "1Gi"}}))
            .expect("a maximum");
        }))
        .await;
        let (_operator, rest) = served_and_held(&ns).await;
        let id = rest.submit(&body_with(json!({"task_type": "narrow", "name": "one"}))).await;
        let before = ns.task("one").await.metadata.generation;
        for (change, status, kind, field) in [
            (json!({"payload": {"a": 2}}), 422, "invalid", "payload"),
            (json!({"queue": "other"}), 422, "invalid", "queue"),
            (json!({"task_type": "work"}), 422, "invalid", "task_type"),
            (json!({"kb_id": "x"}), 422, "invalid", "kb_id"),
            (json!({"cancel": true}), 422, "invalid", "cancel"),
            (json!({"colour": "red"}), 422, "invalid", "colour"),
            (json!({"priority": "urgent"}), 422, "invalid", "priority"),
            (json!({"suspend": "yes"}), 422, "invalid", "suspend"),
            (json!({"start_after": "tomorrow"}), 422, "invalid", "start_after"),
            (json!({"timeout_seconds": 0}), 422, "invalid", "timeout_seconds"),
            (json!({"retry": {"limit": -1}}), 422, "invalid", "retry.limit"),
            (json!({"retry": {"maxSeconds": 1}}), 422, "invalid", "retry.maxSeconds"),
            (json!({"resources": {"limits": {"cpu": "lots"}}}), 422, "invalid", "resources.limits.cpu"),
            (json!({"resources": [1]}), 422, "invalid", "resources"),
            (json!({"priority": "critical"}), 422, "above-maximum", "priority"),
            (json!({"timeout_seconds": 601}), 422, "above-maximum", "timeout_seconds"),
            (json!({"retry": {"limit": 6}}), 422, "above-maximum", "retry.limit"),
            (json!({"resources": {"limits": {"memory": "2Gi"}}}), 422, "above-maximum", "resources.limits.memory"),
        ] {
            let answer = patch(&rest, &id, &[], change.clone()).await;
            let told = answer.problem();
            assert_eq!((answer.status, told), (status, (kind.into(), Some(field.into()))), "{change}: {}", answer.text);
        }
        let payload = patch(&rest, &id, &[], json!({"payload": {}})).await.json();
        assert!(payload["detail"].as_str().is_some_and(|told| told.contains("replay it")), "{payload}");
        assert_eq!(ns.task("one").await.metadata.generation, before, "nothing was written");
        let path = format!("/api/v1/tasks/{id}");
        let text = rest.send(Method::PATCH, &path, &[("content-type", "text/plain")], Some("{}".into())).await;
        assert_eq!((text.status, text.problem().0.as_str()), (415, "media-type"));
        let nobody = patch(&rest, "00000000-0000-0000-0000-000000000000", &[], json!({"priority": "low"})).await;
        assert_eq!((nobody.status, nobody.problem().0.as_str()), (404, "unknown-task"));
    })
    .await;
}

#[tokio::test]
async fn a_task_that_runs_can_be_changed_and_one_that_is_finished_cannot() {
    in_namespace("rest-change-late", async |ns| {
        let (node, _operator, rest) = served(&ns).await;
        node.script("one", [Outcome::Hold, Outcome::exit(1)]);
        let id = rest.submit(&body_with(json!({"name": "one"}))).await;
        started(&node, "one", 1).await;
        let answer = patch(&rest, &id, &[], json!({"retry": {"limit": 0}})).await;
        assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("processing")), "{}", answer.text);
        node.end("one", Outcome::exit(1));
        status_when(&rest, &id, "failed").await;
        let late = patch(&rest, &id, &[], json!({"priority": "high"})).await;
        assert_eq!((late.status, late.problem().0.as_str()), (409, "finished"));
        assert!(late.text.contains("replay it"), "{}", late.text);
    })
    .await;
}

#[tokio::test]
async fn a_change_that_names_a_status_is_made_to_no_other() {
    in_namespace("rest-change-match", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let id = rest.submit(&body_with(json!({"name": "one"}))).await;
        let seen = rest.get(&format!("/api/v1/tasks/{id}/status")).await;
        let tag = seen.header("etag").expect("an ETag");
        let first = patch(&rest, &id, &[("if-match", tag)], json!({"priority": "high"})).await;
        assert_eq!(first.status, 200, "{}", first.text);
        let late = patch(&rest, &id, &[("if-match", tag)], json!({"priority": "low"})).await;
        assert_eq!((late.status, late.problem().0.as_str()), (412, "not-as-matched"));
        // The operator writes to the task too.
        eventually("it is changed as it was looked at", SOON, async || {
            let seen = rest.get(&format!("/api/v1/tasks/{id}/status")).await;
            let tag = seen.header("etag").expect("an ETag").to_owned();
            let answer = patch(&rest, &id, &[("if-match", &tag)], json!({"priority": "low"})).await;
            (answer.status == 200).then_some(())
        })
        .await;
        assert_eq!(rest.status(&id).await["priority"], "low");
    })
    .await;
}

#[tokio::test]
async fn changes_that_meet_one_another_are_all_made() {
    in_namespace("rest-change-race", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let id = rest.submit(&body_with(json!({"name": "one"}))).await;
        let changes = (0..20).map(|number| match number % 4 {
            0 => json!({"priority": "high"}),
            1 => json!({"timeout_seconds": 77}),
            2 => json!({"retry": {"limit": 9}}),
            _ => json!({"retry": {"max_seconds": 99}}),
        });
        let answers = futures::future::join_all(changes.map(|change| patch(&rest, &id, &[], change))).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        let spec = serde_json::to_value(ns.task("one").await.spec).expect("JSON");
        assert_eq!((&spec["priority"], &spec["timeoutSeconds"]), (&json!("high"), &json!(77)));
        assert_eq!(spec["retry"], json!({"limit": 9, "maxSeconds": 99}));
    })
    .await;
}
