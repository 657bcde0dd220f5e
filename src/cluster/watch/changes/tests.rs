//! A watch of ConfigMaps under a scripted API server.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::http::{Request, Response};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;
use tower::service_fn;

use super::*;

/// An answer: its code and its body. With the code NEVER there is none.
type Answer = (u16, String);

const NEVER: u16 = 0;
/// The body has no end: it goes silent.
const WITHOUT_END: u16 = 299;

fn never() -> Answer {
    (NEVER, String::new())
}

fn goes_silent((_, body): Answer) -> Answer {
    (WITHOUT_END, body)
}

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
    let over = Arc::new(Notify::new());
    let (log, answers, no_more) = (asked.clone(), Arc::new(Mutex::new(VecDeque::from(answers))), over.clone());
    let server = service_fn(move |request: Request<Body>| {
        log.lock().push(request.uri().query().unwrap_or_default().to_owned());
        let answer = answers.lock().pop_front();
        if answer.is_none() {
            no_more.notify_one();
        }
        async move {
            let answered = |code: u16, body| Response::builder().status(code).body(body).expect("a response");
            match answer {
                None | Some((NEVER, _)) => std::future::pending().await,
                Some((WITHOUT_END, body)) => {
                    let silent = stream::iter([Ok::<_, Infallible>(body.into_bytes())]).chain(stream::pending());
                    Ok::<_, Infallible>(answered(200, axum::body::Body::from_stream(silent)))
                }
                Some((code, body)) => Ok(answered(code, axum::body::Body::from(body))),
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
    let told = telling.take_until(over.notified()).collect().await;
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

/// The words, and the time that they took.
async fn told_within(answers: Vec<Answer>) -> (Vec<String>, Duration) {
    let began = Instant::now();
    let (told, _) = told(answers).await;
    (told, began.elapsed())
}

const NOTICED: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn a_watch_that_goes_silent_is_noticed_and_goes_on() {
    let (told, took) =
        told_within(vec![list(7, &[], ""), goes_silent(watch(&[shows("a", 8)])), watch(&[shows("b", 9)])]).await;
    assert_eq!(told, ["a list", "whole", "a", "broke", "goes on", "b"]);
    assert!(took < NOTICED, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_never_begins_is_noticed_and_begun_again() {
    let (told, took) = told_within(vec![list(7, &[], ""), never(), watch(&[shows("a", 8)])]).await;
    assert_eq!(told, ["a list", "whole", "broke", "goes on", "a"]);
    assert!(took < NOTICED, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_goes_silent_is_noticed_and_begun_anew() {
    let half = list(7, &["a", "b"], "");
    let half = (200, half.1.split_inclusive("}},").next().expect("one object").to_owned());
    for silent in [never(), goes_silent((200, String::new())), goes_silent(half.clone())] {
        let (mut told, took) = told_within(vec![silent, list(7, &["a"], ""), watch(&[])]).await;
        told.retain(|word| word != "on it a");
        assert_eq!(told, ["a list", "broke", "a list", "whole"]);
        assert!(took < NOTICED, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_whose_text_ends_in_the_middle_is_begun_anew() {
    let cut = list(7, &["a"], "");
    let (told, _) = told(vec![(200, cut.1[..cut.1.len() - 9].to_owned()), list(7, &["a"], ""), watch(&[])]).await;
    assert_eq!(told.iter().filter(|word| *word == "whole").count(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|word| *word == "broke").count(), 1, "{told:?}");
}

/// The pauses after so many errors in a row.
const AFTER_FIVE: Duration = Duration::from_millis(800 + 1600 + 3200 + 6400 + 8000);
const AFTER_TWO: Duration = Duration::from_millis(800 + 1600);

/// Each pause ends at a tick of the clock, up to a millisecond later.
fn is_about(took: Duration, pauses: Duration) -> bool {
    (pauses..pauses + Duration::from_millis(20)).contains(&took)
}

#[tokio::test(start_paused = true)]
async fn the_pauses_grow_while_lists_fail_and_begin_anew_after_a_whole_one() {
    let mut answers = vec![refused(403); 5];
    answers.extend([list(7, &["a"], ""), refused(500), watch(&[shows("a", 8)]), refused(500), watch(&[shows("a", 9)])]);
    let (told, took) = told_within(answers).await;
    assert_eq!(told.iter().filter(|word| *word == "broke").count(), 7, "{told:?}");
    assert!(is_about(took, AFTER_FIVE + 2 * FIRST_PAUSE), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_breaks_off_in_its_midst_is_no_end_of_the_errors() {
    let (told, took) = told_within(vec![
        list(7, &["a"], "more"),
        refused(500),
        list(8, &["a"], "more"),
        refused(500),
        list(9, &[], ""),
    ])
    .await;
    assert_eq!(told.last().map(String::as_str), Some("whole"));
    assert!(is_about(took, AFTER_TWO), "{took:?}");
}
