//! What the work in a pod says over HTTP, with its pod's own token.

mod checkpoints;
mod errors;
mod progress;
mod refusals;
mod replicas;
mod results;
mod strangers;

use harness::*;
use serde_json::{Value, json};

/// A type "work", somebody to run its pods, and an operator that listens to them and serves REST.
async fn listening(ns: &Namespace) -> (FakeNode, Operator, Rest) {
    ns.account_for_pods().await;
    ns.create(&task_type("work")).await;
    let node = ns.fake_node();
    let operator = Operator::with_worker(ns, &[]).await;
    let rest = operator.rest();
    (node, operator, rest)
}

/// A task "one" whose first attempt is at work: its id, and its pod.
async fn at_work(ns: &Namespace, node: &FakeNode, operator: &Operator) -> (String, Worker) {
    node.script("one", [Outcome::Hold]);
    let id = operator.rest().submit(&submission("one")).await;
    let worker = Worker::of(ns, node, operator.worker(), "one", 1).await;
    runs(&operator.rest(), &id, 1).await;
    (id, worker)
}

/// Waits until this replica's own watch has shown that this attempt runs.
async fn runs(rest: &Rest, id: &str, attempt: i32) {
    eventually("the attempt is told to run", SOON, async || {
        let status = rest.status(id).await;
        (status["status"] == "processing" && status["attempt"] == attempt).then_some(())
    })
    .await;
}

fn submission(name: &str) -> Value {
    json!({"task_type": "work", "name": name, "payload": {}, "retry": {"limit": 3, "initial_seconds": 0}})
}

#[track_caller]
fn taken(answer: &Answer) {
    assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{answer:?}");
}

/// The result, once this replica's watch has shown that there is one.
async fn result_of(rest: &Rest, id: &str) -> Answer {
    eventually("the result is told", SOON, async || {
        Some(rest.get(&format!("/api/v1/tasks/{id}/result")).await).filter(|answer| answer.status != 409)
    })
    .await
}
