//! How many workers a pool has.

use harness::*;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use task_manager::api::{Reason, State, WorkerPool};

use crate::templates::{minor_version, quota};

async fn change(ns: &Namespace, spec: Value) {
    let patch = Patch::Merge(json!({"spec": spec}));
    ns.api::<WorkerPool>().patch("warm", &PatchParams::default(), &patch).await.expect("it is changed");
}

#[tokio::test]
async fn a_pool_grows_while_tasks_wait_and_shrinks_when_its_workers_are_idle() {
    in_namespace("pool-size", async |ns| {
        ns.account_for_pods().await;
        ns.create(&worker_pool("warm", 0, 3)).await;
        change(&ns, json!({"idleSeconds": 1})).await;
        ns.create(&pool_type("work", "warm")).await;
        let operator = Operator::with_worker(&ns, &[]).await;
        stays("nobody is made while nothing waits", A_MOMENT, async || ns.workers_now("warm").await.is_empty()).await;
        for number in 0..5 {
            ns.create(&task(&format!("t-{number}"))).await;
        }
        let workers = WarmWorker::all(&ns, "warm", 3, &operator.worker()).await;
        let work = workers.iter().map(async |worker| {
            let mut body = json!({"wait": 1});
            loop {
                let answer = worker.next_once(&body).await;
                if answer.status != 200 || answer.json()["stop"] == json!(true) {
                    return;
                }
                let given = answer.json()["task"]["lease"].clone();
                body = if given.is_null() { json!({"wait": 1}) } else { json!({"wait": 1, "done": {"lease": given}}) };
            }
        });
        futures::future::join_all(work).await;
        assert!(
            ns.all_final(SOON)
                .await
                .iter()
                .all(|task| task.status.as_ref().is_some_and(|status| status.state == State::Completed))
        );
        ns.workers_of("warm", 0).await;
    })
    .await;
}

#[tokio::test]
async fn a_changed_template_replaces_idle_workers() {
    in_namespace("pool-template", async |ns| {
        ns.account_for_pods().await;
        ns.create(&worker_pool("warm", 2, 2)).await;
        let _operator = Operator::with_worker(&ns, &[]).await;
        let before: Vec<String> = ns.workers_of("warm", 2).await.iter().map(ResourceExt::name_any).collect();
        let mut template = worker_pool("warm", 2, 2).spec.template;
        template["spec"]["containers"][0]["command"] = json!(["sleep", "1800"]);
        change(&ns, json!({"template": template})).await;
        eventually("both are others", SOON, async || {
            let there: Vec<String> = ns.workers_now("warm").await.iter().map(ResourceExt::name_any).collect();
            (there.len() == 2 && there.iter().all(|name| !before.contains(name))).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_pool_whose_template_cannot_be_used_says_why() {
    in_namespace("pool-refused", async |ns| {
        ns.account_for_pods().await;
        let mut pool = worker_pool("warm", 1, 1);
        pool.spec.template["spec"]["restartPolicy"] = json!("Always");
        ns.create(&pool).await;
        let _operator = Operator::with_worker(&ns, &[]).await;
        let message = eventually("its Ready condition says why", SOON, async || {
            let status = ns.api::<WorkerPool>().get("warm").await.ok()?.status?;
            let ready = status.conditions.into_iter().find(|seen| seen.type_ == "Ready")?;
            (ready.reason == Reason::PoolNotReady.to_string() && ready.status == "False").then_some(ready.message)
        })
        .await;
        assert!(message.contains("spec.restartPolicy"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn the_agent_comes_by_image_volume_from_1_35_on_and_before_the_pool_says_what_to_do() {
    in_namespace("pool-volume", async |ns| {
        ns.account_for_pods().await;
        let mut pool = worker_pool("warm", 1, 1);
        pool.spec.agent = serde_json::from_value(json!({"as": "ImageVolume"})).expect("an agent");
        ns.create(&pool).await;
        let _operator = Operator::with_worker(&ns, &["--agent-image", "localhost/agent:1"]).await;
        if minor_version(&ns).await < 35 {
            eventually("its Ready condition says so", SOON, async || {
                let status = ns.api::<WorkerPool>().get("warm").await.ok()?.status?;
                let told = |seen: &task_manager::api::Condition| {
                    seen.status == "False" && seen.message.contains("write InitContainer")
                };
                status.conditions.iter().any(told).then_some(())
            })
            .await;
            return;
        }
        let pods = ns.workers_of("warm", 1).await;
        let volumes = pods[0].spec.as_ref().and_then(|spec| spec.volumes.clone()).unwrap_or_default();
        let image = volumes.iter().find_map(|volume| volume.image.as_ref()?.reference.clone());
        assert_eq!(image.as_deref(), Some("localhost/agent:1"));
    })
    .await;
}

#[tokio::test]
async fn a_pool_whose_pods_a_quota_refuses_tries_again_until_there_is_room() {
    in_namespace("pool-quota", async |ns| {
        ns.account_for_pods().await;
        quota(&ns, json!({"pods": "0"}), json!({"pods": "0"})).await;
        ns.create(&worker_pool("warm", 1, 1)).await;
        let operator = Operator::with_worker(&ns, &[]).await;
        eventually("it has tried a few times", SOON, async || {
            let metrics = operator.metrics().await;
            let tries = metrics.count("task_manager_api_writes_total", &[("operation", "create_worker")]);
            (tries >= 3).then_some(())
        })
        .await;
        let ready = ns.api::<WorkerPool>().get("warm").await.expect("it is there").status.expect("a status").conditions;
        assert!(
            ready.iter().any(|seen| seen.status == "False" && seen.message.contains("exceeded quota")),
            "{ready:?}"
        );
        ns.api::<ResourceQuota>().delete("q", &DeleteParams::default()).await.expect("deleted");
        ns.workers_of("warm", 1).await;
    })
    .await;
}
