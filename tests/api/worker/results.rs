//! A result that is too large for the result file.

use std::time::{Duration, Instant};

use harness::*;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use task_manager::api::{Reason, State, TaskStatus};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{at_work, listening, result_of, submission, taken};

const LARGEST: usize = 16 << 20;

#[tokio::test]
async fn sixteen_mebibytes_come_back_as_they_were_handed_over_and_a_byte_more_is_refused() {
    in_namespace("worker-large", async |ns| {
        let (node, operator, rest) = listening(&ns).await;
        let (id, worker) = at_work(&ns, &node, &operator).await;
        let content: String = (0..LARGEST / 16).map(|number| format!("{number:015}\n")).collect();
        let more = worker.result("text/csv", content.clone() + "x").await;
        assert_eq!((more.status, more.problem().0.as_str()), (413, "body-too-large"));
        // On a disk that has much else to do it may not be stored in time; then it is said again.
        eventually("it is stored", SOON, async || {
            let answer = worker.result("text/csv", content.clone()).await;
            (answer.status != 503).then(|| taken(&answer))
        })
        .await;
        let written = ns.task("one").await.status.expect("a status").result_ref.expect("a result");
        assert_eq!((written.content_type.as_str(), written.bytes), ("text/csv", LARGEST as i64));
        let path = format!("/api/v1/tasks/{id}/result");
        assert_eq!(rest.get(&path).await.status, 409, "its end is exit code 0, as always");
        // What was handed over goes before what was left.
        node.end("one", Outcome::result(r#"{"left": true}"#));
        ns.task_in("one", State::Completed).await;
        let check = async |when: &str| {
            let answer = result_of(&rest, &id).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/csv")), "{when}");
            assert!(answer.text == content, "{when}: another content");
        };
        check("while its task is there").await;
        let whole = rest.get(&format!("/api/v1/tasks/{id}")).await.json();
        assert_eq!(whole["large_result"], json!({"content_type": "text/csv", "bytes": LARGEST}));
        assert_eq!(whole.get("result"), None);
        ns.tasks().delete("one", &DeleteParams::default()).await.expect("deleted");
        eventually("the task is gone", SOON, async || ns.tasks().get_opt("one").await.ok()?.is_none().then_some(()))
            .await;
        check("when its task is gone").await;
    })
    .await;
}

#[tokio::test]
async fn a_large_result_in_json_reads_as_every_result_does() {
    in_namespaces("worker-json", async |ns| {
        let (node, operator, rest) = listening(&ns).await;
        let (id, worker) = at_work(&ns, &node, &operator).await;
        assert_eq!(worker.result("application/json", "{\"a\":".into()).await.status, 400);
        let result = json!({"pages": (0..2000).map(|page| format!("page {page}")).collect::<Vec<_>>()});
        taken(&worker.result("application/json; charset=utf-8", result.to_string()).await);
        node.end("one", Outcome::succeed());
        ns.task_in("one", State::Completed).await;
        let told = result_of(&rest, &id).await.json();
        assert_eq!((&told["status"], &told["result"]), (&json!("completed"), &result));
        assert!(told["processed_at"].is_string());
    })
    .await;
}

#[tokio::test]
async fn the_result_is_that_of_the_attempt_that_succeeded() {
    in_namespace("worker-again", async |ns| {
        let (node, operator, rest) = listening(&ns).await;
        node.script("one", [Outcome::Hold, Outcome::result("\"small\"")]);
        let id = rest.submit(&submission("one")).await;
        let first = Worker::of(&ns, &node, operator.worker(), "one", 1).await;
        taken(&first.result("text/plain", "of the first attempt".into()).await);
        // The last one handed over counts.
        taken(&first.result("text/plain", "of the first attempt, again".into()).await);
        node.end("one", Outcome::exit(1));
        let status = ns.task_in("one", State::Completed).await.status.expect("a status");
        assert_eq!((status.attempt, status.result_ref), (2, None));
        let told = result_of(&rest, &id).await.json();
        assert_eq!(told["result"], "small");
    })
    .await;
}

#[tokio::test]
async fn a_result_that_was_taken_is_the_result_though_the_operator_is_killed_at_once() {
    in_namespace("worker-kept", async |ns| {
        let (node, mut operator, rest) = listening(&ns).await;
        let (id, worker) = at_work(&ns, &node, &operator).await;
        taken(&worker.result("text/plain", "kept".into()).await);
        operator.kill().await;
        node.end("one", Outcome::succeed());
        operator.start_again().await;
        ns.task_in("one", State::Completed).await;
        assert_eq!(result_of(&rest, &id).await.text, "kept");
    })
    .await;
}

#[tokio::test]
async fn a_task_that_ran_before_hands_over_the_large_result_of_the_one_that_ran() {
    in_namespace("worker-once", async |ns| {
        let (node, operator, rest) = listening(&ns).await;
        node.script("one", [Outcome::Hold]);
        let once = task("one").with(|spec| spec.once = true);
        let ran = ns.create(&once).await.uid().expect("a uid");
        let worker = Worker::of(&ns, &node, operator.worker(), "one", 1).await;
        taken(&worker.result("text/plain", "large".into()).await);
        node.end("one", Outcome::succeed());
        for _ in 0..2 {
            ns.task_when("one", "is recorded", |_, status| status.is_archived()).await;
            ns.tasks().delete("one", &DeleteParams::default()).await.expect("deleted");
            eventually("the task is gone", SOON, async || {
                ns.tasks().get_opt("one").await.ok()?.is_none().then_some(())
            })
            .await;
            let again = ns.create(&once).await.uid().expect("a uid");
            let status = ns.task_in("one", State::Completed).await.status.expect("a status");
            assert_eq!((status.reason, status.attempt), (Reason::RanBefore, 0));
            assert_eq!(status.result_ref.and_then(|left| left.uid), Some(ran.clone()));
            assert_eq!(result_of(&rest, &again).await.text, "large");
        }
    })
    .await;
}

#[tokio::test]
async fn a_run_id_that_is_used_again_hands_over_a_large_result_again() {
    in_namespace("worker-reused", async |ns| {
        let (node, operator, rest) = listening(&ns).await;
        node.script("one", [Outcome::exit(1), Outcome::Hold, Outcome::succeed(), Outcome::Hold]);
        let id = rest.submit(&submission("one")).await;
        let first = Worker::of(&ns, &node, operator.worker(), "one", 2).await;
        taken(&first.result("text/plain", "first".into()).await);
        node.end("one", Outcome::succeed());
        ns.task_in("one", State::Completed).await;
        ns.patch_task("one", json!({"runId": "2"})).await.expect("accepted");
        let is_second = |status: &TaskStatus| status.run_id.as_deref() == Some("2");
        ns.task_when("one", "ran", |_, status| is_second(status) && status.state == State::Completed).await;
        ns.patch_task("one", json!({"runId": "1"})).await.expect("accepted");
        ns.task_when("one", "runs again", |_, status| !is_second(status) && status.state == State::Processing).await;
        let again = Worker::of(&ns, &node, operator.worker(), "one", 4).await;
        taken(&again.result("text/plain", "again".into()).await);
        node.end("one", Outcome::succeed());
        ns.task_in("one", State::Completed).await;
        assert_eq!(result_of(&rest, &id).await.text, "again");
    })
    .await;
}

#[tokio::test]
async fn who_sends_a_result_and_stops_is_cut_off() {
    in_namespace("worker-slow", async |ns| {
        let (node, operator, rest) = listening(&ns).await;
        let (id, worker) = at_work(&ns, &node, &operator).await;
        let mut stream = TcpStream::connect(operator.worker().address).await.expect("connected");
        let head = format!(
            "PUT /worker/v1/result HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 1000\r\n\r\nbegun",
            worker.token
        );
        let began = Instant::now();
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        let read = tokio::time::timeout(SOON, stream.read_to_string(&mut answer)).await;
        read.expect("it is cut off").expect("an answer, and the end");
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(began.elapsed() >= Duration::from_secs(5), "it had no time at all");
        let status: Value = rest.status(&id).await;
        assert_eq!(status["status"], "processing");
        let task = ns.task("one").await;
        assert_eq!(task.status.as_ref().and_then(|status| status.result_ref.clone()), None, "{}", task.name_any());
    })
    .await;
}
