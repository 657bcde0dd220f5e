//! Following a task as it changes.

use std::time::{Duration, Instant};

use harness::*;
use kube::api::DeleteParams;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{body, body_with, served, served_and_full, served_and_held, status_when};
use crate::stage::started;

#[tokio::test]
async fn states_are_told_as_they_come_and_the_stream_ends_with_the_task() {
    in_namespace("rest-events", async |ns| {
        let (node, _operator, rest) = served(&ns).await;
        node.script("one", [Outcome::Hold, Outcome::Hold]);
        let retry = json!({"name": "one", "start_after": "2020-01-01T00:00:00Z", "retry": {"initial_seconds": 1}});
        let id = rest.submit(&body_with(retry)).await;
        let mut events = rest.events(&id, None).await;
        assert_eq!(events.status, 200);
        started(&node, "one", 1).await;
        node.end("one", Outcome::exit(1));
        started(&node, "one", 2).await;
        node.end("one", Outcome::succeed());
        let mut told = vec![];
        while let Some((status, attempt, _)) = events.next_state().await {
            told.push((status, attempt));
        }
        // Its beginning may be over before the stream begins.
        let whole = [("queued", 0), ("processing", 1), ("queued", 1), ("processing", 2), ("completed", 2)];
        let whole: Vec<(String, i64)> = whole.map(|(status, attempt)| (status.to_owned(), attempt)).to_vec();
        assert!(whole.ends_with(&told) && told.len() >= 4, "{told:?}");
    })
    .await;
}

#[tokio::test]
async fn a_reader_who_comes_back_misses_no_state() {
    in_namespace("rest-resume", async |ns| {
        let (node, mut operator, rest) = served(&ns).await;
        node.script("one", [Outcome::Hold, Outcome::exit(1), Outcome::succeed()]);
        let id = rest.submit(&body_with(json!({"name": "one", "retry": {"initial_seconds": 0}}))).await;
        started(&node, "one", 1).await;
        status_when(&rest, &id, "processing").await;
        let mut events = rest.events(&id, None).await;
        let (status, attempt, place) = events.next_state().await.expect("the present state");
        assert_eq!((status.as_str(), attempt), ("processing", 1));
        let place = place.expect("an id");
        // Also by another process, which has seen nothing of it.
        operator.kill().await;
        assert_eq!(events.next().await, None);
        node.end("one", Outcome::exit(1));
        operator.start_again().await;
        let rest = operator.rest();
        status_when(&rest, &id, "completed").await;
        let mut events = rest.events(&id, Some(&place)).await;
        let mut told = vec![];
        let mut last = None;
        while let Some((status, attempt, place)) = events.next_state().await {
            told.push((status, attempt));
            last = place;
        }
        let missed = [("queued", 1), ("processing", 2), ("queued", 2), ("processing", 3), ("completed", 3)];
        assert_eq!(told, missed.map(|(status, attempt)| (status.to_owned(), attempt)));
        assert_eq!(rest.events(&id, last.as_deref()).await.status, 204, "it knows the end");
        for unknown in ["nonsense", "7", "00000000.1.Queued.1"] {
            let first = rest.events(&id, Some(unknown)).await.next_state().await;
            assert_eq!(first.map(|(status, ..)| status).as_deref(), Some("completed"), "{unknown}: the present state");
        }
    })
    .await;
}

#[tokio::test]
async fn the_place_in_the_queue_is_told_as_it_changes() {
    in_namespace("rest-places", async |ns| {
        let (_node, _operator, rest) = served_and_full(&ns).await;
        let ahead = rest.submit(&body()).await;
        let id = rest.submit(&body()).await;
        let mut events = rest.events(&id, None).await;
        let mut place = async || loop {
            let told = events.next().await.expect("an event");
            if told.event == "position" {
                return told.data["queue_position"].as_i64();
            }
        };
        assert_eq!(place().await, Some(2));
        rest.submit(&body_with(json!({"priority": "high"}))).await;
        assert_eq!(place().await, Some(3));
        rest.send(hyper::Method::POST, &format!("/api/v1/tasks/{ahead}/cancel"), &[], None).await;
        assert_eq!(place().await, Some(2));
    })
    .await;
}

#[tokio::test]
async fn progress_is_told() {
    in_namespace("rest-progress", async |ns| {
        let (node, _operator, rest) = served(&ns).await;
        node.script("one", [Outcome::Hold]);
        let id = rest.submit(&body_with(json!({"name": "one"}))).await;
        started(&node, "one", 1).await;
        let mut events = rest.events(&id, None).await;
        let percent = json!({"status": {"progress": {"percent": 40, "done": 4, "total": 10, "message": "page 4"}}});
        let patch = kube::api::Patch::Merge(percent);
        ns.tasks().patch_status("one", &kube::api::PatchParams::default(), &patch).await.expect("accepted");
        let told =
            eventually("progress is told", SOON, async || events.next().await.filter(|told| told.event == "progress"))
                .await;
        assert_eq!(told.data, json!({"task_id": id, "percent": 40, "done": 4, "total": 10, "message": "page 4"}));
        assert_eq!(rest.status(&id).await["progress"]["percent"], 40);
    })
    .await;
}

#[tokio::test]
async fn a_task_that_is_deleted_ends_the_stream() {
    in_namespace("rest-deleted", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let id = rest.submit(&body_with(json!({"name": "one"}))).await;
        let mut events = rest.events(&id, None).await;
        assert_eq!(events.next_state().await.map(|(status, ..)| status).as_deref(), Some("queued"));
        ns.tasks().delete("one", &DeleteParams::default()).await.expect("deleted");
        assert_eq!(events.next_state().await.map(|(status, ..)| status).as_deref(), Some("cancelled"));
        assert_eq!(events.next_state().await, None);
    })
    .await;
}

#[tokio::test]
async fn a_task_that_is_removed_as_soon_as_it_ends_is_told_to_have_ended_so() {
    in_namespace("rest-no-ttl", async |ns| {
        let (node, _operator, rest) = served(&ns).await;
        let mut readers = vec![];
        for number in 0..20 {
            let name = format!("task-{number}");
            node.script(&name, [Outcome::Hold]);
            let id = rest.submit(&body_with(json!({"name": name, "ttl_seconds": 0}))).await;
            readers.push((name, rest.events(&id, None).await));
        }
        for (name, _) in &readers {
            started(&node, name, 1).await;
            node.end(name, Outcome::succeed());
        }
        for (name, mut events) in readers {
            let mut last = None;
            while let Some((status, attempt, _)) = events.next_state().await {
                last = Some((status, attempt));
            }
            assert_eq!(last, Some(("completed".to_owned(), 1)), "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn open_streams_do_not_hold_up_the_end_of_the_operator() {
    in_namespace("rest-stream-end", async |ns| {
        let (mut operator, rest) = served_and_held(&ns).await;
        let id = rest.submit(&body()).await;
        let mut streams = vec![];
        for _ in 0..20 {
            let mut events = rest.events(&id, None).await;
            events.next().await.expect("the present state");
            streams.push(events);
        }
        assert!(operator.stop().await.status.success());
        for mut events in streams {
            while events.next().await.is_some() {}
        }
        assert!(!operator.logged().contains("before all requests were answered"), "{}", operator.logged());
    })
    .await;
}

#[tokio::test]
async fn a_heartbeat_comes_where_nothing_else_does() {
    in_namespace("rest-heartbeat", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let id = rest.submit(&body()).await;
        let mut stream = TcpStream::connect(rest.address).await.expect("connected");
        let request = format!("GET /api/v1/tasks/{id}/events HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let began = Instant::now();
        let mut text = String::new();
        let mut buffer = [0; 4096];
        while !text.contains(": heartbeat") {
            assert!(began.elapsed() < Duration::from_secs(60), "{text}");
            let read = tokio::time::timeout(SOON, tokio::io::AsyncReadExt::read(&mut stream, &mut buffer));
            let read = read.await.expect("something comes").expect("read");
            assert!(read > 0, "it ended: {text}");
            text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    })
    .await;
}
