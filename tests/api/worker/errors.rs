//! Why the work will fail.

use harness::*;
use serde_json::json;
use task_manager::api::{Reason, State};

use super::{at_work, listening, taken};
use crate::stage::a_checked_type;

#[tokio::test]
async fn an_error_that_was_taken_is_judged_though_the_operator_is_killed_at_once() {
    in_namespace("worker-error", async |ns| {
        let (node, mut operator, _) = listening(&ns).await;
        let (_, worker) = at_work(&ns, &node, &operator).await;
        taken(&worker.error(&json!({"type": "BadInput", "message": "page 3 is torn", "retryable": false})).await);
        operator.kill().await;
        let status = ns.task("one").await.status.expect("a status");
        assert_eq!(status.reported_error.and_then(|error| error.type_).as_deref(), Some("BadInput"));
        node.end("one", Outcome::exit(1));
        operator.start_again().await;
        let status = ns.task_in("one", State::Failed).await.status.expect("a status");
        assert_eq!((status.reason, status.attempt, &status.reported_error), (Reason::ReportedError, 1, &None));
        assert!(status.message.as_ref().is_some_and(|told| told.starts_with("BadInput: page 3 is torn")), "{status:?}");
    })
    .await;
}

#[tokio::test]
async fn the_same_error_said_twice_is_written_once_and_exit_code_0_is_still_success() {
    in_namespace("worker-error-0", async |ns| {
        let (node, operator, _) = listening(&ns).await;
        let (_, worker) = at_work(&ns, &node, &operator).await;
        a_checked_type(&ns).await;
        taken(&worker.error(&json!({"type": "BadInput"})).await);
        let writes = operator.writes().await;
        taken(&worker.error(&json!({"type": "BadInput"})).await);
        assert_eq!(operator.writes().await, writes);
        node.end("one", Outcome::succeed());
        let status = ns.task_in("one", State::Completed).await.status.expect("a status");
        assert_eq!(status.reported_error, None);
    })
    .await;
}
