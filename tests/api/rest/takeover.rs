//! Following tasks while replicas go: whoever comes back to another one misses nothing and is told nothing twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use harness::faults::{Plan, Wire, WiredOperator};
use harness::*;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use task_manager::api::State;

use super::{body_with, served, served_and_held, status_when};
use crate::stage::{started, status};

const TASKS: usize = 200;
/// So many run at once, while the others wait for their turn.
const SLOTS: i32 = 150;
/// So many have failed, and are tried again, when the leader is killed…
const FAILED: usize = 50;
/// …of which so many have begun anew.
const BEGUN_ANEW: usize = 25;
/// Submissions at the same time.
const AT_ONCE: usize = 16;
/// For what two hundred tasks do on two cores that have much else to do, a new leader's election included.
const PATIENCE: Duration = Duration::from_secs(400);

/// Follows a task on one replica and then, from where that broke off, on the other; returns the states that were told.
async fn follow(id: String, ways: [Rest; 2], begun: Arc<AtomicUsize>) -> Vec<(String, i64)> {
    let (mut told, mut place) = (vec![], None::<String>);
    for way in ways {
        let mut events = way.events(&id, place.as_deref()).await;
        while let Some(event) = events.next_within(PATIENCE).await {
            if event.event == "state" {
                let status = event.data["status"].as_str().expect("a status").to_owned();
                told.push((status, event.data["attempt"].as_i64().expect("an attempt")));
                place = event.id;
                if told.len() == 1 {
                    begun.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
    told
}

/// All that a task goes through which completes in its attempt of this number.
fn whole_story(attempts: i64) -> Vec<(String, i64)> {
    let told = |status: &str, attempt| (status.to_owned(), attempt);
    let before = (1..=attempts).flat_map(|attempt| [told("queued", attempt - 1), told("processing", attempt)]);
    before.chain([told("completed", attempts)]).collect()
}

/// Tasks may begin.
async fn open_queue(ns: &Namespace) {
    let change = Patch::Merge(json!({"spec": {"suspend": false}}));
    ns.queues().patch("default", &PatchParams::default(), &change).await.expect("the queue is changed");
}

#[tokio::test]
async fn two_hundred_tasks_are_followed_without_a_gap_while_their_leader_is_killed() {
    in_namespace("rest-takeover", async |ns| {
        // Nothing begins before everybody follows.
        ns.create(&task_queue("default", SLOTS).with(|spec| spec.suspend = true)).await;
        let (node, mut leader, rest) = served(&ns).await;
        let second = Operator::with_rest(&ns, &["--identity", "second"]).await;
        let ways = [rest, second.rest()];
        let names: Vec<String> = (0..TASKS).map(|number| format!("t{number}")).collect();
        names.iter().for_each(|name| node.script(name, [Outcome::Hold]));
        node.otherwise(Outcome::Hold);
        let submitted = names.iter().enumerate().map(async |(number, name)| {
            let body = body_with(json!({"name": name, "retry": {"initial_seconds": 0}}));
            ways[number % 2].submit(&body).await
        });
        let ids: Vec<String> = stream::iter(submitted).buffered(AT_ONCE).collect().await;
        let begun = Arc::new(AtomicUsize::new(0));
        let followed = ids.into_iter().enumerate().map(|(number, id)| {
            let ways = [ways[number % 2].clone(), ways[1].clone()];
            tokio::spawn(follow(id, ways, begun.clone()))
        });
        let readers: Vec<_> = followed.collect();
        let is_begun = async || (begun.load(Ordering::Relaxed) == TASKS).then_some(());
        eventually("everybody has read the first state", PATIENCE, is_begun).await;

        open_queue(&ns).await;
        let starts = async |count| {
            let what = format!("{count} pods were started");
            eventually(&what, PATIENCE, async || (node.starts().len() >= count).then_some(())).await;
        };
        starts(SLOTS as usize).await;
        node.starts()[..FAILED].iter().for_each(|start| node.end(&start.task, Outcome::exit(1)));
        starts(SLOTS as usize + BEGUN_ANEW).await;
        leader.kill().await;
        node.otherwise(Outcome::succeed());
        names.iter().for_each(|name| node.end(name, Outcome::exit(1)));

        for (name, reader) in names.iter().zip(readers) {
            let told = tokio::time::timeout(PATIENCE, reader).await;
            let told = told.unwrap_or_else(|_| panic!("{name} is followed to its end")).expect("it was followed");
            let done = status(&ns.task(name).await);
            assert_eq!((done.state, done.attempt > 1), (State::Completed, true), "{name}: {:?}", done.attempts);
            assert_eq!(told, whole_story(done.attempt.into()), "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_knows_less_than_its_reader_tells_nothing_until_it_has_caught_up() {
    in_namespace("rest-lagging", async |ns| {
        let (_leader, rest) = served_and_held(&ns).await;
        let node = ns.fake_node();
        node.script("one", [Outcome::Hold]);
        let id = rest.submit(&body_with(json!({"name": "one"}))).await;
        let wire = Wire::new(Plan::BehindUntilTold("tasks"));
        let (second, other) = WiredOperator::with_rest(&ns, &wire, &["--identity", "second"]).await;

        open_queue(&ns).await;
        started(&node, "one", 1).await;
        status_when(&rest, &id, "processing").await;
        let (now, attempt, place) = rest.events(&id, None).await.next_state().await.expect("the present state");
        assert_eq!((now.as_str(), attempt), ("processing", 1));
        assert_eq!(other.status(&id).await["status"], "queued", "it lags");
        let mut events = other.events(&id, place.as_deref()).await;
        wire.catches_up();
        status_when(&other, &id, "processing").await;
        node.end("one", Outcome::succeed());
        let mut told = vec![];
        while let Some((status, attempt, _)) = events.next_state().await {
            told.push((status, attempt));
        }
        assert_eq!(told, [("completed".to_owned(), 1)]);
        second.stop().await;
    })
    .await;
}
