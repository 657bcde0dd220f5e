//! Any replica listens, whether it leads or not; and what was said is seen on every one.

use std::time::Duration;

use futures::future::join_all;
use harness::*;
use k8s_openapi::api::coordination::v1::Lease;
use serde_json::json;
use task_manager::api::State;

use super::{at_work, listening, submission, taken};

const TASKS: usize = 50;
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
        // The other replica's watch may be behind this one's.
        eventually("the other replica knows that it runs", SOON, async || {
            (other.status(&id).await["status"] == "processing").then_some(())
        })
        .await;
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
        assert_eq!(worker.with("nonsense").progress(&json!({"percent": 1})).await.problem().0, "no-token");
        taken(&worker.result("text/plain", "x".repeat(1 << 20)).await);
        assert_eq!(worker.result("text/plain", "x".repeat((16 << 20) + 1)).await.status, 413);
        taken(&worker.error(&json!({"type": "Minor"})).await);
        node.end("one", Outcome::succeed());
        ns.task_in("one", State::Completed).await;
        for replica in [&rest, &other] {
            assert_eq!(replica.get(&format!("/api/v1/tasks/{id}/result")).await.text.len(), 1 << 20);
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
        taken(&worker.progress(&json!({"percent": 10})).await);
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

/// Follows a task to its end, first here and then there, and tells the states and the last progress that were read.
async fn follow(id: String, here: Rest, there: Rest) -> (Vec<(String, i64)>, Option<i64>) {
    let (mut told, mut percent, mut place) = (vec![], None, None::<String>);
    let mut way = here;
    loop {
        let mut events = way.events(&id, place.as_deref()).await;
        while let Some(event) = events.next().await {
            match event.event.as_str() {
                "state" => {
                    let status = event.data["status"].as_str().expect("a status").to_owned();
                    told.push((status, event.data["attempt"].as_i64().expect("an attempt")));
                    place = event.id;
                }
                "progress" => percent = event.data["percent"].as_i64(),
                _ => {}
            }
        }
        if told.last().is_some_and(|(status, _)| status == "completed") {
            return (told, percent);
        }
        way = there.clone();
    }
}

#[tokio::test]
async fn fifty_tasks_are_followed_without_a_gap_while_their_leader_is_killed() {
    in_namespace("worker-fifty", async |ns| {
        let (node, mut leader, rest) = listening(&ns).await;
        let second = beside(&ns).await;
        let names: Vec<String> = (0..TASKS).map(|number| format!("t{number}")).collect();
        names.iter().for_each(|name| node.script(name, [Outcome::Hold, Outcome::Hold]));
        let ids = join_all(names.iter().map(async |name| rest.submit(&submission(name)).await)).await;
        let readers: Vec<_> = ids
            .iter()
            .enumerate()
            .map(|(number, id)| {
                let here = if number % 2 == 0 { rest.clone() } else { second.rest() };
                tokio::spawn(follow(id.clone(), here, second.rest()))
            })
            .collect();
        let workers = join_all(names.iter().map(|name| Worker::of(&ns, &node, second.worker(), name, 1))).await;
        for answer in join_all(workers.iter().map(async |worker| worker.progress(&json!({"percent": 10})).await)).await
        {
            taken(&answer);
        }
        leader.kill().await;
        names.iter().for_each(|name| node.end(name, Outcome::exit(1)));
        let workers = join_all(names.iter().map(|name| Worker::of(&ns, &node, second.worker(), name, 2))).await;
        for worker in &workers {
            taken(&worker.progress(&json!({"percent": 70})).await);
        }
        names.iter().for_each(|name| node.end(name, Outcome::succeed()));
        let whole = [("queued", 0), ("processing", 1), ("queued", 1), ("processing", 2), ("completed", 2)];
        let whole = whole.map(|(status, attempt)| (status.to_owned(), attempt));
        for (name, reader) in names.iter().zip(readers) {
            let (told, percent) = reader.await.expect("it followed to the end");
            // Its beginning may be over before the stream begins.
            assert!(whole.ends_with(&told) && told.len() >= 4, "{name}: {told:?}");
            assert_eq!(percent, Some(70), "{name}");
        }
    })
    .await;
}
