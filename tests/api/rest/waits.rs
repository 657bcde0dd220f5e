//! Why a task waits, over REST: for every task, at once, on every replica.

use harness::*;
use serde_json::{Value, json};

use super::{body, body_with, served_and_full};
use crate::stage::{manifest, started};

/// Reason, message and place of a task.
fn wait(status: &Value) -> (String, String, Option<u64>) {
    let text = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("message"), status["queue_position"].as_u64())
}

/// The status once it says this reason.
async fn waits_for(rest: &Rest, id: &str, reason: &str) -> (String, String, Option<u64>) {
    eventually(&format!("it waits for {reason}"), SOON, async || {
        let wait = wait(&rest.status(id).await);
        (wait.0 == reason).then_some(wait)
    })
    .await
}

#[tokio::test]
async fn every_task_of_a_backlog_is_told_at_once_why_it_waits_its_place_and_who_is_first() {
    in_namespace("rest-waits", async |ns| {
        let (node, _operator, rest) = served_and_full(&ns).await;
        let first = rest.submit(&body_with(json!({"name": "nightly-7"}))).await;
        let mut ids = vec![];
        for _ in 0..30 {
            ids.push(rest.submit(&body()).await);
        }
        let told = waits_for(&rest, &first, "QueueFull").await;
        assert_eq!((told.1.as_str(), told.2), ("tasks: 1 of 1 used; first of 31 in line", Some(1)));
        let answer = rest.post("/api/v1/tasks/status", &json!({"task_ids": ids})).await.json();
        for (at, status) in answer["statuses"].as_array().expect("a list").iter().enumerate() {
            let place = at as u64 + 2;
            let words = format!("tasks: 1 of 1 used; nightly-7 is first in line; place {place} of 31");
            assert_eq!(wait(status), ("QueueFull".into(), words, Some(place)));
        }
        assert_eq!(wait(&rest.get(&format!("/api/v1/tasks/{}", ids[29])).await.json()).2, Some(31));
        ns.apply(manifest("TaskQueue", "default", json!({"capacity": {"tasks": 1}, "suspend": true})))
            .await
            .expect("accepted");
        let told = waits_for(&rest, &ids[29], "QueueSuspended").await;
        assert_eq!((told.1.as_str(), told.2), ("queue default is suspended", None));
        node.end("holds", Outcome::succeed());
    })
    .await;
}

#[tokio::test]
async fn limits_of_type_key_and_operator_are_told_with_numbers_also_by_a_replica_that_does_not_lead() {
    in_namespace("rest-limits", async |ns| {
        ns.create(&task_type("work").with(|spec| spec.max_concurrent_per_kb_id = Some(1))).await;
        ns.create(&task_type("single").with(|spec| spec.max_concurrent = Some(1))).await;
        let node = ns.fake_node();
        node.otherwise(Outcome::Hold);
        let flags = ["--max-running-tasks", "2"];
        let leader = Operator::with_rest(&ns, &flags).await;
        let follower = Operator::with_rest(&ns, &flags).await;
        let (rest, other) = (leader.rest(), follower.rest());
        rest.submit(&body_with(json!({"name": "w-0"}))).await;
        rest.submit(&body_with(json!({"name": "s-0", "task_type": "single", "kb_id": "kb-9"}))).await;
        started(&node, "w-0", 1).await;
        started(&node, "s-0", 1).await;
        let key = rest.submit(&body()).await;
        let type_ = rest.submit(&body_with(json!({"task_type": "single", "kb_id": "kb-9"}))).await;
        let any = rest.submit(&body_with(json!({"kb_id": "kb-2", "name": "any"}))).await;
        for rest in [&rest, &other] {
            let told = waits_for(rest, &key, "KeyLimit").await;
            assert_eq!((told.1.as_str(), told.2), ("type work, kbId kb-1: 1 of 1 tasks run", None));
            let told = waits_for(rest, &type_, "TypeLimit").await;
            assert_eq!((told.1.as_str(), told.2), ("type single: 1 of 1 tasks run", None));
            let told = waits_for(rest, &any, "OperatorLimit").await;
            let words = "2 of 2 tasks run in all queues of this operator; first of 1 in line";
            assert_eq!((told.1.as_str(), told.2), (words, Some(1)));
        }
    })
    .await;
}

#[tokio::test]
async fn a_stream_tells_another_reason_as_it_comes_and_numbers_now_and_then() {
    in_namespace("rest-reasons", async |ns| {
        let (_node, _operator, rest) = served_and_full(&ns).await;
        let id = rest.submit(&body_with(json!({"name": "waits"}))).await;
        waits_for(&rest, &id, "QueueFull").await;
        let mut events = rest.events(&id, None).await;
        let first = events.next().await.expect("an event");
        assert_eq!((first.event.as_str(), &first.data["reason"]), ("state", &json!("QueueFull")));
        ns.apply(manifest("TaskQueue", "default", json!({"capacity": {"tasks": 1}, "suspend": true})))
            .await
            .expect("accepted");
        let told = loop {
            let told = events.next().await.expect("an event");
            if told.event == "waiting" {
                break told.data;
            }
        };
        assert_eq!(
            (&told["reason"], &told["message"]),
            (&json!("QueueSuspended"), &json!("queue default is suspended"))
        );
        assert_eq!(told["task_id"], json!(id));
    })
    .await;
}
