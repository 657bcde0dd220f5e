//! Any replica listens, whether it leads or not; and what was said is seen on every one.

use std::time::Duration;

use harness::*;
use k8s_openapi::api::coordination::v1::Lease;
use serde_json::json;
use task_manager::api::State;

use super::{at_work, listening, result_of, runs, taken};

/// A lease runs out after ten seconds.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(30);

/// A replica beside the one that leads, which knows who that is.
async fn beside(ns: &Namespace) -> Operator {
    let second = Operator::with_worker(ns, &["--identity", "second"]).await;
    let lease = ns.api::<Lease>().get("task-manager").await.expect("the Lease");
    let said = lease.metadata.annotations.unwrap_or_default();
    assert!(said.contains_key("taskmanager.dev/worker-url"), "{said:?}");
    second
}

async fn next_percent(events: &mut Events) -> Option<i64> {
    loop {
        let told = events.next().await?;
        if told.event == "progress" {
            return told.data["percent"].as_i64();
        }
    }
}

#[tokio::test]
async fn what_is_said_to_one_replica_is_seen_on_both() {
    in_namespace("worker-both", async |ns| {
        let (node, leader, rest) = listening(&ns).await;
        let second = beside(&ns).await;
        let other = second.rest();
        let (id, worker) = at_work(&ns, &node, &leader).await;
        runs(&other, &id, 1).await;
        let mut streams = [rest.events(&id, None).await, other.events(&id, None).await];
        for (percent, way) in [(10, second.worker()), (20, leader.worker()), (30, second.worker())] {
            taken(&worker.through(way).progress(&json!({"percent": percent})).await);
            for events in &mut streams {
                assert_eq!(next_percent(events).await, Some(percent));
            }
            for replica in [&rest, &other] {
                assert_eq!(replica.status(&id).await["progress"], json!({"percent": percent}));
            }
        }
        let worker = worker.through(second.worker());
        // Who is refused while it still sends gets its answer all the same.
        assert_eq!(worker.with("nonsense").result("text/plain", "x".repeat(8 << 20)).await.problem().0, "no-token");
        assert_eq!(worker.with("nonsense").progress(&json!({"percent": 1})).await.problem().0, "no-token");
        taken(&worker.result("text/plain", "x".repeat(1 << 20)).await);
        assert_eq!(worker.result("text/plain", "x".repeat((16 << 20) + 1)).await.status, 413);
        taken(&worker.error(&json!({"type": "Minor"})).await);
        node.end("one", Outcome::succeed());
        ns.task_in("one", State::Completed).await;
        for replica in [&rest, &other] {
            assert_eq!(result_of(replica, &id).await.text.len(), 1 << 20);
        }
    })
    .await;
}

#[tokio::test]
async fn what_the_work_says_to_all_is_for_replicas_alone() {
    in_namespace("worker-internal", async |ns| {
        let (node, leader, _) = listening(&ns).await;
        let (_, worker) = at_work(&ns, &node, &leader).await;
        for headers in [vec![], vec![("authorization", format!("Bearer {}", worker.token))]] {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = leader.worker().send(hyper::Method::GET, "/internal/v1/live", &headers, None).await;
            assert_eq!((answer.status, answer.problem().0.as_str()), (401, "no-token"));
        }
    })
    .await;
}

#[tokio::test]
async fn while_nobody_leads_the_work_is_told_to_come_back_and_then_is_heard() {
    in_namespace("worker-nobody", async |ns| {
        let (node, mut leader, _) = listening(&ns).await;
        let second = beside(&ns).await;
        let (id, worker) = at_work(&ns, &node, &leader).await;
        let worker = worker.through(second.worker());
        let mut events = second.rest().events(&id, None).await;
        taken(&worker.progress(&json!({"percent": 10})).await);
        assert_eq!(next_percent(&mut events).await, Some(10));
        leader.kill().await;
        let answer = worker.progress(&json!({"percent": 20})).await;
        assert_eq!(
            (answer.status, answer.problem().0.as_str(), answer.header("retry-after")),
            (503, "not-taken", Some("1"))
        );
        eventually("the other replica leads and listens", TAKEN_OVER_WITHIN, async || {
            (worker.progress(&json!({"percent": 20})).await.status == 204).then_some(())
        })
        .await;
        assert_eq!(second.rest().status(&id).await["progress"]["percent"], 20);
        assert_eq!(next_percent(&mut events).await, Some(20));
        // The one that comes back hands on.
        leader.start_again().await;
        let worker = worker.through(leader.worker());
        eventually("the first replica hands on", SOON, async || {
            (worker.progress(&json!({"percent": 30})).await.status == 204).then_some(())
        })
        .await;
        eventually("it shows what was said", SOON, async || {
            (leader.rest().status(&id).await["progress"]["percent"] == 30).then_some(())
        })
        .await;
    })
    .await;
}
