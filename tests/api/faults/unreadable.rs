//! A task that the operator cannot read: it hurts only itself.

use std::time::Duration;

use harness::faults::{Plan, Wire, WiredOperator};
use harness::*;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;
use task_manager::api::State;

use super::walk::PATIENCE;
use crate::stage::started;

const ONE_SLOT: [&str; 2] = ["--default-queue-tasks", "1"];
/// Orphans are removed when they were seen twice, ten seconds apart.
const TWO_SWEEPS: Duration = Duration::from_secs(25);

async fn has_a_job_of(ns: &Namespace, task: &str) -> bool {
    let of_task = |name: &str| name.rsplit_once('-').is_some_and(|(stem, _)| stem == task);
    ns.jobs_now().await.iter().any(|job| of_task(&job.name_any()) && job.metadata.deletion_timestamp.is_none())
}

#[tokio::test]
async fn an_object_that_nobody_can_read_hurts_only_itself() {
    in_namespace("unreadable", async |ns| {
        ns.create(&task_type("work")).await;
        ns.create(&task_queue("other", 5)).await;
        let node = ns.fake_node();
        node.script("bad", [Outcome::Hold]);
        ns.create(&task("bad")).await;
        let first = WiredOperator::start(&ns, &Wire::new(Plan::Faultless), &ONE_SLOT);
        started(&node, "bad", 1).await;
        first.stop().await;

        let wire = Wire::new(Plan::Unreadable("bad"));
        let second = WiredOperator::start(&ns, &wire, &ONE_SLOT);
        ns.create(&task("good").with(|spec| spec.queue = "other".into())).await;
        ns.task_within(PATIENCE, "good", "is Completed", |_, status| status.state == State::Completed).await;
        ns.create(&task("waits")).await;
        ns.patch_task("bad", json!({"suspend": true})).await.expect("it changes, and can still not be read");
        stays("its Job stays, and holds its slot", TWO_SWEEPS, async || {
            has_a_job_of(&ns, "bad").await && node.starts_of("waits") == 0
        })
        .await;
        assert!(second.logged().contains("cannot be read; passed over"));

        // Nobody but the operator removes the Job.
        drop(node);
        ns.tasks().delete("bad", &DeleteParams::default()).await.expect("deleted");
        eventually("what it left is removed", PATIENCE, async || (!has_a_job_of(&ns, "bad").await).then_some(())).await;
        let node = ns.fake_node();
        started(&node, "waits", 1).await;
        second.stop().await;
    })
    .await;
}
