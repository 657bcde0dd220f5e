//! A task that is to run again: whatever it is doing when its runId changes, the new run begins from the start, and
//! nothing of the old one is taken for it.

use std::time::Duration;

use harness::*;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use task_manager::api::{Reason, Retry, State, Task};

use crate::stage::{is_being_ended, seen_waiting, set, started, status, told};

/// One slot in the default queue.
async fn give_room(ns: &Namespace) {
    let room = Patch::Merge(json!({"spec": {"capacity": {"tasks": 1}}}));
    ns.queues().patch("default", &PatchParams::default(), &room).await.expect("accepted");
}

fn run_id(task: &Task) -> String {
    status(task).run_id.unwrap_or_default()
}

#[tokio::test]
async fn a_new_run_id_runs_a_finished_task_again_from_the_start() {
    in_namespaces("again", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::exit(1), Outcome::result("first"), Outcome::Hold]);
        ns.create(&task("one")).await;
        let first = status(&ns.task_in("one", State::Completed).await);
        assert_eq!((first.attempt, first.failures), (2, 1));
        ns.patch_task("one", json!({"runId": "2", "payload": {"other": true}})).await.expect("accepted");
        started(&node, "one", 3).await;
        let second = status(&ns.task_in("one", State::Processing).await);
        assert_eq!((second.run_id.as_deref(), second.attempt, second.failures), (Some("2"), 1, 0));
        assert_eq!((second.result, second.attempts.len(), second.finished_at), (None, 0, None));
        assert!(second.queued_at > first.finished_at, "its time in the queue begins anew");
        let number = |arrival: Option<String>| arrival.and_then(|text| text.parse::<u64>().ok()).expect("a number");
        assert!(number(second.arrival) > number(first.arrival));
        node.end("one", Outcome::succeed());
        let done = ns.task_in("one", State::Completed).await;
        assert_eq!(told(&done), ("Completed".into(), Reason::Succeeded, 1));
    })
    .await;
}

#[tokio::test]
async fn a_new_run_id_ends_the_running_attempt_before_the_new_one_starts() {
    in_namespaces("supersede", async |ns| {
        let (node, operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::Hold, Outcome::result("second")]);
        node.linger("one");
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        ns.patch_task("one", json!({"runId": "2"})).await.expect("accepted");
        eventually("the old pod is being ended", SOON, async || {
            ns.pods_now().await.iter().any(is_being_ended).then_some(())
        })
        .await;
        stays("one at a time", A_MOMENT, async || node.starts_of("one") == 1).await;
        node.let_go("one");
        let done = status(&ns.task_in("one", State::Completed).await);
        assert_eq!((done.run_id.as_deref(), done.attempt, done.result), (Some("2"), 1, Some(json!("second"))));
        let superseded = [("state", "Cancelled"), ("reason", "Superseded")];
        let metrics = operator.metrics().await;
        assert_eq!(metrics.count("task_manager_tasks_finished_total", &superseded), 1, "the first run is counted too");
    })
    .await;
}

#[tokio::test]
async fn a_new_run_of_another_type_keeps_the_old_types_slot_until_the_old_pod_ends() {
    in_namespace("moves", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        ns.create(&task_type("narrow").with(|spec| spec.max_concurrent = Some(1))).await;
        let narrow = |name: &str| task(name).with(|spec| spec.type_ = "narrow".into());
        node.script("one", [Outcome::Hold, Outcome::succeed()]);
        node.linger("one");
        ns.create(&narrow("one")).await;
        started(&node, "one", 1).await;
        ns.create(&narrow("next")).await;
        ns.patch_task("one", json!({"runId": "2", "type": "work"})).await.expect("accepted");
        eventually("the old pod is being ended", SOON, async || {
            ns.pods_now().await.iter().any(is_being_ended).then_some(())
        })
        .await;
        stays("its place is taken", A_MOMENT, async || node.starts_of("next") == 0).await;
        node.let_go("one");
        ns.task_in("next", State::Completed).await;
        ns.task_in("one", State::Completed).await;
    })
    .await;
}

#[tokio::test]
async fn a_new_run_id_sends_a_queued_task_to_the_end_of_the_line() {
    in_namespace("requeue", async |ns| {
        ns.create(&task_queue("default", 0)).await;
        let (_node, _operator) = set(&ns, &[]).await;
        ns.create(&task("first")).await;
        ns.create(&task("second")).await;
        ns.patch_task("first", json!({"priority": "normal"})).await.expect("accepted");
        let before = status(&ns.task_when("first", "keeps its arrival", |_, status| status.arrival.is_some()).await);
        ns.patch_task("first", json!({"runId": "2"})).await.expect("accepted");
        // Without a trace of the old run in the status there is nothing to supersede.
        ns.task_when("first", "takes up the new run", |_, status| status.run_id.as_deref() == Some("2")).await;
        give_room(&ns).await;
        let tasks = ns.all_final(SOON).await;
        let of =
            |name: &str| status(tasks.iter().find(|task| task.metadata.name.as_deref() == Some(name)).expect("a task"));
        assert_ne!(of("first").arrival, before.arrival);
        assert!(of("second").admitted_at < of("first").admitted_at, "the second one came before the new run");
    })
    .await;
}

#[tokio::test]
async fn a_new_run_id_with_cancel_false_revives_a_cancelled_task() {
    in_namespace("revive", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::Hold]);
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        ns.patch_task("one", json!({"cancel": true})).await.expect("accepted");
        ns.task_in("one", State::Cancelled).await;
        stays("final is final", Duration::from_secs(1), async || {
            status(&ns.task("one").await).state == State::Cancelled
        })
        .await;
        ns.patch_task("one", json!({"cancel": false, "runId": "2"})).await.expect("accepted");
        ns.task_in("one", State::Completed).await;
    })
    .await;
}

#[tokio::test]
async fn a_new_run_id_of_a_queued_task_that_nobody_wrote_to_goes_to_the_end_of_the_line() {
    in_namespace("requeue-new", async |ns| {
        ns.create(&task_queue("default", 0)).await;
        let (node, operator) = set(&ns, &[]).await;
        for name in ["first", "second"] {
            ns.create(&task(name)).await;
        }
        seen_waiting(&operator, 2).await;
        ns.patch_task("first", json!({"runId": "2"})).await.expect("accepted");
        ns.task_when("first", "keeps its arrival", |_, status| status.run_id.as_deref() == Some("2")).await;
        give_room(&ns).await;
        ns.all_final(SOON).await;
        let order: Vec<_> = node.starts().into_iter().map(|start| start.task).collect();
        assert_eq!(order, ["second", "first"]);
    })
    .await;
}

#[tokio::test]
async fn a_new_run_id_while_a_retry_waits_begins_at_once_and_from_the_start() {
    in_namespace("instead-of-retry", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::exit(1), Outcome::result("second")]);
        let patient = Retry { initial_seconds: Some(3000), max_seconds: Some(3600), ..Retry::default() };
        ns.create(&task("one").with(|spec| spec.retry = Some(patient))).await;
        ns.task_when("one", "waits", |_, status| status.reason == Reason::WaitingForRetry).await;
        ns.patch_task("one", json!({"runId": "2"})).await.expect("accepted");
        let done = ns.task_in("one", State::Completed).await;
        assert_eq!((run_id(&done).as_str(), told(&done).2, status(&done).failures), ("2", 1, 0));
        assert_eq!(status(&done).result, Some(json!("second")));
    })
    .await;
}

#[tokio::test]
async fn of_two_new_run_ids_within_a_second_the_last_one_is_run_and_never_two_at_once() {
    in_namespace("twice", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.otherwise(Outcome::after(Duration::from_secs(1), Outcome::succeed()));
        let pods = ns.record::<Pod>().await;
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        for run in ["2", "3"] {
            ns.patch_task("one", json!({"runId": run})).await.expect("accepted");
        }
        let what = "has completed the last run";
        let done = ns.task_when("one", what, |task, now| now.state == State::Completed && run_id(task) == "3").await;
        assert_eq!((status(&done).attempt, status(&done).failures, status(&done).disruptions), (1, 0, 0));
        let live = |pod: &Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            !matches!(phase, Some("Succeeded" | "Failed"))
        };
        assert_eq!(most_at_once(&pods.seen(), live), 1);
        let last = ns.pods_now().await.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
        assert_eq!(last.map(|pod| pod.name_any()).collect::<Vec<_>>(), [status(&done).worker.expect("a pod")]);
    })
    .await;
}

#[tokio::test]
async fn a_new_run_id_together_with_cancel_ends_the_old_run_and_starts_nothing() {
    in_namespace("cancelled-anew", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::Hold]);
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        ns.patch_task("one", json!({"runId": "2", "cancel": true})).await.expect("accepted");
        let ended = ns.task_in("one", State::Cancelled).await;
        assert_eq!((run_id(&ended).as_str(), status(&ended).attempt, node.starts().len()), ("2", 0, 1));
    })
    .await;
}
