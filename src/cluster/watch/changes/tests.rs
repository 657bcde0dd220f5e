//! A watch of ConfigMaps under a scripted API server.

use std::convert::Infallible;
use std::sync::Arc;

use axum::http::{Request, Response};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;

/// An answer: its code and its body.
type Answer = (u16, String);

fn object(name: &str, version: u32) -> Value {
    json!({"metadata": {"name": name, "resourceVersion": version.to_string()}})
}

fn list(version: u32, names: &[&str], token: &str) -> Answer {
    let items: Vec<Value> = names.iter().map(|name| object(name, version)).collect();
    let metadata = json!({"resourceVersion": version.to_string(), "continue": token});
    (200, json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": metadata, "items": items}).to_string())
}

fn watch(lines: &[Value]) -> Answer {
    (200, lines.iter().map(|line| format!("{line}\n")).collect())
}

fn shows(name: &str, version: u32) -> Value {
    json!({"type": "MODIFIED", "object": object(name, version)})
}

fn failure(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "No", "message": "no", "code": code})
}

fn refused(code: u16) -> Answer {
    (code, failure(code).to_string())
}

/// The words of such a watch, and its requests, while there are answers.
async fn told(answers: Vec<Answer>) -> (Vec<String>, Vec<String>) {
    let asked = Arc::new(Mutex::new(vec![]));
    let (log, answers) = (asked.clone(), Arc::new(Mutex::new(VecDeque::from(answers))));
    let server = service_fn(move |request: Request<Body>| {
        log.lock().push(request.uri().query().unwrap_or_default().to_owned());
        let answer = answers.lock().pop_front();
        async move {
            match answer {
                Some((code, body)) => Ok::<_, Infallible>(
                    Response::builder().status(code).body(Body::from(body.into_bytes())).expect("a response"),
                ),
                None => std::future::pending().await,
            }
        }
    });
    let api = Api::<ConfigMap>::all(Client::new(server, "default"));
    let name = |object: &ConfigMap| object.name_any();
    let in_words = |told: Result<Change<ConfigMap>, Error>| match told {
        Ok(Change::Event(Event::Init)) => "a list".to_owned(),
        Ok(Change::Event(Event::InitApply(object))) => format!("on it {}", name(&object)),
        Ok(Change::Event(Event::InitDone)) => "whole".to_owned(),
        Ok(Change::Event(Event::Apply(object))) => name(&object),
        Ok(Change::Event(Event::Delete(object))) => format!("no {}", name(&object)),
        Ok(Change::Resumed) => "goes on".to_owned(),
        Err(_) => "broke".to_owned(),
    };
    let telling = changes(api, Selected::default()).map(in_words);
    let told = telling.take_until(tokio::time::sleep(Duration::from_secs(200))).collect().await;
    let asked = asked.lock().clone();
    (told, asked)
}

#[tokio::test(start_paused = true)]
async fn a_list_is_read_page_by_page_as_things_are_now_and_watched_from_there() {
    let gone = json!({"type": "DELETED", "object": object("a", 9)});
    let (told, asked) =
        told(vec![list(7, &["a"], "more"), list(7, &["b"], ""), watch(&[shows("b", 8), gone]), watch(&[])]).await;
    assert_eq!(told, ["a list", "on it a", "on it b", "whole", "b", "no a"]);
    assert!(!asked[0].contains("resourceVersion") && asked[1].contains("continue=more"), "{asked:?}");
    assert!(asked[2].contains("resourceVersion=7") && asked[3].contains("resourceVersion=9"), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_begins_anew_when_its_version_is_too_old() {
    let (told_at_start, _) = told(vec![list(7, &[], ""), refused(GONE), list(9, &["a"], ""), watch(&[])]).await;
    assert_eq!(told_at_start, ["a list", "whole", "broke", "a list", "on it a", "whole"]);
    let expired = json!({"type": "ERROR", "object": failure(GONE)});
    let (told_later, _) = told(vec![list(7, &[], ""), watch(&[expired]), list(9, &["a"], ""), watch(&[])]).await;
    assert_eq!(told_later, told_at_start);
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_after_any_other_error_and_says_so() {
    let (told, asked) = told(vec![list(7, &[], ""), refused(500), refused(500), watch(&[shows("a", 8)])]).await;
    assert_eq!(told, ["a list", "whole", "broke", "broke", "goes on", "a"]);
    assert!(asked[1..4].iter().all(|query| query.contains("resourceVersion=7")), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_is_begun_anew() {
    let (told, _) = told(vec![list(7, &["a"], "more"), refused(500), list(8, &["b"], ""), watch(&[])]).await;
    assert_eq!(told, ["a list", "on it a", "broke", "a list", "on it b", "whole"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_event_is_passed_over_and_the_watch_goes_on_behind_it() {
    let (told, _) =
        told(vec![list(7, &[], ""), watch(&[json!({"type": "MODIFIED", "object": 7}), shows("a", 8)])]).await;
    assert_eq!(told, ["a list", "whole", "broke", "goes on", "a"]);
}
