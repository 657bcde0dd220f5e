//! Wrong input of every kind is answered with a problem that says what to write.

use harness::*;
use hyper::Method;
use serde_json::{Value, json};

use super::{body, body_with, served_and_held};

const TASKS: &str = "/api/v1/tasks";
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// Posts each body, and wants each refused with its status, kind and field.
async fn all_refused(rest: &Rest, cases: Vec<(Value, u16, &str, Option<&str>)>) {
    for (body, status, kind, field) in cases {
        let answer = rest.post(TASKS, &body).await;
        let told = answer.problem();
        assert_eq!((answer.status, told.0.as_str(), told.1.as_deref()), (status, kind, field), "{body}: {answer:?}");
    }
}

#[tokio::test]
async fn a_wrong_submission_is_refused_with_the_field_as_it_was_written() {
    in_namespace("rest-wrong", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let wrong = |more: Value, field: &'static str| (body_with(more), 422, "invalid", Some(field));
        all_refused(
            &rest,
            vec![
                (json!({}), 422, "invalid", Some("task_type")),
                (json!([]), 422, "invalid", None),
                (json!("text"), 422, "invalid", None),
                (json!({"task_type": null}), 422, "invalid", Some("task_type")),
                (json!({"task_type": 7}), 422, "invalid", Some("task_type")),
                wrong(json!({"tasktype": "work"}), "tasktype"),
                wrong(json!({"payload": "text"}), "payload"),
                wrong(json!({"payload": [1]}), "payload"),
                wrong(json!({"priority": "urgent"}), "priority"),
                wrong(json!({"priority": 1}), "priority"),
                wrong(json!({"kb_id": "x".repeat(254)}), "kb_id"),
                wrong(json!({"queue": ""}), "queue"),
                wrong(json!({"timeout_seconds": 0}), "timeout_seconds"),
                wrong(json!({"timeout_seconds": 1.5}), "timeout_seconds"),
                wrong(json!({"timeout_seconds": "10m"}), "timeout_seconds"),
                wrong(json!({"timeout_seconds": 604_801}), "timeout_seconds"),
                wrong(json!({"deadline_seconds": -1}), "deadline_seconds"),
                wrong(json!({"retry": {"limit": 101}}), "retry.limit"),
                wrong(json!({"retry": {"max_seconds": -1}}), "retry.max_seconds"),
                wrong(json!({"retry": {"maxSeconds": 1}}), "retry.maxSeconds"),
                wrong(json!({"retry": 3}), "retry"),
                wrong(json!({"retry": [3, 10, 2, 300, 20, 1]}), "retry"),
                wrong(json!({"retry": {"limit": [3]}}), "retry.limit"),
                wrong(json!({"retry": {"factor": {"by": 2}}}), "retry.factor.by"),
                wrong(json!({"resources": [{}, {}]}), "resources"),
                wrong(json!({"resources": {"limits": ["1Gi"]}}), "resources.limits"),
                wrong(json!({"resources": {"limits": {"memory": ["1Gi"]}}}), "resources.limits.memory"),
                wrong(json!({"resources": {"limits": {"memory": {"most": "1Gi"}}}}), "resources.limits.memory.most"),
                wrong(json!({"resources": {"requests": {"cpu": "lots"}}}), "resources.requests.cpu"),
                wrong(json!({"resources": {"claims": []}}), "resources.claims"),
                wrong(json!({"start_after": "tomorrow"}), "start_after"),
                wrong(json!({"ttl_seconds": -1}), "ttl_seconds"),
                wrong(json!({"name": "No Name"}), "name"),
                wrong(json!({"name": 7}), "name"),
                wrong(json!({"namespace": 7}), "namespace"),
                wrong(json!({"idempotency_key": "k"}), "idempotency_key"),
            ],
        )
        .await;
        let made = ns.tasks().list(&kube::api::ListParams::default()).await.expect("tasks").items;
        assert!(made.is_empty(), "{made:?}");
        let negative = rest.post(TASKS, &body_with(json!({"resources": {"limits": {"memory": "-5Mi"}}}))).await.json();
        let told = "resources.limits.memory: write a quantity that is not negative, such as 500m, 2 or 1Gi, in place of \"-5Mi\"";
        assert_eq!(negative["detail"], told);
    })
    .await;
}

#[tokio::test]
async fn what_the_type_does_not_allow_is_refused_at_once() {
    in_namespace("rest-maximum", async |ns| {
        let kind = task_type("narrow").with(|spec| {
            spec.maximum = serde_json::from_value(json!({"priority": "high", "timeoutSeconds": 600, "retryLimit": 5,
                "payloadBytes": 64, "resources": {"memory": "1Gi"}}))
            .expect("a maximum");
        });
        ns.create(&kind).await;
        let (_operator, rest) = served_and_held(&ns).await;
        let narrow = |more: Value| {
            body_with(json!({"task_type": "narrow"})).as_object().map_or(Value::Null, |body| {
                Value::Object(body.clone().into_iter().chain(more.as_object().cloned().unwrap_or_default()).collect())
            })
        };
        let above = |more: Value, field: &'static str| (narrow(more), 422, "above-maximum", Some(field));
        all_refused(
            &rest,
            vec![
                (body_with(json!({"task_type": "nobody"})), 422, "unknown-type", Some("task_type")),
                (body_with(json!({"task_type": "No Type"})), 422, "unknown-type", Some("task_type")),
                (
                    narrow(json!({"resources": {"limits": {"memory": "lots"}}})),
                    422,
                    "invalid",
                    Some("resources.limits.memory"),
                ),
                above(json!({"priority": "critical"}), "priority"),
                above(json!({"timeout_seconds": 601}), "timeout_seconds"),
                above(json!({"retry": {"limit": 6}}), "retry.limit"),
                above(json!({"resources": {"limits": {"memory": "2Gi"}}}), "resources.limits.memory"),
                above(json!({"resources": {"requests": {"nvidia.com/gpu": 1}}}), "resources.requests.nvidia.com/gpu"),
                (narrow(json!({"payload": {"a": "x".repeat(64)}})), 413, "payload-too-large", Some("payload")),
            ],
        )
        .await;
        rest.submit(&narrow(json!({"priority": "high", "timeout_seconds": 600}))).await;
    })
    .await;
}

#[tokio::test]
async fn a_type_made_a_moment_ago_is_known() {
    in_namespace("rest-new-type", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        for number in 0..10 {
            let name = format!("new-{number}");
            ns.create(&task_type(&name)).await;
            rest.submit(&body_with(json!({"task_type": name}))).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_name_that_is_taken_and_a_namespace_that_is_not_served_are_told() {
    in_namespace("rest-taken", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        rest.submit(&body_with(json!({"name": "one"}))).await;
        all_refused(
            &rest,
            vec![
                (body_with(json!({"name": "one"})), 409, "exists", Some("name")),
                (body_with(json!({"namespace": "kube-system"})), 404, "unknown-namespace", Some("namespace")),
                (body_with(json!({"namespace": "../default"})), 404, "unknown-namespace", Some("namespace")),
            ],
        )
        .await;
        let listed = rest.get("/api/v1/tasks?namespace=kube-system").await;
        assert_eq!((listed.status, listed.problem().0.as_str()), (404, "unknown-namespace"));
    })
    .await;
}

#[tokio::test]
async fn a_task_in_a_namespace_that_is_not_served_is_not_there() {
    in_namespace("rest-elsewhere", async |ns| {
        in_namespace("rest-hidden", async |hidden| {
            let (_operator, rest) = served_and_held(&ns).await;
            let id = hidden.create(&task("hidden")).await.metadata.uid.expect("a uid");
            for path in ["", "/status", "/result", "/events"] {
                let answer = rest.get(&format!("{TASKS}/{id}{path}")).await;
                assert_eq!((answer.status, answer.problem().0.as_str()), (404, "unknown-task"), "{path}");
            }
            let answer = rest.send(Method::POST, &format!("{TASKS}/{id}/cancel"), &[], None).await;
            assert_eq!(answer.status, 404);
            assert!(!hidden.task("hidden").await.spec.cancel);
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn an_unknown_id_is_told_at_every_path() {
    in_namespace("rest-unknown", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        for id in [NOBODY, "x", "%FF%00", "..%2f..%2fsecrets", "a%20b", &"y".repeat(3000)] {
            for path in ["", "/status", "/result", "/events"] {
                let answer = rest.get(&format!("{TASKS}/{id}{path}")).await;
                assert_eq!((answer.status, answer.problem().0.as_str()), (404, "unknown-task"), "{id}{path}");
            }
            let answer = rest.send(Method::POST, &format!("{TASKS}/{id}/cancel"), &[], None).await;
            assert_eq!(answer.status, 404, "{id}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_no_json_no_path_or_no_method_is_told() {
    in_namespace("rest-no-json", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let json = [("content-type", "application/json; charset=utf-8")];
        let post = async |headers: &[(&str, &str)], text: &str| {
            let answer = rest.send(Method::POST, TASKS, headers, Some(text.to_owned())).await;
            (answer.status, answer.problem().0)
        };
        for text in ["", "{", "nonsense", "{\"task_type\": \"work\", \"payload\": {\"a\": 1e999}", &"[".repeat(5000)] {
            assert_eq!(post(&json, text).await, (400, "syntax".into()), "{text}");
        }
        assert_eq!(post(&json, &format!("{}x", body())).await, (400, "syntax".into()));
        for (text, field) in [("{\"task_ty", None), ("{\"task_type\": \"work\", \"retry\": {\"lim", Some("retry"))] {
            let answer = rest.send(Method::POST, TASKS, &json, Some(text.to_owned())).await;
            assert_eq!(answer.problem(), ("syntax".into(), field.map(str::to_owned)), "{text}");
            let end = format!("breaks off at line 1, column {}", text.len());
            assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.contains(&end)), "{answer:?}");
        }
        assert_eq!(post(&[], &body().to_string()).await, (415, "media-type".into()));
        assert_eq!(post(&[("content-type", "text/plain")], &body().to_string()).await, (415, "media-type".into()));
        let twice = r#"{"task_type": "work", "task_type": "work", "payload": {}}"#;
        assert_eq!(post(&json, twice).await, (422, "invalid".into()));
        for long in ["9223372036854775808", "-123456789012345678901234567890", "1e999"] {
            let text = format!(r#"{{"task_type": "work", "payload": {{"id": {long}}}}}"#);
            assert_eq!(post(&json, &text).await, (422, "number-too-long".into()));
        }
        let large = format!(r#"{{"task_type": "work", "payload": {{"a": "{}"}}}}"#, "x".repeat(12 << 20));
        let answer = rest.send(Method::POST, TASKS, &json, Some(large)).await;
        assert_eq!((answer.status, answer.problem().0.as_str()), (413, "body-too-large"));
        for path in ["/api/v1", "/api/v1/task", "/api/v2/tasks", "/metrics", "/healthz", "/worker/v1/progress"] {
            let answer = rest.get(path).await;
            assert_eq!((answer.status, answer.problem().0.as_str()), (404, "no-such-path"), "{path}");
        }
        for (method, path) in [
            (Method::DELETE, TASKS),
            (Method::PUT, TASKS),
            (Method::PUT, "/api/v1/tasks/x"),
            (Method::TRACE, TASKS),
            (Method::POST, "/api/v1/tasks/x/status"),
        ] {
            let answer = rest.send(method.clone(), path, &[], None).await;
            assert_eq!((answer.status, answer.problem().0.as_str()), (405, "method"), "{method} {path}");
            assert!(answer.header("allow").is_some(), "{method} {path}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_wrong_query_is_told() {
    in_namespace("rest-query", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        for (query, field) in [
            ("?limit=0", "limit"),
            ("?limit=1001", "limit"),
            ("?limit=-1", "limit"),
            ("?limit=many", "limit"),
            ("?limit=1&limit=2", "limit"),
            ("?status=Done", "status"),
            ("?priority=urgent", "priority"),
            ("?cursor=nonsense", "cursor"),
            ("?cursor=1.x", "cursor"),
            ("?cursor=99999999999999999999.00000000-0000-4000-8000-000000000000", "cursor"),
            ("?colour=red", "colour"),
            ("?status=%FF", "status"),
            ("/dead-letters?replayed=perhaps", "replayed"),
            ("/dead-letters?reason=Whim", "reason"),
            ("/dead-letters?failed_from=yesterday", "failed_from"),
            ("/dead-letters?cursor=nonsense", "cursor"),
            ("/dead-letters?limit=0", "limit"),
            ("/dead-letters?dry_run=true", "dry_run"),
        ] {
            let answer = rest.get(&format!("{TASKS}{query}")).await;
            let told = answer.problem();
            assert_eq!((answer.status, told.0.as_str(), told.1.as_deref()), (400, "query", Some(field)), "{answer:?}");
            let detail = answer.json()["detail"].to_string();
            assert!(detail.contains(field) && !detail.contains("deserialize"), "{query}: {detail}");
        }
        for ids in [json!([]), json!(vec!["x"; 1001]), json!([1]), json!("x")] {
            let answer = rest.post("/api/v1/tasks/status", &json!({"task_ids": ids})).await;
            assert_eq!((answer.status, answer.problem().0.as_str()), (422, "invalid"), "{answer:?}");
        }
    })
    .await;
}
