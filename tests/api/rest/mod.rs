//! The REST shim, as a service behind a gateway meets it.

mod archived;
mod attacks;
mod away;
mod bulk;
mod cancel;
mod catalog;
mod changes;
mod errors;
mod events;
mod idempotency;
mod life;
mod lists;
mod logs;
mod manners;
mod readme;
mod replays;
mod replicas;
mod takeover;
mod unanswered;
mod values;
mod verdict;
mod waits;

use harness::*;
use serde_json::{Value, json};

use crate::stage::started;

/// A type "work", somebody to run its pods, and an operator that serves REST.
pub async fn served(ns: &Namespace) -> (FakeNode, Operator, Rest) {
    ns.create(&task_type("work")).await;
    let node = ns.fake_node();
    let operator = Operator::with_rest(ns, &[]).await;
    let rest = operator.rest();
    (node, operator, rest)
}

/// The same where tasks wait: nothing starts.
pub async fn served_and_held(ns: &Namespace) -> (Operator, Rest) {
    ns.create(&task_type("work")).await;
    ns.create(&task_queue("default", 50).with(|spec| spec.suspend = true)).await;
    let operator = Operator::with_rest(ns, &[]).await;
    let rest = operator.rest();
    (operator, rest)
}

/// An operator that serves REST, and a queue that one task fills.
pub async fn served_and_full(ns: &Namespace) -> (FakeNode, Operator, Rest) {
    ns.create(&task_type("work")).await;
    ns.create(&task_queue("default", 1)).await;
    let node = ns.fake_node();
    node.script("holds", [Outcome::Hold]);
    let operator = Operator::with_rest(ns, &[]).await;
    let rest = operator.rest();
    ns.create(&task("holds")).await;
    started(&node, "holds", 1).await;
    (node, operator, rest)
}

/// The least that a service sends.
pub fn body() -> Value {
    json!({"task_type": "work", "kb_id": "kb-1", "payload": {"a": 1}})
}

/// `body()` with more.
pub fn body_with(more: Value) -> Value {
    let mut body = body();
    body.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    body
}

/// The status once it says so.
pub async fn status_when(rest: &Rest, id: &str, status: &str) -> Value {
    eventually(&format!("task {id} is {status}"), SOON, async || {
        Some(rest.status(id).await).filter(|told| told["status"] == status)
    })
    .await
}
