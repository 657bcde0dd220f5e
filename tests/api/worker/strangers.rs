//! Whoever reaches the worker port, and is nobody: the others are heard all the same.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use harness::faults::{Plan, Wire, WiredOperator};
use harness::*;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use super::{at_work, listening, taken};

/// More than the port serves at once.
const STRANGERS: usize = 300;
/// A pod that is heard need not wait for strangers.
const HEARD: Duration = Duration::from_secs(5);

/// A connection from an address that is no pod's of ours.
async fn stranger(to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.2:0".parse().expect("an address")).expect("an address of this machine");
    socket.connect(to).await.expect("connected")
}

/// Begins a report that is never whole, with this token.
async fn begins(to: SocketAddr, token: &str) -> TcpStream {
    let mut stream = stranger(to).await;
    let head = format!(
        "POST /worker/v1/progress HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    );
    // Fails where it was sent away before it had said all.
    let _ = stream.write_all(head.as_bytes()).await;
    stream
}

#[tokio::test]
async fn strangers_keep_no_pod_from_being_heard() {
    in_namespace("worker-strangers", async |ns| {
        let (node, operator, rest) = listening(&ns).await;
        let (id, worker) = at_work(&ns, &node, &operator).await;
        let to = operator.worker_address();
        let mut percent = 10;
        for is_likely in [false, true] {
            let mut strangers = vec![];
            for number in 0..STRANGERS {
                let claims = json!({"aud": ["task-manager"], "kubernetes.io": {"pod": {"uid": number.to_string()}}});
                let likely = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
                let token = if is_likely { likely } else { format!("nonsense-{number}") };
                strangers.push(begins(to, &token).await);
            }
            for _ in 0..5 {
                percent += 5;
                let heard = tokio::time::timeout(HEARD, worker.progress(&json!({"percent": percent}))).await;
                taken(&heard.expect("it is answered soon"));
            }
            assert_eq!(rest.status(&id).await["progress"]["percent"], percent);
            drop(strangers);
        }
    })
    .await;
}

#[tokio::test]
async fn a_token_that_is_nobodys_by_its_own_word_costs_the_api_server_nothing() {
    in_namespace("worker-nobody", async |ns| {
        let wire = Wire::new(Plan::Faultless);
        let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
        let (to, url) = (free.to_string(), format!("http://{free}"));
        let operator = WiredOperator::start(&ns, &wire, &["--worker-addr", &to, "--worker-url", &url]);
        eventually("it listens", SOON, async || operator.logged().contains("the worker port is served").then_some(()))
            .await;
        let token = |claims: Value| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let for_another = token(json!({"aud": ["another"], "kubernetes.io": {"pod": {"uid": "1"}}}));
        let worker = Rest::at(free);
        let refused = async |token: &str| {
            let bearer = format!("Bearer {token}");
            worker.post_with("/worker/v1/progress", &[("authorization", &bearer)], &json!({"percent": 1})).await.status
        };
        let reviews = || wire.passed().iter().filter(|passed| passed.point.label.contains("tokenreviews")).count();
        for _ in 0..100 {
            assert_eq!((refused("nonsense").await, refused(&for_another).await), (401, 401));
        }
        assert_eq!(reviews(), 0, "{wire}");
        let likely = token(json!({"aud": ["task-manager"], "kubernetes.io": {"pod": {"uid": "1"}}}));
        for _ in 0..10 {
            assert_eq!(refused(&likely).await, 401);
        }
        assert!((1..=2).contains(&reviews()), "a verdict is remembered for a few seconds: {wire}");
    })
    .await;
}
