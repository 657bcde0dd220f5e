//! The types, queues and worker pools that there are.

use harness::*;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use task_manager::api::WorkerPool;

use super::{body_with, served};
use crate::stage::started;

/// The one of this name on a list.
async fn one(rest: &Rest, list: &str, name: &str) -> Option<Value> {
    let answer = rest.get(&format!("/api/v1/tasks/{list}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let field = match list {
        "types" => "task_type",
        "queues" => "queue",
        _ => "pool",
    };
    answer.json()["items"].as_array().expect("items").iter().find(|item| item[field] == name).cloned()
}

#[tokio::test]
async fn types_are_told_with_what_holds_for_their_tasks_and_how_many_there_are() {
    in_namespace("rest-types", async |ns| {
        let (node, _operator, rest) = served(&ns).await;
        ns.create(&task_type("narrow").with(|spec| {
            spec.max_concurrent = Some(1);
            spec.defaults = serde_json::from_value(json!({"priority": "high", "retry": {"limit": 7},
                "resources": {"limits": {"memory": "64Mi"}}}))
            .expect("defaults");
            spec.maximum = serde_json::from_value(json!({"timeoutSeconds": 600, "payloadBytes": 64,
                "resources": {"memory": "1Gi"}}))
            .expect("a maximum");
        }))
        .await;
        ns.create(&task_type("wrong").with(|spec| spec.template = json!({"spec": {"containers": []}}))).await;
        node.script("runs", [Outcome::Hold]);
        rest.submit(&body_with(json!({"task_type": "narrow", "name": "runs"}))).await;
        started(&node, "runs", 1).await;
        rest.submit(&body_with(json!({"task_type": "narrow"}))).await;
        let told = eventually("it is told how full it is", SOON, async || {
            one(&rest, "types", "narrow").await.filter(|told| told["running"] == 1 && told["queued"] == 1)
        })
        .await;
        assert_eq!((&told["namespace"], &told["max_concurrent"]), (&json!(ns.name), &json!(1)));
        let retry = json!({"limit": 7, "initial_seconds": 10, "factor": 2.0, "max_seconds": 300,
            "disruption_limit": 20, "oom_memory_factor": 1.0});
        let defaults = json!({"priority": "high", "timeout_seconds": 600, "retry": retry, "ttl_seconds": 3600,
            "resources": {"requests": {}, "limits": {"memory": "64Mi"}}});
        assert_eq!((&told["defaults"], &told["start_deadline_seconds"]), (&defaults, &json!(600)));
        let maximum = json!({"timeout_seconds": 600, "payload_bytes": 64, "resources": {"memory": "1Gi"}});
        assert_eq!(told["maximum"], maximum);
        let wrong = eventually("it is told why it cannot be used", SOON, async || {
            one(&rest, "types", "wrong").await.filter(|told| told["ready"] == false)
        })
        .await;
        assert!(wrong["reason"].is_string() && wrong["message"].is_string(), "{wrong}");
        ns.types().delete("wrong", &DeleteParams::default()).await.expect("deleted");
        eventually("it is gone", SOON, async || one(&rest, "types", "wrong").await.is_none().then_some(())).await;
    })
    .await;
}

#[tokio::test]
async fn queues_are_told_with_how_full_they_are_also_the_one_that_nobody_created() {
    in_namespace("rest-queues", async |ns| {
        let (node, _operator, rest) = served(&ns).await;
        let capacity = json!({"tasks": 1, "resources": {"memory": "1Gi"}});
        ns.create(&task_queue("small", 1).with(|spec| {
            spec.capacity = serde_json::from_value(capacity.clone()).expect("a capacity");
            spec.ceilings.low = Some(50);
        }))
        .await;
        node.script("runs", [Outcome::Hold]);
        rest.submit(&body_with(json!({"queue": "small", "name": "runs"}))).await;
        started(&node, "runs", 1).await;
        rest.submit(&body_with(json!({"queue": "small"}))).await;
        let later = json!({"queue": "small", "priority": "high", "start_after": "2100-01-01T00:00:00Z"});
        rest.submit(&body_with(later)).await;
        let told = eventually("it is told how full it is", SOON, async || {
            one(&rest, "queues", "small").await.filter(|told| told["running"] == 1 && told["queued"] == 2)
        })
        .await;
        assert_eq!((&told["created"], &told["suspended"], &told["capacity"]), (&json!(true), &json!(false), &capacity));
        assert_eq!(told["by_priority"], json!({"critical": 0, "high": 1, "normal": 1, "low": 0}));
        assert_eq!((&told["ceilings"], told["oldest_queued_at"].is_string()), (&json!({"low": 50}), true), "{told}");
        let usual = one(&rest, "queues", "default").await.expect("it is told");
        let nobody = (&usual["created"], &usual["capacity"], &usual["running"], &usual["queued"]);
        assert_eq!(nobody, (&json!(false), &json!({"tasks": 50, "resources": {}}), &json!(0), &json!(0)));

        ns.create(&task_queue("default", 3).with(|spec| spec.suspend = true)).await;
        let suspended = eventually("it was created", SOON, async || {
            one(&rest, "queues", "default").await.filter(|told| told["ready"] == false)
        })
        .await;
        assert_eq!((&suspended["created"], &suspended["suspended"]), (&json!(true), &json!(true)), "{suspended}");
        let elsewhere = rest.get("/api/v1/tasks/queues?namespace=kube-system").await;
        assert_eq!((elsewhere.status, elsewhere.problem().0.as_str()), (404, "unknown-namespace"));
        let here = rest.get(&format!("/api/v1/tasks/queues?namespace={}", ns.name)).await.json();
        assert_eq!(here["items"].as_array().map(Vec::len), Some(2));
        let unknown = rest.get("/api/v1/tasks/types?colour=red").await;
        assert_eq!((unknown.status, unknown.problem().0.as_str()), (400, "query"));
    })
    .await;
}

#[tokio::test]
async fn pools_are_told_with_their_workers_and_how_many_of_their_tasks_wait_and_run() {
    in_namespace("rest-pools", async |ns| {
        ns.account_for_pods().await;
        ns.create(&worker_pool("warm", 1, 2)).await;
        ns.create(&pool_type("on-warm", "warm")).await;
        let operator = Operator::with_worker(&ns, &[]).await;
        let rest = operator.rest();
        let asks = WarmWorker::all(&ns, "warm", 1, &operator.worker()).await.remove(0);
        let body = body_with(json!({"task_type": "on-warm"}));
        rest.submit(&body).await;
        let given = asks.task().await;
        rest.submit(&body).await;
        let told = eventually("it is told who works and who waits", SOON, async || {
            one(&rest, "pools", "warm").await.filter(|told| {
                told["workers"]["busy"] == 1 && (&told["running"], &told["queued"]) == (&json!(1), &json!(1))
            })
        })
        .await;
        assert_eq!((&told["min"], &told["max"], &told["task_types"]), (&json!(1), &json!(2), &json!(["on-warm"])));
        assert_eq!(told["workers"], json!({"ready": 1, "busy": 1, "idle": 0, "unhealthy": 0, "restarts": 0}));
        assert_eq!(asks.done(&given["lease"], json!({})).await["kept"], json!(true));
        ns.api::<WorkerPool>().delete("warm", &DeleteParams::default()).await.expect("deleted");
        eventually("it is gone", SOON, async || one(&rest, "pools", "warm").await.is_none().then_some(())).await;
    })
    .await;
}
