//! A new leader whose watches lag: it must not act on what is over.

use std::time::Duration;

use harness::faults::{Plan, Wire, WiredOperator};
use harness::*;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use task_manager::api::{Reason, State, Task};

use super::walk::PATIENCE;
use crate::stage::{started, status};

/// The delay of events.
const LAG: Duration = Duration::from_secs(3);
/// Longer ago than two watches may lie apart.
const LONG_AGO: SignedDuration = SignedDuration::from_secs(8);
const TWO_SLOTS: [&str; 2] = ["--default-queue-tasks", "2"];

#[tokio::test]
async fn a_new_leader_whose_tasks_lag_admits_no_more_than_there_is_room_for() {
    takes_over_behind("lagging-tasks", &["tasks"]).await;
}

#[tokio::test]
async fn a_new_leader_whose_jobs_lag_launches_nothing_twice() {
    takes_over_behind("lagging-jobs", &["jobs"]).await;
}

#[tokio::test]
async fn a_new_leader_whose_pods_lag_launches_nothing_twice() {
    takes_over_behind("lagging-pods", &["pods"]).await;
}

#[tokio::test]
async fn a_new_leader_whose_jobs_and_pods_lag_launches_nothing_twice() {
    takes_over_behind("lagging-children", &["jobs", "pods"]).await;
}

#[tokio::test]
async fn a_new_leader_all_of_whose_watches_lag_does_no_harm() {
    takes_over_behind("lagging", &["tasks", "jobs", "pods"]).await;
}

/// The first leader does a part of the work; what is new since the second one's lists of `resources` comes late.
async fn takes_over_behind(slug: &str, resources: &[&'static str]) {
    in_namespace(slug, async |ns| {
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        node.otherwise(Outcome::after(Duration::from_millis(300), Outcome::succeed()));
        node.script("t-2", [Outcome::Hold]);
        let (tasks, pods) = (ns.record::<Task>().await, ns.record::<Pod>().await);
        for number in 0..8 {
            ns.create(&task(&format!("t-{number}"))).await;
        }
        let first = WiredOperator::start(
            &ns,
            &Wire::new(Plan::Faultless),
            &[&["--identity", "first"], &TWO_SLOTS[..]].concat(),
        );
        started(&node, "t-4", 1).await;
        first.stop().await;

        let behind = Plan::Behind { resources: resources.to_vec(), lag: LAG };
        let wire = Wire::new(behind);
        let second = WiredOperator::start(&ns, &wire, &[&["--identity", "second"], &TWO_SLOTS[..]].concat());
        eventually("the second one has begun", PATIENCE, async || wire.has_struck().then_some(())).await;
        node.end("t-2", Outcome::succeed());
        for task in ns.all_final(PATIENCE).await {
            let told = (status(&task).state, status(&task).attempt, status(&task).failures + status(&task).disruptions);
            let reason = status(&task).attempts.first().map(|attempt| attempt.reason);
            assert_eq!(
                (told, node.starts_of(&task.name_any())),
                ((State::Completed, 1, 0), 1),
                "{}: {reason:?}",
                task.name_any()
            );
        }
        let hold = most_at_once(&tasks.seen(), |task| status(task).state == State::Processing);
        let live = most_at_once(&pods.seen(), |pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
            !["Succeeded", "Failed"].contains(&phase)
        });
        assert!(hold <= 2 && live <= 2, "{hold} held the two slots at one moment, and {live} pods could run");
        second.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_failed_long_ago_is_judged_by_its_pod_though_the_new_leaders_pods_lag() {
    in_namespace("lagging-judge", async |ns| {
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        node.script("one", [Outcome::Hold, Outcome::succeed()]);
        ns.create(&task("one")).await;
        let first = WiredOperator::start(&ns, &Wire::new(Plan::Faultless), &[]);
        started(&node, "one", 1).await;
        first.stop().await;
        node.end("one", Outcome::exit(3));
        eventually("its Job failed a while ago", PATIENCE, async || {
            let jobs = ns.jobs_now().await;
            let ended = jobs
                .iter()
                .find_map(|job| job.status.as_ref()?.conditions.as_ref()?.first()?.last_transition_time.clone())?;
            (Timestamp::now().duration_since(ended.0) > LONG_AGO).then_some(())
        })
        .await;
        let behind = Plan::Behind { resources: vec!["pods"], lag: LAG };
        let second = WiredOperator::start(&ns, &Wire::new(behind), &[]);
        let done = status(
            &ns.task_within(PATIENCE, "one", "is Completed", |_, status| status.state == State::Completed).await,
        );
        assert_eq!((done.attempt, done.failures, done.disruptions), (2, 1, 0), "{:?}", done.attempts);
        assert_eq!(done.attempts[0].exit_code, Some(3));
        second.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_run_that_was_told_of_goes_on_though_the_new_leaders_jobs_and_pods_lag() {
    in_namespace("lagging-run", async |ns| {
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        node.script("one", [Outcome::Hold]);
        let pods = ns.record::<Pod>().await;
        ns.create(&task("one")).await;
        let first = WiredOperator::start(&ns, &Wire::new(Plan::Faultless), &[]);
        ns.task_within(PATIENCE, "one", "says that it runs", |_, status| status.reason == Reason::Running).await;
        first.stop().await;
        let behind = Plan::Behind { resources: vec!["jobs", "pods"], lag: LAG };
        let wire = Wire::new(behind);
        let second = WiredOperator::start(&ns, &wire, &[]);
        eventually("the second one has begun", PATIENCE, async || wire.has_struck().then_some(())).await;
        stays("its pod is the only one", LAG * 2, async || pods.look_at_present(|there| there.len()) == 1).await;
        node.end("one", Outcome::succeed());
        let done = status(
            &ns.task_within(PATIENCE, "one", "is Completed", |_, status| status.state == State::Completed).await,
        );
        assert_eq!((done.attempt, done.failures + done.disruptions), (1, 0), "{:?}", done.attempts);
        second.stop().await;
    })
    .await;
}
