//! Who is not heard, and what is not understood.

use harness::*;
use hyper::Method;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};
use task_manager::api::State;

use super::{at_work, listening, runs, submission, taken};

fn half() -> Value {
    json!({"percent": 50})
}

/// Status, kind, and that a sentence says what is wrong.
#[track_caller]
fn refused(answer: &Answer) -> (u16, String) {
    (answer.status, answer.problem().0)
}

#[tokio::test]
async fn a_token_that_is_not_the_pods_own_is_refused() {
    in_namespace("worker-tokens", async |ns| {
        let (node, operator, rest) = listening(&ns).await;
        let (id, worker) = at_work(&ns, &node, &operator).await;
        let no_token = (401, "no-token".to_owned());
        let altered = format!("{}x", worker.token);
        for wrong in ["nonsense", "", "a b", altered.as_str()] {
            let answer = worker.with(wrong).progress(&half()).await;
            assert_eq!(refused(&answer), no_token, "{wrong}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
        for audience in ["other", "https://kubernetes.default.svc.cluster.local"] {
            let answer = worker.with(&ns.token_of(Some(&worker.pod), audience).await).progress(&half()).await;
            assert_eq!(refused(&answer), no_token, "{audience}");
        }
        let bare = operator.worker().post("/worker/v1/progress", &half()).await;
        assert_eq!(refused(&bare), no_token);
        let accounts = worker.with(&ns.token_of(None, "task-manager").await).progress(&half()).await;
        assert_eq!(refused(&accounts), (403, "not-your-task".to_owned()));
        assert_eq!(worker.progress(&json!({})).await.status, 204, "a heartbeat");
        assert_eq!(rest.status(&id).await.get("progress"), None);
    })
    .await;
}

#[tokio::test]
async fn a_token_that_is_over_is_refused_though_it_is_signed_and_the_pods_own() {
    in_namespace("worker-signed", async |ns| {
        let (node, operator, rest) = listening(&ns).await;
        let (id, worker) = at_work(&ns, &node, &operator).await;
        let stranger = pod("stranger", json!({}));
        let stranger = ns.create(&stranger).await.uid().expect("a uid");
        let now = Timestamp::now().as_second();
        let says = async |claims: Value, percent: i32| {
            let worker = worker.with(&ns.cluster.signed_anew(&worker.token, &claims).await);
            worker.progress(&json!({"percent": percent})).await
        };
        // It is not the signature that the others are refused for.
        taken(&says(json!({"exp": now + 900}), 50).await);
        for claims in [
            json!({"iat": now - 900, "nbf": now - 900, "exp": now - 300}),
            json!({"nbf": now + 600}),
            json!({"aud": ["other"]}),
            json!({"aud": []}),
            json!({"kubernetes.io": {"pod": {"uid": "00000000-0000-4000-8000-000000000000"}}}),
            json!({"kubernetes.io": {"pod": {"name": "nobody"}}}),
        ] {
            let answer = says(claims.clone(), 90).await;
            assert_eq!(refused(&answer), (401, "no-token".to_owned()), "{claims}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            let detail = answer.json()["detail"].to_string();
            assert!(detail.contains("read TASK_TOKEN_FILE anew"), "{detail}");
        }
        let others = json!({"kubernetes.io": {"pod": {"name": "stranger", "uid": stranger}}});
        assert_eq!(refused(&says(others, 90).await), (403, "not-your-task".to_owned()));
        assert_eq!(rest.status(&id).await["progress"], half());
    })
    .await;
}

fn pod(name: &str, labels: Value) -> Pod {
    let spec = json!({"serviceAccountName": "default", "containers": [{"name": "a", "image": "b"}]});
    serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}, "spec": spec})).expect("a pod")
}

#[tokio::test]
async fn another_pod_is_refused_though_it_calls_itself_the_tasks() {
    in_namespace("worker-strangers", async |ns| {
        let (node, operator, rest) = listening(&ns).await;
        let (id, worker) = at_work(&ns, &node, &operator).await;
        let real = ns.pods().get(&worker.pod).await.expect("the pod");
        for (name, labels) in [("stranger", json!({})), ("liar", json!(real.labels()))] {
            ns.create(&pod(name, labels)).await;
            let answer = worker.with(&ns.token_of(Some(name), "task-manager").await).progress(&half()).await;
            assert_eq!(refused(&answer), (403, "not-your-task".to_owned()), "{name}");
        }
        assert_eq!(rest.status(&id).await.get("progress"), None);
    })
    .await;
}

#[tokio::test]
async fn a_pod_speaks_for_its_own_task_alone() {
    in_namespace("worker-two", async |ns| {
        let (node, operator, rest) = listening(&ns).await;
        let (first, _) = at_work(&ns, &node, &operator).await;
        node.script("two", [Outcome::Hold]);
        let second = rest.submit(&submission("two")).await;
        let worker = Worker::of(&ns, &node, operator.worker(), "two", 1).await;
        runs(&rest, &second, 1).await;
        taken(&worker.progress(&half()).await);
        assert_eq!(rest.status(&second).await["progress"], half());
        assert_eq!(rest.status(&first).await.get("progress"), None);
    })
    .await;
}

#[tokio::test]
async fn a_late_word_changes_nothing() {
    in_namespace("worker-late", async |ns| {
        let (node, operator, rest) = listening(&ns).await;
        node.script("one", [Outcome::Hold, Outcome::Hold]);
        let id = rest.submit(&submission("one")).await;
        let first = Worker::of(&ns, &node, operator.worker(), "one", 1).await;
        taken(&first.progress(&half()).await);
        node.end("one", Outcome::exit(1));
        let second = Worker::of(&ns, &node, operator.worker(), "one", 2).await;
        let late = (409, "attempt-over".to_owned());
        for answer in [
            first.progress(&json!({"percent": 1})).await,
            first.error(&json!({"type": "Late", "retryable": false})).await,
            first.result("text/plain", "late".into()).await,
        ] {
            // The first pod goes when the second comes; its token outlives it by a few seconds.
            let answer = refused(&answer);
            assert!(answer == late || answer == (401, "no-token".to_owned()), "{answer:?}");
        }
        runs(&rest, &id, 2).await;
        taken(&second.progress(&json!({"percent": 60})).await);
        assert_eq!(rest.status(&id).await["progress"]["percent"], 60);
        node.end("one", Outcome::succeed());
        // A finished task's pod is kept for a while, and its token is as good as ever.
        let done = ns.task_in("one", State::Completed).await;
        assert_eq!(refused(&second.progress(&json!({"percent": 2})).await), late);
        assert_eq!(refused(&second.result("text/plain", "late".into()).await), late);
        assert_eq!(ns.task("one").await.status, done.status);
        assert_eq!(rest.status(&id).await["progress"]["percent"], 60);
    })
    .await;
}

#[tokio::test]
async fn what_is_not_understood_is_refused_with_the_field() {
    in_namespace("worker-unclear", async |ns| {
        let (node, operator, rest) = listening(&ns).await;
        let (id, worker) = at_work(&ns, &node, &operator).await;
        for (said, field) in [
            (json!({"percent": "40"}), Some("percent")),
            (json!({"percent": true}), Some("percent")),
            (json!({"done": 1.5}), Some("done")),
            (json!({"total": -1}), Some("total")),
            (json!({"message": 4}), Some("message")),
            (json!({"percents": 4}), Some("percents")),
            (json!([]), None),
        ] {
            let answer = worker.progress(&said).await;
            assert_eq!((answer.status, answer.problem().1.as_deref()), (422, field), "{said}: {}", answer.text);
        }
        assert_eq!(worker.error(&json!({"retryable": "no"})).await.status, 422);
        assert_eq!(worker.progress(&json!({"message": "x".repeat(20_000)})).await.status, 413);
        let bearer = format!("Bearer {}", worker.token);
        let send = async |method, path: &str, kind: &str, body: &str| {
            let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
            operator.worker().send(method, path, &headers, Some(body.into())).await.status
        };
        assert_eq!(send(Method::POST, "/worker/v1/progress", "application/json", "{").await, 400);
        assert_eq!(send(Method::POST, "/worker/v1/progress", "text/plain", "{}").await, 415);
        assert_eq!(send(Method::GET, "/worker/v1/progress", "text/plain", "").await, 405);
        assert_eq!(send(Method::POST, "/api/v1/tasks", "application/json", "{}").await, 404);
        assert_eq!(rest.status(&id).await.get("progress"), None);
    })
    .await;
}

#[tokio::test]
async fn a_report_that_names_another_attempt_than_the_present_one_is_too_late() {
    in_namespace("worker-named", async |ns| {
        let (node, operator, rest) = listening(&ns).await;
        node.script("one", [Outcome::exit(1), Outcome::Hold]);
        let id = rest.submit(&submission("one")).await;
        let worker = Worker::of(&ns, &node, operator.worker(), "one", 2).await;
        runs(&rest, &id, 2).await;
        let late = (409, "attempt-over".to_owned());
        for other in ["1", "3"] {
            let other = worker.for_attempt(other);
            assert_eq!(refused(&other.progress(&half()).await), late);
            assert_eq!(refused(&other.error(&json!({"type": "Late", "retryable": false})).await), late);
            assert_eq!(refused(&other.result("text/plain", "late".into()).await), late);
        }
        for nonsense in ["", "two", "2.0", "99999999999"] {
            let answer = worker.for_attempt(nonsense).progress(&half()).await;
            assert_eq!(
                (refused(&answer), &answer.json()["field"]),
                ((400, "header".to_owned()), &json!("Task-Attempt"))
            );
        }
        assert_eq!(rest.status(&id).await.get("progress"), None);
        taken(&worker.for_attempt("2").progress(&half()).await);
        assert_eq!(rest.status(&id).await["progress"], half());
    })
    .await;
}

#[tokio::test]
async fn a_report_in_an_encoding_is_refused_before_anything_of_it_is_kept() {
    in_namespace("worker-encoded", async |ns| {
        let (node, operator, _rest) = listening(&ns).await;
        let (_, worker) = at_work(&ns, &node, &operator).await;
        let bearer = format!("Bearer {}", worker.token);
        for (method, path) in [(Method::PUT, "result"), (Method::POST, "progress"), (Method::POST, "error")] {
            let headers = [
                ("authorization", bearer.as_str()),
                ("content-type", "application/json"),
                ("content-encoding", "gzip"),
            ];
            let path = format!("/worker/v1/{path}");
            let answer = operator.worker().send(method, &path, &headers, Some("{\"percent\": 1}".into())).await;
            assert_eq!(refused(&answer), (415, "content-encoding".to_owned()), "{path}");
        }
        assert_eq!(
            operator.worker().get("/problems/not-your-task").await.status,
            200,
            "what its problems mean is told"
        );
        let exact = r#"{"id": 18446744073709551615, "x": 0.1234567890123456789, "x": -0.0}"#;
        taken(&worker.result("application/json", exact.into()).await);
        node.end("one", Outcome::succeed());
        let done = ns.task_in("one", State::Completed).await;
        let told = super::result_of(&operator.rest(), &done.uid().expect("a uid")).await;
        assert!(told.text.contains(&format!(r#""result":{exact}"#)), "byte for byte: {}", told.text);
    })
    .await;
}
