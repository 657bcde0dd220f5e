//! Submissions whose outcome the operator is not told: they are looked for, and a task of another's is never taken for one.

use harness::faults::{Fault, Kind, Plan, Point, Wire, WiredOperator};
use harness::*;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use crate::stage::{a_checked_type, started};

/// The outcomes of a request that was carried out and not answered so.
const UNKNOWN: [Fault; 2] = [Fault::AnswerLost, Fault::CarriedOutBut(504)];

fn first(label: &str, fault: Fault) -> Plan {
    Plan::At(Point { kind: Kind::Write, label: label.to_owned(), occurrence: 1 }, fault)
}

#[tokio::test]
async fn a_submission_that_was_carried_out_and_not_answered_is_taken_whoever_named_it() {
    in_namespace("unanswered-submission", async |ns| {
        ns.create(&task_type("work")).await;
        let _node = ns.fake_node();
        for (number, fault) in UNKNOWN.into_iter().enumerate() {
            let name = ["first", "second"][number];
            let wire = Wire::of([first(&format!("POST tasks {name}"), fault), first("POST tasks work", fault)]);
            let (operator, rest) = WiredOperator::with_rest(&ns, &wire, &[]).await;
            a_checked_type(&ns).await;
            let known = ns.tasks().list(&ListParams::default()).await.expect("tasks").items.len();
            let body = json!({"task_type": "work", "payload": {}, "name": name});
            let taken = rest.post("/api/v1/tasks", &body).await;
            assert_eq!(taken.status, 202, "{fault:?}: {}", taken.text);
            assert_eq!(ns.task(name).await.uid(), Some(taken.task_id()), "{fault:?}");
            let again = rest.post("/api/v1/tasks", &body).await;
            assert_eq!((again.status, again.problem()), (409, ("exists".into(), Some("name".into()))), "{fault:?}");
            let unnamed = rest.post("/api/v1/tasks", &json!({"task_type": "work", "payload": {}})).await;
            assert_eq!(unnamed.status, 202, "{fault:?}: {}", unnamed.text);
            assert!(wire.has_struck());
            let tasks = ns.tasks().list(&ListParams::default()).await.expect("tasks").items;
            assert_eq!(tasks.len(), known + 2, "each is there once");
            operator.stop().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_submission_that_was_not_carried_out_does_not_pass_for_a_task_of_its_name() {
    in_namespace("strangers-name", async |ns| {
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        let wire = Wire::new(first("POST tasks one", Fault::Answer(504)));
        let (_operator, rest) = WiredOperator::with_rest(&ns, &wire, &[]).await;
        a_checked_type(&ns).await;
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        let body = json!({"task_type": "work", "payload": {}, "name": "one"});
        let answer = rest.post("/api/v1/tasks", &body).await;
        assert_eq!((answer.status, answer.problem().0.as_str()), (503, "api-server"), "{}", answer.text);
        assert_eq!(rest.post("/api/v1/tasks", &body).await.status, 409);
    })
    .await;
}
