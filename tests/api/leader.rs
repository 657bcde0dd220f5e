//! Several operators, one of which acts.

use std::time::Duration;

use harness::*;
use k8s_openapi::api::coordination::v1::Lease;
use task_manager::api::State;

use crate::stage::{started, status};

/// Longer than a lease, and time to notice.
const A_TERM: Duration = Duration::from_secs(120);

#[tokio::test]
async fn of_two_operators_one_acts_and_the_other_takes_over_when_it_ends() {
    in_namespace("two", async |ns| {
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        let mut first = ns.operator(&["--identity", "first"]).await;
        eventually("the first one leads", SOON, async || first.logged().contains("leads").then_some(())).await;
        let leases = ns.record::<Lease>().await;
        let second = ns.operator(&["--identity", "second"]).await;
        ns.create(&task("one")).await;
        ns.task_in("one", State::Completed).await;
        assert_eq!(second.writes().await, 0, "it waits");
        node.script("running", [Outcome::Hold]);
        ns.create(&task("running")).await;
        started(&node, "running", 1).await;
        assert!(first.stop().await.status.success());
        ns.create(&task("next")).await;
        ns.task_in("next", State::Completed).await;
        let holders = leases.seen().into_iter().map(|seen| seen.object.spec.and_then(|spec| spec.holder_identity));
        let free = holders.filter(|holder| holder.as_deref().unwrap_or_default().is_empty()).count();
        assert!(free > 0, "a lease that is given up need not run out");
        node.end("running", Outcome::succeed());
        ns.task_in("running", State::Completed).await;
        assert_eq!(node.starts().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_leader_that_stood_still_does_no_harm_when_it_wakes() {
    in_namespace("frozen", async |ns| {
        ns.create(&task_queue("default", 2)).await;
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        node.otherwise(Outcome::after(Duration::from_millis(300), Outcome::succeed()));
        let first = ns.operator(&["--identity", "first"]).await;
        eventually("the first one leads", SOON, async || first.logged().contains("leads").then_some(())).await;
        let tasks = ns.record::<task_manager::api::Task>().await;
        let second = ns.operator(&["--identity", "second"]).await;
        for number in 0..20 {
            ns.create(&task(&format!("t-{number}"))).await;
        }
        started(&node, "t-3", 1).await;
        first.freeze().await;
        eventually("the second one leads", A_TERM, async || second.logged().contains("leads").then_some(())).await;
        first.thaw().await;
        for task in ns.all_final(A_TERM).await {
            let name = task.metadata.name.clone().unwrap_or_default();
            let told = (status(&task).state, status(&task).attempt, status(&task).failures, node.starts_of(&name));
            assert_eq!(told, (State::Completed, 1, 0, 1), "{name}");
        }
        let most = most_at_once(&tasks.seen(), |task| status(task).state == State::Processing);
        assert_eq!(most, 2);
        let written = second.writes().await;
        assert!(written > 0);
        eventually("the first one waits for its turn", SOON, async || {
            first
                .logged()
                .contains("the lease ran out")
                .then_some(())
                .or_else(|| first.logged().contains("was taken").then_some(()))
        })
        .await;
        eventually("it tells of nothing that waits and runs elsewhere", SOON, async || {
            let metrics = first.metrics().await;
            let told = ["running", "queued"].map(|what| metrics.value(&format!("task_manager_tasks_{what}"), &[]));
            (told == [Some(0.0), Some(0.0)]).then_some(())
        })
        .await;
    })
    .await;
}
