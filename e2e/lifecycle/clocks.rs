//! Two clocks: one until the work runs, one from then. The node's clock ends the work, and how it ended is judged by
//! the work itself.

use harness::eventually;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::LogParams;
use serde_json::json;
use task_manager::api::{AttemptOutcome, Reason, State};

use e2e::containers::{before, beside, container, end_of, ended, second, seconds_of};
use e2e::world::{A_TASK, is_live, never_again, on_a_node, on_a_node_over_each_executor};

/// Why a pod was ended whose work had begun.
const ENDED_FOR: &str = "taskmanager.dev/ended-for";
/// Work that ends at once when it is told to.
const POLITE: &str = "trap 'exit 143' TERM; echo up; sleep 100 & wait";

fn deadline(pod: &Pod) -> Option<i64> {
    pod.spec.as_ref().and_then(|spec| spec.active_deadline_seconds)
}

fn ended_for(pod: &Pod) -> Option<&str> {
    pod.annotations().get(ENDED_FOR).map(String::as_str)
}

/// When the work began, counted from the start of its pod, in whole seconds by the kubelet's stamps.
fn began_after(pod: &Pod) -> i64 {
    let started = end_of(pod, "work").started_at.as_ref().map(|time| time.0);
    second(started) - second(pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0))
}

#[tokio::test]
async fn an_init_container_does_not_eat_the_timeout() {
    on_a_node("init-clock", async |world| {
        let task = world
            .script_with("task", r#"sleep 2; echo 42 > "$TASK_RESULT_FILE""#, |kind| {
                never_again(kind);
                kind.defaults.timeout_seconds = Some(10);
                before(kind, container("fetch", "sleep 15"));
            })
            .await;
        let status = world.completes(&task).await;
        assert_eq!((status.result, status.attempt), (Some(json!(42)), 1));
    })
    .await;
}

#[tokio::test]
async fn the_timeout_counts_from_the_start_of_the_work() {
    on_a_node("work-clock", async |world| {
        let task = world
            .script_with("task", POLITE, |kind| {
                never_again(kind);
                kind.defaults.timeout_seconds = Some(15);
                kind.start_deadline_seconds = Some(120);
                before(kind, container("fetch", "sleep 10"));
            })
            .await;
        let made = world.runs(&task).await;
        assert_eq!(deadline(&made), Some(135), "bounded by both clocks while nobody looks");
        let status = world.ends(&task, State::Failed).await;
        assert_eq!((status.reason, status.failures), (Reason::Timeout, 1), "{:?}", status.message);

        let pod = world.pods_of(&task).remove(0).object;
        let (ran, began) = (seconds_of(end_of(&pod, "work")), began_after(&pod));
        assert!((14..=18).contains(&ran), "the work ran for {ran} s");
        let lowered = deadline(&pod).expect("a deadline");
        assert!((began + 15..=began + 17).contains(&lowered), "{lowered} s, and the work began after {began} s");
        assert_eq!(ended_for(&pod), Some("Timeout"));
    })
    .await;
}

#[tokio::test]
async fn a_run_that_ends_early_costs_no_write_to_its_pod() {
    on_a_node("early", async |world| {
        let task = world
            .script_with("task", "sleep 3", |kind| {
                kind.defaults.timeout_seconds = Some(300);
                kind.start_deadline_seconds = Some(200);
            })
            .await;
        world.completes(&task).await;
        let pod = world.pods_of(&task).remove(0).object;
        assert_eq!((deadline(&pod), ended_for(&pod)), (Some(500), None));
    })
    .await;
}

#[tokio::test]
async fn the_node_ends_work_in_time_while_the_operator_is_away() {
    on_a_node("away", async |world| {
        let task = world
            .script_with("task", POLITE, |kind| {
                never_again(kind);
                kind.defaults.timeout_seconds = Some(12);
                kind.start_deadline_seconds = Some(400);
            })
            .await;
        let pod = world.is_up(&task).await;
        eventually("the node knows when the work's time is over", A_TASK, async || {
            let now = world.pods_of(&task).pop()?.object;
            assert!(is_live(&now), "it ended before: {:?}", now.status);
            (deadline(&now)? < 412).then_some(())
        })
        .await;
        world.operator.kill().await;
        let ran = seconds_of(end_of(&world.ended(&pod).await, "work"));
        assert!((11..=16).contains(&ran), "the work ran for {ran} s");
        world.operator.start_again().await;
        let status = world.ends(&task, State::Failed).await;
        assert_eq!((status.reason, status.attempt, status.failures), (Reason::Timeout, 1, 1), "{:?}", status.message);
        assert_eq!(status.attempts[0].exit_code, Some(143));
    })
    .await;
}

#[tokio::test]
async fn cancelled_work_has_its_grace_and_its_last_words_are_kept() {
    on_a_node_over_each_executor("last-words", async |world| {
        let pods = world.namespace.record::<Pod>().await;
        let script =
            r#"trap 'echo bye; sleep 4; echo saved > "$TASK_RESULT_FILE"; exit 0' TERM; echo up; sleep 300 & wait"#;
        let task = world
            .script_with("task", script, |kind| kind.template["spec"]["terminationGracePeriodSeconds"] = 30.into())
            .await;
        let pod = world.is_up(&task).await;
        world.change(&task, json!({"cancel": true})).await;
        let log = eventually("the work says good bye", A_TASK, async || {
            let said = world.namespace.pods().logs(&pod.name_any(), &LogParams::default()).await.ok()?;
            said.contains("bye").then_some(said)
        })
        .await;
        assert!(log.contains("up"), "{log}");
        let status = world.ends(&task, State::Cancelled).await;
        assert_eq!((status.reason, status.attempts[0].outcome), (Reason::Cancelled, AttemptOutcome::Cancelled));

        let versions = pods.seen_of(&pod.name_any());
        let last = versions.iter().rfind(|pod| ended(pod, "work").is_some()).expect("the work has ended");
        let end = end_of(last, "work");
        assert_eq!((end.exit_code, end.message.as_deref().map(str::trim)), (0, Some("saved")));
        assert_eq!(ended_for(last), Some("Cancelled"));
        let first_deleted = versions.iter().find(|pod| pod.metadata.deletion_timestamp.is_some());
        let all_ended = first_deleted.is_none_or(|pod| !is_live(pod));
        assert!(all_ended, "it was deleted while its work ran: nobody could have read its log");
    })
    .await;
}

#[tokio::test]
async fn work_that_ends_just_before_its_time_is_over_is_judged_by_its_own_end() {
    on_a_node("just-in-time", async |world| {
        let mut tasks = vec![];
        for (name, code) in [("a", 0), ("b", 0), ("c", 3), ("d", 0)] {
            let script = format!("sleep 7; exit {code}");
            let task = world.script_with(name, &script, |kind| {
                never_again(kind);
                kind.defaults.timeout_seconds = Some(9);
            });
            tasks.push((task.await, code));
        }
        for (task, code) in &tasks {
            let status = world.until(task, "is final", |status| status.state.is_final()).await;
            let found = (status.state, status.attempts[0].reason, status.attempts[0].exit_code);
            let right = if *code == 0 {
                (State::Completed, Reason::Succeeded, Some(0))
            } else {
                (State::Failed, Reason::ExitCode, Some(*code))
            };
            assert_eq!(found, right, "{:?}", world.pods_of(task)[0].object.status);
        }
    })
    .await;
}

#[tokio::test]
async fn work_that_ends_well_and_is_told_of_too_late_has_succeeded() {
    on_a_node("told-late", async |world| {
        // The pod goes on for a helper until its own deadline, so that the kubelet says that this was exceeded.
        let task = world
            .script_with("task", r#"sleep 4; echo 42 > "$TASK_RESULT_FILE""#, |kind| {
                never_again(kind);
                kind.defaults.timeout_seconds = Some(600);
                beside(kind, container("helper", "sleep 600"));
            })
            .await;
        let pod = eventually("the work has ended", A_TASK, async || {
            let pod = world.pods_of(&task).pop()?.object;
            ended(&pod, "work").is_some().then_some(pod)
        })
        .await;
        world.is_overdue(&pod).await;
        let pod = world.ended(&pod).await;
        assert_eq!(pod.status.and_then(|status| status.reason).as_deref(), Some("DeadlineExceeded"));
        let status = world.completes(&task).await;
        assert_eq!((status.result, status.failures), (Some(json!(42)), 0));
    })
    .await;
}
