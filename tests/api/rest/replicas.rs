//! Any replica answers any request, whether it leads or not.

use harness::*;
use serde_json::json;

use super::{body, body_with, served, status_when};

#[tokio::test]
async fn what_was_submitted_to_one_replica_is_known_to_the_other_at_once() {
    in_namespace("rest-two", async |ns| {
        let (_node, first, rest) = served(&ns).await;
        let second = Operator::with_rest(&ns, &["--identity", "second"]).await;
        let other = second.rest();
        for number in 0..50 {
            let (one, two) = if number % 2 == 0 { (&rest, &other) } else { (&other, &rest) };
            let id = one.submit(&body()).await;
            assert_eq!(two.status(&id).await["task_id"], json!(id));
        }
        let id = other.submit(&body_with(json!({"name": "last"}))).await;
        for replica in [&rest, &other] {
            status_when(replica, &id, "completed").await;
            let result = replica.get(&format!("/api/v1/tasks/{id}/result")).await;
            assert_eq!(result.status, 200, "{}", result.text);
        }
        drop(first);
    })
    .await;
}
