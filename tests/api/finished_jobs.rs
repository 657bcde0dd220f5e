//! Finished Jobs that go before their time: where a quota counts them, and where there are too many.

use std::time::Duration;

use harness::*;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use task_manager::api::{Reason, State};

use crate::stage::{set, status};

/// The quota controller's part: it counts so many Jobs.
async fn counted(ns: &Namespace, quota: &str, used: &str) {
    let status = json!({"status": {"hard": {"count/jobs.batch": "1"}, "used": {"count/jobs.batch": used}}});
    ns.api::<ResourceQuota>()
        .patch_status(quota, &PatchParams::default(), &Patch::Merge(status))
        .await
        .expect("counted");
}

#[tokio::test]
async fn a_finished_job_makes_room_where_a_quota_counts_it() {
    in_namespace("room", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        ns.create(&task("one")).await;
        ns.task_in("one", State::Completed).await;
        let one = eventually("its Job is there", SOON, async || ns.jobs_now().await.pop()).await.name_any();
        let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "one-job"},
            "spec": {"hard": {"count/jobs.batch": "1"}}});
        ns.create_raw(quota).await.expect("accepted");
        counted(&ns, "one-job", "1").await;
        ns.create(&task("two")).await;
        let is_gone = async || ns.jobs().get_opt(&one).await.expect("an answer").is_none().then_some(());
        eventually("the finished Job goes", SOON, is_gone).await;
        assert_ne!(status(&ns.task("two").await).reason, Reason::QuotaExceeded, "it is not told yet");
        counted(&ns, "one-job", "0").await;
        ns.task_in("two", State::Completed).await;
        assert_eq!((node.starts_of("two"), status(&ns.task("two").await).attempt), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn no_more_finished_jobs_are_kept_than_the_operator_is_told() {
    in_namespace("keep-finished", async |ns| {
        let (_node, _operator) = set(&ns, &["--keep-finished", "1"]).await;
        for name in ["one", "two", "three"] {
            ns.create(&task(name)).await;
            ns.task_in(name, State::Completed).await;
        }
        let left = eventually("one is left", Duration::from_secs(30), async || {
            let jobs = ns.jobs_now().await;
            (jobs.len() == 1).then(|| jobs[0].name_any())
        })
        .await;
        assert!(left.starts_with("three-"), "the oldest go: {left}");
    })
    .await;
}
