//! The manners of HTTP: what is refused by its headers, how long connections stay, and what each problem means.

use std::time::Duration;

use harness::*;
use hyper::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{body, body_with, served_and_held};

const TASKS: &str = "/api/v1/tasks";
const JSON: (&str, &str) = ("content-type", "application/json");
/// As many connections are served at once.
const CONNECTIONS: usize = 1024;
const ASKS: &[u8] = b"GET /api/v1/tasks?limit=1 HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn a_body_that_is_not_plain_json_is_refused_by_its_headers() {
    in_namespace("rest-media", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let id = rest.submit(&body()).await;
        let cancel = format!("{TASKS}/{id}/cancel");
        let replay = format!("{TASKS}/{id}/replay");
        for path in
            [TASKS, "/api/v1/tasks/bulk", "/api/v1/tasks/status", "/api/v1/tasks/dead-letters/replay", &cancel, &replay]
        {
            for coding in ["gzip", "br", "deflate, identity", "nonsense"] {
                let answer =
                    rest.send(Method::POST, path, &[JSON, ("content-encoding", coding)], Some("{}".into())).await;
                assert_eq!((answer.status, answer.problem().0.as_str()), (415, "content-encoding"), "{path} {coding}");
                assert_eq!(answer.header("accept-encoding"), Some("identity"));
            }
            for kind in ["text/plain", "application/x-www-form-urlencoded", "application/merge-patch+json", "json"] {
                let answer = rest.send(Method::POST, path, &[("content-type", kind)], Some("{}".into())).await;
                assert_eq!((answer.status, answer.problem().0.as_str()), (415, "media-type"), "{path} {kind}");
            }
        }
        let plain = [JSON, ("content-encoding", "identity")];
        assert_eq!(rest.send(Method::POST, TASKS, &plain, Some(body().to_string())).await.status, 202);
        assert_eq!(rest.send(Method::POST, &cancel, &[], None).await.status, 202, "without a body nothing is declared");
    })
    .await;
}

#[tokio::test]
async fn a_page_of_another_site_can_change_nothing() {
    in_namespace("rest-cross-site", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let host = rest.address.to_string();
        let own = format!("http://{host}");
        let post = async |path: &str, headers: &[(&str, &str)]| {
            rest.send(Method::POST, path, &[&[JSON], headers].concat(), Some(body().to_string())).await
        };
        for headers in [
            [("sec-fetch-site", "cross-site")],
            [("sec-fetch-site", "same-site")],
            [("origin", "https://evil.example")],
            [("origin", "null")],
        ] {
            for path in [TASKS, "/api/v1/tasks/bulk", "/api/v1/tasks/x/cancel", "/api/v1/tasks/dead-letters/replay"] {
                let answer = post(path, &headers).await;
                assert_eq!((answer.status, answer.problem().0.as_str()), (403, "cross-site"), "{path} {headers:?}");
            }
            let reads = rest.send(Method::GET, TASKS, &headers, None).await;
            assert_eq!(reads.status, 200, "{headers:?}");
        }
        for headers in [[("sec-fetch-site", "same-origin")], [("sec-fetch-site", "none")], [("origin", own.as_str())]] {
            assert_eq!(post(TASKS, &headers).await.status, 202, "{headers:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_empty_key_is_refused_in_every_spelling() {
    in_namespace("rest-empty-key", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        for key in ["", " ", "\"\"", "\"", "''", "\" \"", "\"\"\"\""] {
            let answer = rest.post_with(TASKS, &[("idempotency-key", key)], &body()).await;
            let told = answer.problem();
            assert_eq!(
                (answer.status, told.0.as_str(), told.1.as_deref()),
                (400, "header", Some("Idempotency-Key")),
                "{key}"
            );
        }
        for key in [json!(""), json!(" "), json!("\"\""), json!("''"), json!(7)] {
            let answer =
                rest.post("/api/v1/tasks/bulk", &json!({"tasks": [body_with(json!({"idempotency_key": key}))]})).await;
            let problem = &answer.json()["results"][0]["problem"];
            assert_eq!(
                (&problem["status"], &problem["field"]),
                (&json!(422), &json!("idempotency_key")),
                "{key}: {problem}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn when_all_connections_are_taken_the_longest_idle_ones_go() {
    in_namespace("rest-taken-connections", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let mut idle = vec![];
        for _ in 0..CONNECTIONS {
            idle.push(TcpStream::connect(rest.address).await.expect("connected"));
        }
        let mut last = idle.pop().expect("one");
        for _ in 0..10 {
            let mut stream = TcpStream::connect(rest.address).await.expect("connected");
            stream.write_all(ASKS).await.expect("sent");
            let mut told = [0; 12];
            tokio::time::timeout(SOON, stream.read_exact(&mut told)).await.expect("in time").expect("an answer");
            assert_eq!(&told, b"HTTP/1.1 200");
            idle.push(stream);
        }
        let mut nothing = [0; 1];
        let gone = tokio::time::timeout(SOON, idle[0].read(&mut nothing)).await.expect("it was closed");
        assert!(matches!(gone, Ok(0) | Err(_)), "{gone:?}");
        last.write_all(ASKS).await.expect("sent");
        let mut told = [0; 12];
        tokio::time::timeout(SOON, last.read_exact(&mut told))
            .await
            .expect("in time")
            .expect("the youngest is still there");
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_stays_longer_than_gateways_keep_theirs() {
    in_namespace("rest-idle", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let mut stream = TcpStream::connect(rest.address).await.expect("connected");
        let mut told = [0; 4096];
        for pause in [0, 65] {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            stream.write_all(ASKS).await.expect("sent");
            let read = tokio::time::timeout(SOON, stream.read(&mut told)).await.expect("in time").expect("an answer");
            assert!(told[..read].starts_with(b"HTTP/1.1 200"), "after {pause} s");
        }
        let ended = tokio::time::timeout(Duration::from_secs(90), stream.read(&mut told)).await;
        assert!(matches!(ended, Ok(Ok(0))), "it goes in the end: {ended:?}");
    })
    .await;
}

#[tokio::test]
async fn every_type_of_problem_has_a_page_and_the_root_leads_to_the_docs() {
    in_namespace("rest-problems", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let document = rest.get("/openapi.json").await.json();
        let kinds = document["components"]["schemas"]["ProblemType"]["oneOf"].as_array().expect("a choice").clone();
        let list = rest.get("/problems").await;
        for kind in kinds {
            let path = kind["enum"][0].as_str().expect("a path");
            let page = rest.get(path).await;
            assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")), "{path}");
            assert!(list.text.contains(path), "{path}");
            let status = kind["description"].as_str().and_then(|text| text.split('.').next()).expect("a status");
            assert!(page.text.contains(&format!("status {status}")), "{path}: {}", page.text);
        }
        assert_eq!(rest.get("/problems/nothing").await.problem().0, "no-such-path");
        let root = rest.get("/").await;
        assert_eq!((root.status, root.header("location")), (307, Some("docs")));
        let docs = rest.get("/docs").await.text;
        assert!(docs.contains("curl") && docs.contains("\"task_type\""), "an example is there");
        let responses = &document["paths"]["/api/v1/tasks"]["post"]["responses"];
        for (status, name) in
            [("422", "unknown-queue"), ("415", "content-encoding"), ("403", "cross-site"), ("503", "busy")]
        {
            assert!(
                responses[status]["description"].as_str().is_some_and(|text| text.contains(name)),
                "{status}: {responses}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn refusals_say_what_to_write() {
    in_namespace("rest-words", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let bare = rest.post("/api/v1/tasks/bulk", &json!([body()])).await;
        assert_eq!((bare.status, bare.problem()), (422, ("invalid".into(), None)));
        assert!(
            bare.json()["detail"].as_str().is_some_and(|detail| detail.contains(r#"{"tasks": [...]}"#)),
            "{}",
            bare.text
        );
        let large = json!({"task_type": "work", "payload": {"a": "x".repeat(2 << 20)}});
        for (path, body, most) in [
            (TASKS, large.clone(), "1048576 bytes"),
            ("/api/v1/tasks/bulk", json!({"tasks": vec![large; 9]}), "16777216 bytes"),
        ] {
            let answer = rest.post(path, &body).await;
            assert_eq!((answer.status, answer.problem().0.as_str()), (413, "body-too-large"));
            assert!(answer.text.contains(most), "{}", answer.text);
        }
        let reason = rest.get(&format!("{TASKS}/dead-letters?reason=Nope")).await;
        for word in ["OOMKilled", "ExitCode", "Timeout"] {
            assert!(reason.text.contains(word), "{}", reason.text);
        }
    })
    .await;
}

#[tokio::test]
async fn a_task_whose_queue_is_not_there_or_could_never_hold_it_is_refused_at_once() {
    in_namespace("rest-queues", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        ns.create(&task_queue("held", 0)).await;
        ns.create(&task_queue("small", 5).with(|spec| {
            spec.capacity.resources = serde_json::from_value(json!({"cpu": "1", "memory": "1Gi"})).expect("amounts");
            spec.ceilings = serde_json::from_value(json!({"low": 50})).expect("ceilings");
        }))
        .await;
        let with = |queue: &str, cpu: &str, priority: &str| {
            body_with(json!({"queue": queue, "priority": priority, "resources": {"requests": {"cpu": cpu}}}))
        };
        for (body, kind, words) in [
            (with("nobody", "1", "normal"), "unknown-queue", "no TaskQueue \"nobody\""),
            (with("No Queue", "1", "normal"), "unknown-queue", "typing error"),
            (with("small", "2", "normal"), "larger-than-queue", "cpu of 2 is more than the 1"),
            (with("small", "600m", "low"), "larger-than-queue", "cpu of 600m is more than the 500m"),
        ] {
            let answer = rest.post(TASKS, &body).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (422, (kind.into(), Some("queue".into()))),
                "{}",
                answer.text
            );
            let detail: Value = answer.json()["detail"].clone();
            assert!(detail.as_str().is_some_and(|detail| detail.contains(words)), "{detail}");
        }
        for body in [with("small", "600m", "normal"), with("held", "64", "low"), with("default", "64", "low")] {
            rest.submit(&body).await;
        }
        for number in 0..5 {
            let name = format!("new-{number}");
            assert_eq!(rest.post(TASKS, &with(&name, "1", "low")).await.problem().0, "unknown-queue");
            ns.create(&task_queue(&name, 1)).await;
            rest.submit(&with(&name, "1", "low")).await;
        }
    })
    .await;
}
