//! Tasks, types and queues as a person sees them with kubectl.

use harness::*;
use kube::ResourceExt;
use serde_json::json;
use task_manager::api::{Priority, Reason, State};

use crate::stage::{manifest, set, started};

/// The words of each line, header first.
async fn got(ns: &Namespace, arguments: &[&str]) -> Vec<String> {
    let said = ns.kubectl(arguments).await;
    let text = String::from_utf8_lossy(&said.stdout).to_string();
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

async fn shows(ns: &Namespace, arguments: &[&str], header: &str, row: &str) {
    let lines = got(ns, arguments).await;
    assert_eq!(lines.first().map(String::as_str), Some(header), "{arguments:?}");
    assert!(lines.get(1).is_some_and(|line| line.starts_with(row)), "{arguments:?}: {lines:?}");
}

const TASKS: &str = "NAME TYPE PRIORITY STATE REASON ATTEMPT PROGRESS AGE";

#[tokio::test]
async fn kubectl_get_shows_what_a_person_wants_to_know() {
    in_namespace("columns", async |ns| {
        ns.create(&task("a").with(|spec| spec.priority = Some(Priority::High))).await;
        ns.create(&task_queue("q", 7)).await;
        ns.create(&task_type("work")).await;
        let of_fields = ["get", "tasks", "--field-selector", "spec.type=work,status.state=Queued"];
        shows(&ns, &["get", "tasks"], TASKS, "a work Queued Queued").await;
        shows(&ns, &of_fields, TASKS, "a work Queued Queued").await;
        shows(&ns, &["get", "taskqueues"], "NAME TASKS RUNNING QUEUED OLDEST READY REASON AGE", "q 7").await;
        shows(&ns, &["get", "tasktypes"], "NAME EXECUTOR MAX READY REASON AGE", "work Job").await;
    })
    .await;
}

#[tokio::test]
async fn kubectl_get_shows_the_priority_in_force_and_why_once_the_operator_has_written() {
    in_namespace("columns-written", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        ns.create(&task_type("urgent").with(|spec| {
            spec.defaults.priority = Some(Priority::Critical);
            spec.defaults.retry.get_or_insert_default().initial_seconds = Some(300);
        }))
        .await;
        node.script("one", [Outcome::Hold]);
        ns.create(&task("one").with(|spec| spec.type_ = "urgent".into())).await;
        started(&node, "one", 1).await;
        shows(&ns, &["get", "tasks", "one"], TASKS, "one urgent critical Processing Admitted 1").await;
        node.end("one", Outcome::exit(3));
        ns.task_when("one", "waits for its retry", |_, status| status.reason == Reason::WaitingForRetry).await;
        let wide = got(&ns, &["get", "tasks", "one", "-o", "wide"]).await;
        assert_eq!(wide[0], format!("{TASKS} QUEUE WORKER MESSAGE"));
        assert!(wide[1].starts_with("one urgent critical Queued WaitingForRetry 1 "), "{wide:?}");
        assert!(wide[1].contains(" default attempt 1: ExitCode: the work ended with exit code 3"), "{wide:?}");

        ns.apply(manifest("TaskQueue", "held", json!({"suspend": true}))).await.expect("accepted");
        let bad = json!({"template": {"spec": {"containers": [{"name": "work", "image": "a", "comand": []}]}}});
        ns.apply(manifest("TaskType", "bad", bad)).await.expect("accepted");
        eventually("the queue says so", SOON, async || {
            got(&ns, &["get", "tmq", "held"]).await.get(1)?.contains("False Suspended").then_some(())
        })
        .await;
        let why = eventually("the type says so", SOON, async || {
            let wide = got(&ns, &["get", "tmtype", "bad", "-o", "wide"]).await;
            wide.get(1).filter(|row| row.contains("False TypeNotReady")).cloned()
        })
        .await;
        assert!(why.contains("unknown field") && why.contains("comand"), "{why}");
    })
    .await;
}

#[tokio::test]
async fn kubectl_waits_for_the_end_of_a_task_whatever_end_that_is() {
    in_namespace("finished", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.script("fails", [Outcome::exit(1)]);
        node.script("runs", [Outcome::Hold]);
        let once =
            task("fails").with(|spec| spec.retry = serde_json::from_value(json!({"limit": 0})).expect("a retry"));
        ns.create(&once).await;
        ns.create(&task("completes")).await;
        ns.create(&task("cancelled").with(|spec| (spec.suspend, spec.cancel) = (true, true))).await;
        ns.create(&task("runs")).await;
        let all =
            ["wait", "--for=condition=Finished", "--timeout=20s", "task/fails", "task/completes", "task/cancelled"];
        let said = ns.kubectl(&all).await;
        assert!(said.status.success(), "{said:?}");
        let said = ns.kubectl(&["wait", "--for=condition=Finished", "--timeout=1s", "task/runs"]).await;
        assert!(!said.status.success(), "it runs: {said:?}");
        for (name, state) in
            [("fails", State::Failed), ("completes", State::Completed), ("cancelled", State::Cancelled)]
        {
            let task = ns.task_in(name, state).await;
            assert_eq!(condition(&task, "Finished"), Some("True"));
        }
    })
    .await;
}

#[tokio::test]
async fn pods_and_jobs_are_found_by_the_name_of_their_task() {
    in_namespace("by-name", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        let long = format!("{}.{}", "long".repeat(20), "x".repeat(60));
        for name in ["short", &long] {
            node.script(name, [Outcome::Hold]);
            ns.create(&task(name)).await;
            started(&node, name, 1).await;
        }
        for kind in ["pods", "jobs"] {
            let found = got(&ns, &["get", kind, "-l", "taskmanager.dev/task=short", "-o", "name"]).await;
            assert_eq!(found.len(), 1, "{found:?}");
        }
        let pods = ns.pods_now().await;
        let of_long = pods.iter().find(|pod| pod.name_any().starts_with("long")).expect("its pod");
        assert_eq!(of_long.annotations()["taskmanager.dev/task"], long);
        let label = &of_long.labels()["taskmanager.dev/task"];
        assert!(label.len() <= 63 && label.starts_with(&"long".repeat(11)), "{label}");
    })
    .await;
}
