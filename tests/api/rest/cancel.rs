//! Cancelling over REST.

use harness::*;
use hyper::Method;
use serde_json::json;

use super::{body, body_with, served, served_and_held, status_when};
use crate::stage::started;

async fn cancel(rest: &Rest, id: &str) -> Answer {
    rest.send(Method::POST, &format!("/api/v1/tasks/{id}/cancel"), &[], None).await
}

#[tokio::test]
async fn a_task_that_waits_is_cancelled() {
    in_namespace("rest-cancel", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let id = rest.submit(&body()).await;
        let answer = cancel(&rest, &id).await;
        assert_eq!((answer.status, answer.task_id()), (202, id.clone()));
        status_when(&rest, &id, "cancelled").await;
        let result = rest.get(&format!("/api/v1/tasks/{id}/result")).await.json();
        assert_eq!((&result["status"], result["error"]["reason"].is_string()), (&json!("cancelled"), true));
        let again = cancel(&rest, &id).await;
        assert_eq!((again.status, &again.json()["status"]), (200, &json!("cancelled")));
    })
    .await;
}

#[tokio::test]
async fn a_task_that_runs_is_cancelled_and_one_that_is_done_stays_as_it_is() {
    in_namespace("rest-cancel-run", async |ns| {
        let (node, _operator, rest) = served(&ns).await;
        let done = rest.submit(&body()).await;
        status_when(&rest, &done, "completed").await;
        let answer = cancel(&rest, &done).await;
        assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("completed")));
        node.script("runs", [Outcome::Hold]);
        let id = rest.submit(&body_with(json!({"name": "runs"}))).await;
        started(&node, "runs", 1).await;
        status_when(&rest, &id, "processing").await;
        assert_eq!(cancel(&rest, &id).await.status, 202);
        status_when(&rest, &id, "cancelled").await;
        assert_eq!(rest.status(&done).await["status"], "completed");
    })
    .await;
}
