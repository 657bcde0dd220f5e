//! What is answered while the API server cannot be reached.

use harness::faults::{Plan, Wire, WiredOperator};
use harness::*;

use super::body;

#[tokio::test]
async fn while_the_watch_is_broken_no_id_is_unknown_and_what_is_known_is_served() {
    in_namespace("rest-cut", async |ns| {
        ns.create(&task_type("work")).await;
        ns.create(&task_queue("default", 0)).await;
        let wire = Wire::new(Plan::Faultless);
        let (_operator, rest) = WiredOperator::with_rest(&ns, &wire, &[]).await;
        let rest = rest.patient();
        let id = rest.submit(&body()).await;
        let unknown = async |status, kind| {
            let path = "/api/v1/tasks/00000000-0000-4000-8000-000000000000/status";
            eventually(&format!("an unknown id is answered with {status}"), SOON, async || {
                let answer = rest.get(path).await;
                ((answer.status, answer.problem().0.as_str()) == (status, kind)).then_some(answer)
            })
            .await
        };
        unknown(404, "unknown-task").await;
        wire.cut();
        assert!(unknown(503, "not-ready").await.header("retry-after").is_some());
        assert_eq!(rest.status(&id).await["status"], "queued");
        let answer = rest.post("/api/v1/tasks", &body()).await;
        assert_eq!((answer.status, answer.problem().0.as_str()), (503, "api-server"));
        wire.mend();
        unknown(404, "unknown-task").await;
    })
    .await;
}
