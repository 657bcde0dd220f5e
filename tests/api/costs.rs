//! The operator's requests, by the API server's own count: the operator has a service account of its own, so that no
//! other requests disturb the count.

use std::time::Duration;

use harness::*;
use serde_json::json;
use task_manager::api::{Reason, State};

use crate::stage::{a_checked_type, started};

const TASKS: u64 = 20;
/// The time for which a converged system is watched.
const WATCHED_FOR: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_successful_task_costs_the_api_server_three_requests_that_change_something() {
    in_namespaces("costs", async |ns| {
        ns.create(&task_type("work")).await;
        let _node = ns.fake_node();
        let account = ns.account().await;
        let operator = ns.operator_as(&account, &[]).await;
        a_checked_type(&ns).await;
        // Work that takes longer than ten seconds to start or run is reported meanwhile, and a machine may be that
        // slow.
        let mut rounds = vec![];
        while rounds.last().is_none_or(|costs: &Requests| costs.statuses > 2 * TASKS) && rounds.len() < 3 {
            let before = account.requests().await;
            for number in 0..TASKS {
                ns.create(&task(&format!("t-{}-{number}", rounds.len()))).await;
            }
            ns.all_final(SOON).await;
            rounds.push(account.requests().await - before);
        }
        let costs = rounds[rounds.len() - 1];
        assert!(costs.statuses <= 2 * TASKS, "admission and end of {TASKS} tasks: {costs:?}");
        assert!(costs.launches <= TASKS, "a Job or a bare pod each: {costs:?}");
        assert_eq!(costs.other_writes, 0, "and nothing else: {costs:?}");
        let counted = operator.writes().await;
        assert!(counted >= costs.writes(), "the operator counts no less than the API server: {counted}, {costs:?}");
        assert_eq!(costs.writes(), 3 * TASKS, "fewer, and this test would count something else: {costs:?}");
        account.remove().await;
    })
    .await;
}

#[tokio::test]
async fn a_converged_system_asks_the_api_server_for_no_change_in_a_minute() {
    in_namespaces("silent", async |ns| {
        ns.create(&task_type("work")).await;
        ns.create(&task_queue("of-one", 1)).await;
        let node = ns.fake_node();
        let account = ns.account().await;
        let operator = ns.operator_as(&account, &[]).await;
        node.script("failed", [Outcome::exit(1)]);
        node.script("flaky", [Outcome::exit(1), Outcome::succeed()]);
        node.script("cancelled", [Outcome::Hold]);
        node.script("runs", [Outcome::Hold]);
        let once = serde_json::from_value(json!({"limit": 0})).expect("retry");
        ns.create(&task("failed").with(|spec| spec.retry = Some(once))).await;
        for name in ["done", "flaky", "cancelled"] {
            ns.create(&task(name)).await;
        }
        ns.create(&task("runs").with(|spec| spec.queue = "of-one".into())).await;
        ns.create(&task("held").with(|spec| spec.suspend = true)).await;
        ns.create(&task("no-type").with(|spec| spec.type_ = "missing".into())).await;
        ns.create(&task("no-queue").with(|spec| spec.queue = "missing".into())).await;
        started(&node, "cancelled", 1).await;
        ns.patch_task("cancelled", json!({"cancel": true})).await.expect("accepted");
        for (name, state) in [
            ("done", State::Completed),
            ("flaky", State::Completed),
            ("failed", State::Failed),
            ("cancelled", State::Cancelled),
        ] {
            ns.task_in(name, state).await;
        }
        for (name, reason) in [
            ("runs", Reason::Running),
            ("held", Reason::Suspended),
            ("no-type", Reason::TypeMissing),
            ("no-queue", Reason::QueueMissing),
        ] {
            ns.task_when(name, "says so", |_, status| status.reason == reason).await;
        }
        a_checked_type(&ns).await;
        eventually("the queue tells what runs, and the operator has told its events", SOON, async || {
            let queue = ns.queues().get("of-one").await.ok()?.status?;
            let told = operator.metrics().await.count("task_manager_api_writes_total", &[("operation", "event")]);
            (queue.running == 1 && told >= 2).then_some(())
        })
        .await;
        let before = account.requests().await;
        let mut last = before;
        stays("nothing is asked for", WATCHED_FOR, async || {
            // To tell its metrics is work for the API server.
            tokio::time::sleep(Duration::from_secs(1)).await;
            last = account.requests().await;
            last.writes() == before.writes()
        })
        .await;
        let asked = last - before;
        assert!(asked.leases > 0, "its lease is renewed, so it is counted: {asked:?}");
        account.remove().await;
    })
    .await;
}
