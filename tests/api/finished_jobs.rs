//! Finished Jobs and bare pods that go before their time: where a quota counts them, and where there are too many.

use std::time::Duration;

use harness::*;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use task_manager::api::{Executor, Reason, State};

use crate::stage::{set, status};

/// The name under which a quota counts what each attempt makes one of, ended or not.
fn counted_as() -> &'static str {
    match executor() {
        Executor::Job => "count/jobs.batch",
        Executor::Pod | Executor::Pool => "count/pods",
    }
}

/// The quota controller's part: it counts so many.
async fn counted(ns: &Namespace, quota: &str, used: &str) {
    let status = json!({"status": {"hard": {counted_as(): "1"}, "used": {counted_as(): used}}});
    ns.api::<ResourceQuota>()
        .patch_status(quota, &PatchParams::default(), &Patch::Merge(status))
        .await
        .expect("counted");
}

#[tokio::test]
async fn a_finished_job_or_pod_makes_room_where_a_quota_counts_it() {
    in_namespaces("room", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        ns.create(&task("one")).await;
        ns.task_in("one", State::Completed).await;
        let one = eventually("it is kept", SOON, async || ns.launched_now().await.pop()).await;
        let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "of-one"},
            "spec": {"hard": {counted_as(): "1"}}});
        ns.create_raw(quota).await.expect("accepted");
        counted(&ns, "of-one", "1").await;
        ns.create(&task("two")).await;
        let is_gone = async || (!ns.launched_now().await.contains(&one)).then_some(());
        eventually("what has finished goes", SOON, is_gone).await;
        assert_ne!(status(&ns.task("two").await).reason, Reason::QuotaExceeded, "it is not told yet");
        counted(&ns, "of-one", "0").await;
        ns.task_in("two", State::Completed).await;
        assert_eq!((node.starts_of("two"), status(&ns.task("two").await).attempt), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn no_more_finished_jobs_or_pods_are_kept_than_the_operator_is_told() {
    in_namespaces("keep-finished", async |ns| {
        let (_node, _operator) = set(&ns, &["--keep-finished", "1"]).await;
        for name in ["one", "two", "three"] {
            ns.create(&task(name)).await;
            ns.task_in(name, State::Completed).await;
        }
        let left = eventually("one is left", Duration::from_secs(30), async || {
            let there = ns.launched_now().await;
            (there.len() == 1).then(|| there[0].clone())
        })
        .await;
        assert!(left.starts_with("three-"), "the oldest go: {left}");
    })
    .await;
}
