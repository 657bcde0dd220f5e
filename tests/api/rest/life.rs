//! Hand off, follow, fetch: the words on the wire.

use harness::*;
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{body, body_with, served, served_and_full, served_and_held, status_when};
use crate::stage::started;

#[tokio::test]
async fn requests_are_counted_by_route_whatever_path_was_asked_for() {
    in_namespace("rest-metrics", async |ns| {
        let (_node, operator, rest) = served(&ns).await;
        rest.post("/api/v1/tasks", &body()).await;
        for unknown in ["a", "b"] {
            rest.get(&format!("/api/v1/tasks/{unknown}/status")).await;
            rest.get(&format!("/nothing/{unknown}")).await;
        }
        let metrics = operator.metrics().await;
        for (route, method, code, count) in [
            ("/api/v1/tasks", "POST", "202", 1),
            ("/api/v1/tasks/{id}/status", "GET", "404", 2),
            ("none", "other", "404", 2),
        ] {
            let labels = [("route", route), ("method", method), ("code", code)];
            let counted = metrics.count("task_manager_rest_requests_total", &labels);
            assert_eq!(counted, count, "{labels:?}\n{}", metrics.text);
            let timed = metrics.count("task_manager_rest_request_seconds_count", &labels[..2]);
            assert_eq!(timed, count, "{labels:?}\n{}", metrics.text);
        }
    })
    .await;
}

#[tokio::test]
async fn a_task_is_submitted_followed_and_its_result_fetched() {
    in_namespace("rest-life", async |ns| {
        let (node, _operator, rest) = served(&ns).await;
        node.otherwise(Outcome::Hold);
        let answer = rest.post("/api/v1/tasks", &body_with(json!({"name": "one", "priority": "high"}))).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        let id = answer.task_id();
        assert_eq!(answer.json(), json!({"task_id": id, "status": "submitted"}));
        assert_eq!(answer.header("location"), Some(format!("/api/v1/tasks/{id}").as_str()));

        started(&node, "one", 1).await;
        let status = status_when(&rest, &id, "processing").await;
        assert_eq!((&status["attempt"], &status["priority"]), (&json!(1), &json!("high")), "{status}");
        let early = rest.get(&format!("/api/v1/tasks/{id}/result")).await;
        assert_eq!((early.status, early.problem().0.as_str()), (409, "not-finished"));

        node.end("one", Outcome::result(r#"{"pages": 10}"#));
        status_when(&rest, &id, "completed").await;
        let result = rest.get(&format!("/api/v1/tasks/{id}/result")).await.json();
        assert_eq!((&result["status"], &result["result"]), (&json!("completed"), &json!({"pages": 10})));
        let at = result["processed_at"].as_str().expect("a time");
        assert!(at.parse::<Timestamp>().is_ok(), "RFC 3339: {at}");
        let whole = rest.get(&format!("/api/v1/tasks/{id}")).await.json();
        assert_eq!((&whole["payload"], &whole["result"]), (&json!({"a": 1}), &json!({"pages": 10})));
        assert_eq!((&whole["task_type"], &whole["kb_id"]), (&json!("work"), &json!("kb-1")));
        assert_eq!(whole["attempts"][0]["outcome"], "succeeded");
    })
    .await;
}

#[tokio::test]
async fn a_failed_task_has_an_error_instead_of_a_result() {
    in_namespace("rest-failed", async |ns| {
        let (node, _operator, rest) = served(&ns).await;
        node.otherwise(Outcome::exit(3));
        let id = rest.submit(&body_with(json!({"retry": {"limit": 1, "initial_seconds": 0}}))).await;
        let status = status_when(&rest, &id, "failed").await;
        assert_eq!((&status["failures"], &status["attempt"]), (&json!(2), &json!(2)), "{status}");
        let result = rest.get(&format!("/api/v1/tasks/{id}/result")).await;
        assert_eq!(result.status, 200);
        let result = result.json();
        assert_eq!(result["status"], "failed");
        assert_eq!((&result["error"]["reason"], &result["error"]["exit_code"]), (&json!("ExitCode"), &json!(3)));
        assert!(result.get("result").is_none(), "{result}");
    })
    .await;
}

#[tokio::test]
async fn what_is_submitted_is_the_resource_that_a_manifest_would_be() {
    in_namespace("rest-resource", async |ns| {
        ns.create(&task_type("document-processing")).await;
        let (_operator, rest) = served_and_held(&ns).await;
        let id = rest
            .submit(&json!({
                "task_type": "document_processing", "kb_id": "kb-42", "payload": {"n": 1.5, "big": i64::MAX, "null": null},
                "priority": "low", "queue": "default", "timeout_seconds": 125.0, "deadline_seconds": 86400,
                "retry": {"limit": 1, "initial_seconds": 2, "factor": 1.5, "max_seconds": 3, "disruption_limit": 4,
                          "oom_memory_factor": 2},
                "resources": {"requests": {"cpu": "10m"}, "limits": {"memory": "16Mi"}},
                "start_after": "2030-01-01T00:00:00Z", "ttl_seconds": 60, "namespace": ns.name, "name": "written"
            }))
            .await;
        let task = ns.task("written").await;
        assert_eq!(task.uid(), Some(id));
        let spec = serde_json::to_value(&task.spec).expect("JSON");
        assert_eq!(
            spec,
            json!({
                "type": "document-processing", "kbId": "kb-42", "payload": {"n": 1.5, "big": i64::MAX, "null": null},
                "priority": "low", "queue": "default", "timeoutSeconds": 125, "deadlineSeconds": 86400,
                "retry": {"limit": 1, "initialSeconds": 2, "factor": 1.5, "maxSeconds": 3, "disruptionLimit": 4,
                          "oomMemoryFactor": 2.0},
                "resources": {"requests": {"cpu": "10m"}, "limits": {"memory": "16Mi"}},
                "startAfter": "2030-01-01T00:00:00Z", "suspend": false, "cancel": false, "runId": "1", "once": false,
                "ttlSecondsAfterFinished": 60
            })
        );
    })
    .await;
}

#[tokio::test]
async fn a_types_default_ttl_holds_for_what_was_made_over_rest() {
    in_namespace("rest-ttl", async |ns| {
        ns.create(&task_type("short").with(|spec| spec.defaults.ttl_seconds_after_finished = Some(77))).await;
        let (_operator, rest) = served_and_held(&ns).await;
        rest.submit(&json!({"task_type": "short", "payload": {}, "name": "made"})).await;
        assert_eq!(ns.task("made").await.spec.ttl_seconds_after_finished, Some(77));
        rest.submit(&json!({"task_type": "short", "payload": {}, "name": "own", "ttl_seconds": 5})).await;
        assert_eq!(ns.task("own").await.spec.ttl_seconds_after_finished, Some(5));
    })
    .await;
}

#[tokio::test]
async fn an_unchanged_status_is_not_sent_again() {
    in_namespace("rest-etag", async |ns| {
        let (_node, _operator, rest) = served_and_full(&ns).await;
        let id = rest.submit(&body()).await;
        let path = format!("/api/v1/tasks/{id}/status");
        // A task that waits for its turn is not written to.
        let first = rest.get(&path).await;
        let tag = first.header("etag").expect("an ETag").to_owned();
        let ask = async |known: &str| rest.send(hyper::Method::GET, &path, &[("if-none-match", known)], None).await;
        let again = ask(&tag).await;
        assert_eq!((again.status, again.text.as_str(), again.header("etag")), (304, "", Some(tag.as_str())));
        assert_eq!(ask(&format!("\"other\", W/{tag}")).await.status, 304);
        assert_eq!(ask("\"other\"").await.status, 200);
        rest.submit(&body_with(json!({"priority": "high"}))).await;
        eventually("its place has changed, and with it the ETag", SOON, async || {
            let answer = ask(&tag).await;
            (answer.status == 200 && answer.json()["queue_position"] == 2).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn the_place_in_the_queue_is_told_in_the_order_in_which_tasks_start() {
    in_namespace("rest-position", async |ns| {
        let (_node, _operator, rest) = served_and_full(&ns).await;
        let later = json!({"priority": "critical", "start_after": "2999-01-01T00:00:00Z"});
        let mut ids = vec![rest.submit(&body_with(later)).await];
        for priority in ["normal", "low", "critical", "normal", "high"] {
            ids.push(rest.submit(&body_with(json!({"priority": priority}))).await);
        }
        let answer = rest.post("/api/v1/tasks/status", &json!({"task_ids": ids})).await.json();
        let places: Vec<&Value> =
            answer["statuses"].as_array().expect("a list").iter().map(|one| &one["queue_position"]).collect();
        assert_eq!(places[1..], [3, 5, 1, 4, 2]);
        assert!(places[0].is_null(), "it is not its turn before its time, and it holds back nobody");
    })
    .await;
}

#[tokio::test]
async fn many_statuses_are_asked_for_in_one_request() {
    in_namespace("rest-many", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let one = rest.submit(&body()).await;
        let two = rest.submit(&body()).await;
        let unknown = "00000000-0000-4000-8000-000000000000";
        let answer = rest.post("/api/v1/tasks/status", &json!({"task_ids": [two, unknown, "nonsense", one]})).await;
        let answer = answer.json();
        let ids: Vec<&Value> =
            answer["statuses"].as_array().expect("a list").iter().map(|one| &one["task_id"]).collect();
        assert_eq!(ids, [&json!(two), &json!(one)]);
        assert_eq!(answer["not_found"], json!([unknown, "nonsense"]));
    })
    .await;
}

#[tokio::test]
async fn asking_changes_nothing() {
    in_namespace("rest-memory", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let id = rest.submit(&body()).await;
        let version = version_of(&ns, &id).await;
        for path in ["status", "result", "", "status"] {
            rest.get(format!("/api/v1/tasks/{id}/{path}").trim_end_matches('/')).await;
        }
        rest.get("/api/v1/tasks").await;
        assert_eq!(version_of(&ns, &id).await, version);
    })
    .await;
}

async fn version_of(ns: &Namespace, id: &str) -> Option<String> {
    let tasks = ns.tasks().list(&kube::api::ListParams::default()).await.expect("tasks");
    tasks.items.into_iter().find(|task| task.uid().as_deref() == Some(id)).and_then(|task| task.resource_version())
}

#[tokio::test]
async fn the_document_and_its_page_are_served_and_fetch_nothing_from_elsewhere() {
    in_namespace("rest-docs", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let document = rest.get("/openapi.json").await;
        assert_eq!((document.status, document.header("content-type")), (200, Some("application/json")));
        let document = document.json();
        assert_eq!(document["openapi"], "3.1.0");
        // Of two types of one name the document would have one.
        for (path, field, is_required) in [
            ("", "task_type", true),
            ("/bulk", "tasks", true),
            ("/status", "task_ids", true),
            ("/dead-letters/replay", "dry_run", false),
            ("/cancel", "task_ids", false),
        ] {
            let body = &document["paths"][format!("/api/v1/tasks{path}")]["post"]["requestBody"];
            let name = body["content"]["application/json"]["schema"]["$ref"].as_str().expect("a reference");
            let schema = document.pointer(name.trim_start_matches('#')).expect("a schema");
            let required = if is_required { json!([field]) } else { json!(null) };
            assert!(schema["properties"][field].is_object(), "{path}: {schema}");
            assert_eq!((&schema["required"], &schema["additionalProperties"]), (&required, &json!(false)), "{path}");
        }
        let of_one =
            ["/{id}", "/{id}/status", "/{id}/result", "/{id}/events", "/{id}/cancel", "/{id}/replay", "/{id}/log"];
        for path in ["", "/bulk", "/status", "/cancel", "/types", "/queues"].into_iter().chain(of_one) {
            assert!(document["paths"][format!("/api/v1/tasks{path}")].is_object(), "{path}");
        }
        let page = rest.get("/docs").await;
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        assert!(page.text.contains("openapi.json") && !page.text.contains("://") && !page.text.contains("src="));
    })
    .await;
}
