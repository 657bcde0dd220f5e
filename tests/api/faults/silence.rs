//! Connections that go silent instead of breaking: lists, starts of watches, and watches that run.

use std::time::{Duration, Instant};

use harness::faults::{Fault, Kind, Plan, Point, Wire, WiredOperator};
use harness::*;
use task_manager::api::State;

use crate::stage::{seconds, started};

/// Silence is noticed within 30 s; then the watch begins anew, and the machine may be busy.
const NOTICED: Duration = Duration::from_secs(40);

#[tokio::test]
async fn what_happens_behind_watches_that_went_silent_is_seen_within_half_a_minute() {
    in_namespace("silent-watches", async |ns| {
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        node.script("one", [Outcome::Hold]);
        let wire = Wire::new(Plan::Faultless);
        let operator = WiredOperator::start(&ns, &wire, &[]);
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        wire.silence();
        let began = Instant::now();
        node.end("one", Outcome::succeed());
        ns.create(&task("two")).await;
        for name in ["one", "two"] {
            ns.task_in(name, State::Completed).await;
        }
        assert!(began.elapsed() < NOTICED, "after {:?}", began.elapsed());
        assert!(operator.logged().contains("the watch has been silent for"), "it is told");
    })
    .await;
}

#[tokio::test]
async fn a_watch_costs_no_list_and_no_write_while_nothing_happens() {
    in_namespace("quiet-watches", async |ns| {
        let wire = Wire::new(Plan::Faultless);
        let operator = WiredOperator::start(&ns, &wire, &[]);
        eventually("it knows all", SOON, async || operator.logged().contains("the caches are complete").then_some(()))
            .await;
        tokio::time::sleep(seconds(2)).await;
        let so_far = wire.passed().len();
        tokio::time::sleep(seconds(40)).await;
        let later = wire.passed().split_off(so_far);
        let count = |kind: Kind| later.iter().filter(|passed| passed.point.kind == kind).count();
        let lists: Vec<_> = later.iter().filter(|passed| passed.point.label.starts_with("LIST")).collect();
        assert!(lists.iter().all(|passed| passed.point.label == "LIST priorityclasses"), "{lists:?}");
        assert_eq!(count(Kind::Write), 0);
        // Of tasks, types, queues, Jobs, pods and namespaces, one each 15 s.
        assert!((12..=24).contains(&count(Kind::Watch)), "{} watches", count(Kind::Watch));
        assert!(!operator.logged().contains("watch failed"), "none of them broke");
    })
    .await;
}

#[tokio::test]
async fn lists_and_watches_that_are_never_answered_keep_no_operator_from_starting() {
    in_namespace("silent-starts", async |ns| {
        ns.create(&task_type("work")).await;
        let _node = ns.fake_node();
        ns.create(&task("one")).await;
        let first = |kind, label: &str| Point { kind, label: label.to_owned(), occurrence: 1 };
        let silent = [(Kind::Read, "LIST pods"), (Kind::Read, "LIST tasks"), (Kind::Watch, "WATCH jobs")];
        let wire = Wire::of(silent.map(|(kind, label)| Plan::At(first(kind, label), Fault::NeverSent)));
        let began = Instant::now();
        let _operator = WiredOperator::start(&ns, &wire, &[]);
        ns.task_in("one", State::Completed).await;
        assert!(wire.has_struck() && began.elapsed() < NOTICED, "after {:?}", began.elapsed());
    })
    .await;
}

#[tokio::test]
async fn a_leader_that_stays_blind_gives_up_the_lease_and_another_goes_on() {
    in_namespace("blind-leader", async |ns| {
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        node.script("one", [Outcome::Hold]);
        let wire = Wire::new(Plan::WatchesUnanswered("pods"));
        let blind = WiredOperator::start(&ns, &wire, &["--identity", "blind"]);
        eventually("the blind one leads", SOON, async || blind.logged().contains("leads").then_some(())).await;
        let sees = WiredOperator::start(&ns, &Wire::new(Plan::Faultless), &["--identity", "sees"]);
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        node.end("one", Outcome::succeed());
        eventually("it gives up", 2 * SOON, async || blind.logged().contains("gives up the lease").then_some(())).await;
        eventually("the other leads", SOON, async || sees.logged().contains("leads").then_some(())).await;
        ns.task_in("one", State::Completed).await;
        assert_eq!(node.starts_of("one"), 1);
    })
    .await;
}
