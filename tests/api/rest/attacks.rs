//! Clients that mean no good, or cannot help it.

use std::time::{Duration, Instant};

use harness::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{body, served_and_held};

/// A client that trickles is cut off long before, and one that says nothing a while before.
const CUT_OFF_WITHIN: Duration = Duration::from_secs(90);
/// As many requests are served at once.
const AT_ONCE: usize = 256;
const BULKS_AT_ONCE: usize = 4;

async fn connect(rest: &Rest) -> TcpStream {
    TcpStream::connect(rest.address).await.expect("connected")
}

/// Sends `first`, then a byte a while for ever; returns what it was told when it was cut off.
async fn trickle(rest: &Rest, first: &str) -> String {
    let mut stream = connect(rest).await;
    stream.write_all(first.as_bytes()).await.expect("sent");
    let mut told = Vec::new();
    let mut buffer = [0; 4096];
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < CUT_OFF_WITHIN, "it was never cut off");
        match tokio::time::timeout(Duration::from_millis(250), stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return String::from_utf8_lossy(&told).into(),
            Ok(Ok(read)) => told.extend_from_slice(&buffer[..read]),
            // Fails when the other side is gone, which the next read tells.
            Err(_) => drop(stream.write_all(b"x").await),
        }
    }
}

#[tokio::test]
async fn who_sends_a_byte_a_while_or_nothing_is_cut_off() {
    in_namespace("rest-slow", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let head = "POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
        let slow_body = format!("{head}Content-Length: 1000\r\n\r\n{{");
        let slow_chunks = format!("{head}Transfer-Encoding: chunked\r\n\r\n3e8\r\n");
        let (header, body, chunks) = tokio::join!(
            trickle(&rest, "GET /api/v1/tasks HTTP/1.1\r\nX-Slow: "),
            trickle(&rest, &slow_body),
            trickle(&rest, &slow_chunks)
        );
        assert_eq!(header, "");
        for told in [body, chunks] {
            assert!(told.starts_with("HTTP/1.1 408") && told.contains("/problems/slow-body"), "{told}");
        }
        let mut silent = connect(&rest).await;
        let mut nothing = vec![];
        let read = tokio::time::timeout(CUT_OFF_WITHIN, silent.read_to_end(&mut nothing)).await;
        assert!(read.is_ok(), "who says nothing is cut off");
        rest.submit(&body_of_a_friend()).await;
    })
    .await;
}

fn body_of_a_friend() -> serde_json::Value {
    body()
}

#[tokio::test]
async fn requests_beyond_the_bound_are_sent_away_until_there_is_room() {
    in_namespace("rest-busy", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let mut waiting = vec![];
        for _ in 0..AT_ONCE {
            let mut stream = connect(&rest).await;
            let head =
                "POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n";
            stream.write_all(head.as_bytes()).await.expect("sent");
            waiting.push(stream);
        }
        let busy = eventually("it is busy", SOON, async || {
            Some(rest.get("/api/v1/tasks").await).filter(|answer| answer.status == 503)
        })
        .await;
        assert_eq!((busy.problem().0.as_str(), busy.header("retry-after")), ("busy", Some("1")));
        drop(waiting);
        eventually("there is room again", SOON, async || (rest.get("/api/v1/tasks").await.status == 200).then_some(()))
            .await;
    })
    .await;
}

/// Sends the beginning of a large body, of which nothing follows.
async fn begin_a_bulk(rest: &Rest) -> TcpStream {
    let mut stream = connect(rest).await;
    let head = "POST /api/v1/tasks/bulk HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    stream.write_all(format!("{head}Content-Length: 9000000\r\n\r\n{{").as_bytes()).await.expect("sent");
    stream
}

#[tokio::test]
async fn only_so_many_large_bodies_are_read_at_once() {
    in_namespace("rest-bulks", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let none = serde_json::json!({"tasks": []});
        // They are waited for as long as any body is, so each try begins with new ones.
        let (waiting, busy) = eventually("it is busy", SOON, async || {
            let mut waiting = vec![];
            for _ in 0..BULKS_AT_ONCE {
                waiting.push(begin_a_bulk(&rest).await);
            }
            let answer = rest.post("/api/v1/tasks/bulk", &none).await;
            (answer.status == 503).then_some((waiting, answer))
        })
        .await;
        assert_eq!(busy.problem().0, "busy");
        drop(waiting);
        eventually("there is room again", SOON, async || {
            (rest.post("/api/v1/tasks/bulk", &none).await.status == 422).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn nonsense_on_the_wire_is_answered_or_cut_off_and_hurts_nobody() {
    in_namespace("rest-nonsense", async |ns| {
        let (operator, rest) = served_and_held(&ns).await;
        let many_headers: String = (0..100).map(|number| format!("X-{number}: 1\r\n")).collect();
        for text in [
            "\r\n\r\n\r\n".to_owned(),
            "\u{0}\u{1}\u{2}\r\n\r\n".into(),
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(),
            format!("GET /api/v1/tasks HTTP/1.1\r\nHost: x\r\n{many_headers}\r\n"),
            format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000)),
            "GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n".into(),
            "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n".into(),
            "POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            "POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n".into(),
            "GET /api/v1/tasks/\u{7f}/status HTTP/1.1\r\nHost: x\r\n\r\n".into(),
        ] {
            let mut stream = connect(&rest).await;
            // It may be cut off in the middle.
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
            let mut told = vec![];
            let read = tokio::time::timeout(CUT_OFF_WITHIN, stream.read_to_end(&mut told)).await;
            assert!(read.is_ok(), "not cut off: {text:.60}");
            let told = String::from_utf8_lossy(&told);
            assert!(!told.starts_with("HTTP/1.1 5"), "{text:.60}: {told}");
        }
        rest.submit(&body_of_a_friend()).await;
        assert!(!operator.logged().contains("panicked"), "{}", operator.logged());
    })
    .await;
}

#[tokio::test]
async fn a_request_that_has_begun_is_answered_when_the_operator_stops() {
    in_namespace("rest-stop", async |ns| {
        let (mut operator, rest) = served_and_held(&ns).await;
        let body = body().to_string();
        let mut stream = connect(&rest).await;
        let head = format!(
            "POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut keep_alive = connect(&rest).await;
        keep_alive.write_all(b"GET /api/v1/tasks HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
        let mut first = [0; 64];
        keep_alive.read_exact(&mut first).await.expect("an answer");
        let finishes = async {
            eventually("it was asked to stop", SOON, async || {
                operator_log(&ns).contains("asked to stop").then_some(())
            })
            .await;
            stream.write_all(body.as_bytes()).await.expect("sent");
            let mut told = String::new();
            stream.read_to_string(&mut told).await.expect("an answer");
            told
        };
        let (ended, told) = tokio::join!(operator.stop(), finishes);
        assert!(ended.status.success());
        assert!(told.starts_with("HTTP/1.1 202"), "{told}");
    })
    .await;
}

fn operator_log(ns: &Namespace) -> String {
    let log = target().join("test-logs/operators").join(format!("{}-1.log", ns.name));
    std::fs::read_to_string(log).unwrap_or_default()
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_in_a_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let flags = ["run", "--health-addr", "127.0.0.1:0", "--http-addr", &address];
    let mut command = Operator::command();
    let command = command.args(flags).env("KUBECONFIG", Cluster::ControlPlane.kubeconfig()).kill_on_drop(true);
    let ended = tokio::time::timeout(SOON, command.output()).await.expect("it ends").expect("its output");
    assert!(!ended.status.success());
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains(&format!("failed to listen on {address}")) && said.contains("--http-addr"), "{said}");
}

#[tokio::test]
async fn who_has_said_all_and_closed_that_half_is_answered() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    in_namespace("rest-half", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let body = body().to_string();
        let head = format!(
            "POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
        for _ in 0..10 {
            let mut socket = tokio::net::TcpStream::connect(rest.address).await.expect("a connection");
            socket.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes()).await.expect("sent");
            socket.shutdown().await.expect("half closed");
            let mut answer = String::new();
            tokio::time::timeout(SOON, socket.read_to_string(&mut answer)).await.expect("in time").expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 202"), "{answer:?}");
        }
    })
    .await;
}
