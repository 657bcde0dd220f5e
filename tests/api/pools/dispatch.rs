//! Which worker gets which task, and what it is given.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::*;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use task_manager::api::{Reason, State, TaskStatus, WorkerPool};

use super::warm;
use crate::templates::ready;

#[tokio::test]
async fn a_worker_is_given_the_task_and_its_word_ends_it() {
    in_namespace("pool-one", async |ns| {
        let (operator, workers) = warm(&ns, 1).await;
        let [worker] = &workers[..] else { panic!("one worker") };
        let payload = json!({"uri": "s3://in/7.pdf", "exact": 9_223_372_036_854_775_807i64});
        let wanted = task("one").with(|spec| {
            spec.payload = serde_json::from_value(payload.clone()).ok();
            spec.kb_id = Some("kb-42".into());
            spec.timeout_seconds = Some(60);
        });
        let (given, task) = tokio::join!(worker.task(), ns.create(&wanted));
        assert_eq!(given["id"].as_str(), task.metadata.uid.as_deref());
        assert_eq!((&given["name"], &given["type"], &given["attempt"]), (&json!("one"), &json!("work"), &json!(1)));
        assert_eq!((&given["payload"], &given["kb_id"]), (&payload, &json!("kb-42")));
        assert_eq!((&given["timeout_seconds"], &given["heartbeat_seconds"]), (&json!(60), &json!(5)));
        let running = ns.task("one").await.status.expect("a status");
        assert_eq!((running.state, running.worker.as_deref()), (State::Processing, Some(worker.pod.as_str())));
        assert_eq!(worker.progress(&given["lease"], &json!({"percent": 40})).await.status, 204);

        let answer = worker.done(&given["lease"], json!({"result": {"pages": 10}})).await;
        assert_eq!((&answer["kept"], &answer["task"], &answer["stop"]), (&json!(true), &Value::Null, &json!(false)));
        let status = ns.task("one").await.status.expect("a status");
        assert_eq!(
            (status.state, status.reason),
            (State::Completed, Reason::Succeeded),
            "it is written before it is answered"
        );
        assert_eq!(status.result, Some(json!({"pages": 10})));
        assert_eq!(status.attempts[0].pod.as_deref(), Some(worker.pod.as_str()));
        // What is handed in again is answered the same again.
        assert_eq!(worker.done(&given["lease"], json!({})).await["kept"], json!(true));
        drop(operator);
    })
    .await;
}

#[tokio::test]
async fn a_type_without_its_pool_is_not_ready_and_its_tasks_wait_for_the_pool() {
    in_namespace("pool-missing", async |ns| {
        ns.account_for_pods().await;
        ns.create(&pool_type("work", "warm")).await;
        let operator = Operator::with_worker(&ns, &[]).await;
        assert!(ready(&ns, "False").await.message.contains("there is no WorkerPool warm"));
        ns.create(&task("one")).await;
        let waits = |status: &TaskStatus| {
            status.reason == Reason::TypeNotReady
                && status.message.as_ref().is_some_and(|message| message.contains("there is no WorkerPool warm"))
        };
        ns.task_when("one", "waits for the pool", |_, status| waits(status)).await;

        ns.create(&worker_pool("warm", 1, 1)).await;
        ready(&ns, "True").await;
        let workers = WarmWorker::all(&ns, "warm", 1, &operator.worker()).await;
        assert_eq!(workers[0].task().await["name"], json!("one"));
        ns.api::<WorkerPool>().delete("warm", &DeleteParams::default()).await.expect("it is deleted");
        ready(&ns, "False").await;
    })
    .await;
}

fn how_many() -> usize {
    std::env::var("POOL_TASKS").ok().and_then(|many| many.parse().ok()).unwrap_or(300)
}

#[tokio::test]
async fn equal_tasks_are_shared_evenly_by_eight_workers() {
    in_namespace("pool-share", async |ns| {
        let (_operator, workers) = warm(&ns, 8).await;
        let tasks = how_many();
        let left = AtomicUsize::new(tasks);
        for number in 0..tasks {
            ns.create(&task(&format!("t-{number}"))).await;
        }
        let work = workers.iter().map(async |worker| {
            let mut done = 0;
            let mut body = json!({"wait": 1, "beats": true});
            while left.load(Ordering::Relaxed) > 0 {
                let answer = worker.next(body.clone()).await;
                body = json!({"wait": 1, "beats": true});
                if answer["kept"] == json!(true) {
                    left.fetch_sub(1, Ordering::Relaxed);
                }
                if let Some(lease) = answer["task"].get("lease") {
                    body["done"] = json!({"lease": lease});
                    done += 1;
                }
            }
            (worker.pod.clone(), done)
        });
        let shares: HashMap<String, i32> = futures::future::join_all(work).await.into_iter().collect();
        let (least, most) = (shares.values().min().expect("shares"), shares.values().max().expect("shares"));
        // A few tasks more or less weigh less, the more there are.
        let uneven = if tasks < 1000 { 1.5 } else { 1.2 };
        assert!(f64::from(*most) <= uneven * f64::from(*least), "{shares:?}");
        let tasks = ns.all_final(SOON).await;
        assert!(tasks.iter().all(|task| {
            task.status.as_ref().is_some_and(|status| status.attempt == 1 && status.state == State::Completed)
        }));
    })
    .await;
}

#[tokio::test]
async fn a_pool_without_a_free_worker_holds_back_its_own_tasks_alone() {
    in_namespace("pool-busy", async |ns| {
        let (_operator, workers) = warm(&ns, 1).await;
        ns.create(&task_type("other")).await;
        let node = ns.fake_node();
        ns.create(&task("first")).await;
        let given = workers[0].task().await;
        ns.create(&task("second")).await;
        ns.create(&task("beside").with(|spec| spec.type_ = "other".into())).await;
        node.end("beside", Outcome::succeed());
        ns.task_in("beside", State::Completed).await;
        let told =
            ns.task_when("second", "it is told why it waits", |_, status| status.reason == Reason::NoWorker).await;
        assert_eq!(told.status.expect("a status").state, State::Queued);
        assert_eq!(workers[0].done(&given["lease"], json!({})).await["kept"], json!(true));
        assert_eq!(workers[0].task().await["name"], json!("second"));
    })
    .await;
}
