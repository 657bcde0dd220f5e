//! Whose fault it is: workers that end, that do not stop, and that fail what others do.

use harness::*;
use kube::ResourceExt;
use serde_json::{Value, json};
use task_manager::api::{AttemptOutcome, Reason, State, TaskStatus};

use super::{warm, warm_with_slots};

async fn status(ns: &Namespace, name: &str) -> TaskStatus {
    ns.task(name).await.status.expect("a status")
}

#[tokio::test]
async fn a_worker_that_ends_with_0_while_it_has_a_task_has_failed_it() {
    in_namespace("pool-exit", async |ns| {
        let (operator, workers) = warm(&ns, 1).await;
        ns.create(&task("one")).await;
        workers[0].task().await;
        ns.worker_ends(&workers[0], 0).await;
        let failed = ns.task_when("one", "it is counted", |_, status| status.failures == 1).await;
        let ended = &failed.status.expect("a status").attempts[0];
        assert_eq!((ended.outcome, ended.reason, ended.exit_code), (AttemptOutcome::Failed, Reason::ExitCode, Some(0)));
        let other = another(&ns, &operator, &workers).await;
        let given = other.task().await;
        assert_eq!(given["attempt"], json!(2));
        assert_eq!(other.done(&given["lease"], json!({})).await["kept"], json!(true));
    })
    .await;
}

/// The worker that takes the place of these.
async fn another(ns: &Namespace, operator: &Operator, before: &[WarmWorker]) -> WarmWorker {
    let pod = eventually("another worker is made", SOON, async || {
        let there = ns.workers_now("warm").await;
        there.into_iter().find(|pod| before.iter().all(|worker| worker.pod != pod.name_any()))
    })
    .await;
    WarmWorker::of(ns, &pod, operator.worker()).await
}

#[tokio::test]
async fn a_worker_that_ends_with_several_tasks_fails_none_and_each_then_runs_alone() {
    in_namespace("pool-several", async |ns| {
        let (mut operator, workers) = warm_with_slots(&ns, 1, 2).await;
        for name in ["one", "two"] {
            ns.create(&task(name)).await;
        }
        for slot in [0, 1] {
            workers[0].task_with(json!({"slot": slot})).await;
        }
        ns.worker_ends(&workers[0], 137).await;
        for name in ["one", "two"] {
            let told = ns.task_when(name, "its end is told", |_, status| !status.attempts.is_empty()).await;
            let told = told.status.expect("a status");
            assert_eq!(
                (told.failures, told.disruptions, told.attempts[0].reason),
                (0, 1, Reason::WorkerLost),
                "{name}"
            );
        }
        operator.crash().await;
        let other = another(&ns, &operator, &workers).await;
        let calls = async |slot: i32| other.next(json!({"slot": slot, "wait": 10})).await["task"].clone();
        let (left, right) = tokio::join!(calls(0), calls(1));
        let (slot, first) = if left.is_null() { (1, right.clone()) } else { (0, left.clone()) };
        assert!(left.is_null() != right.is_null(), "one of them at once: {left} {right}");
        let mut given = first;
        let mut slot = slot;
        for _ in 0..2 {
            let answer = other.next(json!({"slot": slot, "done": {"lease": given["lease"]}, "wait": 10})).await;
            assert_eq!(answer["kept"], json!(true));
            let next = if answer["task"].is_null() { calls(1 - slot).await } else { answer["task"].clone() };
            if answer["task"].is_null() {
                slot = 1 - slot;
            }
            given = next;
            if given.is_null() {
                break;
            }
        }
        for task in ns.all_final(SOON).await {
            let status = task.status.expect("a status");
            assert_eq!((status.state, status.failures, status.attempt), (State::Completed, 0, 2));
        }
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_does_not_fetch_a_cancel_is_ended_and_its_other_task_goes_on_elsewhere() {
    in_namespace("pool-deaf", async |ns| {
        let (operator, workers) = warm_with_slots(&ns, 1, 2).await;
        for name in ["one", "two"] {
            ns.create(&task(name)).await;
        }
        for slot in [0, 1] {
            workers[0].task_with(json!({"slot": slot})).await;
        }
        ns.patch_task("one", json!({"cancel": true})).await.expect("it is taken");
        ns.task_in("one", State::Cancelled).await;
        let told = ns.task_when("two", "its end is told", |_, status| !status.attempts.is_empty()).await;
        let told = told.status.expect("a status");
        assert_eq!((told.failures, told.disruptions, told.attempts[0].reason), (0, 1, Reason::WorkerLost));
        let other = another(&ns, &operator, &workers).await;
        let given = other.task().await;
        assert_eq!((&given["name"], &given["attempt"]), (&json!("two"), &json!(2)));
        assert_eq!(other.done(&given["lease"], json!({})).await["kept"], json!(true));
    })
    .await;
}

#[tokio::test]
async fn work_that_does_not_stop_when_its_time_is_over_is_counted_and_its_worker_replaced() {
    in_namespace("pool-overdue", async |ns| {
        let (operator, workers) = warm(&ns, 1).await;
        ns.create(&task("one").with(|spec| spec.timeout_seconds = Some(1))).await;
        workers[0].task_with(json!({})).await;
        let failed = ns.task_when("one", "it is counted", |_, status| status.failures == 1).await;
        assert_eq!(failed.status.expect("a status").attempts[0].reason, Reason::Timeout);
        let other = another(&ns, &operator, &workers).await;
        let given = other.task().await;
        assert_eq!(other.done(&given["lease"], json!({})).await["kept"], json!(true));
        assert_eq!(status(&ns, "one").await.state, State::Completed);
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_fails_three_tasks_which_others_then_do_is_replaced() {
    in_namespace("pool-bad", async |ns| {
        let (_operator, workers) = warm(&ns, 2).await;
        let [bad, good] = &workers[..] else { panic!("two workers") };
        for number in 1..=3 {
            let name = format!("t-{number}");
            ns.create(&task(&name)).await;
            let lease = bad.task().await["lease"].clone();
            assert_eq!(bad.done(&lease, json!({"error": {"message": "no disk"}})).await["kept"], json!(true));
            // Both are free when it is tried again, and the bad one for longer.
            let (refused, given) = tokio::join!(bad.next(json!({"wait": 5})), async {
                eventually("the bad one waits", SOON, async || {
                    (status(&ns, &name).await.state == State::Queued).then_some(())
                })
                .await;
                good.task().await
            });
            assert_eq!((&refused["task"], &given["attempt"]), (&Value::Null, &json!(2)), "another worker is preferred");
            assert_eq!(good.done(&given["lease"], json!({})).await["kept"], json!(true));
        }
        eventually("the bad one goes, and another comes", SOON, async || {
            let there: Vec<_> = ns.workers_now("warm").await.iter().map(ResourceExt::name_any).collect();
            (there.len() == 2 && there.contains(&good.pod) && !there.contains(&bad.pod)).then_some(())
        })
        .await;
    })
    .await;
}
