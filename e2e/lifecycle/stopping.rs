//! Work that is ended or held from outside: cancelled, suspended, deleted, or too old to keep.

use harness::{eventually, task_queue};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;
use task_manager::api::{AttemptOutcome, Reason, State};

use e2e::world::{A_CHANGE, A_TASK, end, is_live, on_a_node, on_a_node_over_each_executor};

/// Takes its time to end after SIGTERM, and then ends with exit code 42.
const SLOW_TO_END: &str = "trap 'sleep 10; exit 42' TERM; echo up; sleep 300 & wait";

#[tokio::test]
async fn a_cancelled_task_is_cancelled_only_when_its_pod_has_ended() {
    on_a_node("cancel", async |world| {
        let task = world
            .script_with("task", SLOW_TO_END, |kind| kind.template["spec"]["terminationGracePeriodSeconds"] = 60.into())
            .await;
        let pod = world.is_up(&task).await;
        world.change(&task, json!({"cancel": true})).await;

        let status = world
            .until(&task, "says that it is stopping", |status| {
                status.reason == Reason::Stopping || status.state.is_final()
            })
            .await;
        assert_eq!((status.state, status.reason), (State::Processing, Reason::Stopping));
        let status = world.ends(&task, State::Cancelled).await;
        let now = world.namespace.pods().get_opt(&pod.name_any()).await.expect("an answer");
        assert!(now.is_none_or(|pod| !is_live(&pod)), "it is told only when its pod has ended");
        assert_eq!(end(&world.ended(&pod).await).exit_code, 42, "its pod got SIGTERM, and the time it needed");
        assert_eq!((status.reason, status.failures, status.admitted), (Reason::Cancelled, 0, None));
        assert_eq!(status.attempts[0].outcome, AttemptOutcome::Cancelled);
        world.nothing_runs().await;
    })
    .await;
}

#[tokio::test]
async fn work_that_ends_well_while_it_is_cancelled_is_cancelled() {
    on_a_node("cancel-well", async |world| {
        let script = r#"trap 'echo done > "$TASK_RESULT_FILE"; exit 0' TERM; echo up; sleep 300 & wait"#;
        let task = world.script("task", script).await;
        world.is_up(&task).await;
        world.change(&task, json!({"cancel": true})).await;
        let status = world.ends(&task, State::Cancelled).await;
        assert_eq!((status.reason, status.result), (Reason::Cancelled, None));
    })
    .await;
}

#[tokio::test]
async fn a_suspended_task_waits_and_goes_on_and_suspend_does_not_touch_what_runs() {
    on_a_node("suspend", async |world| {
        world.work("sleep 8").await;
        let task = world.task_with("task", |spec| spec.suspend = true).await;
        world.until(&task, "says that it is suspended", |status| status.reason == Reason::Suspended).await;
        world.nothing_changes(&[&task]).await;
        assert!(world.pods_of(&task).is_empty());

        world.change(&task, json!({"suspend": false})).await;
        world.runs(&task).await;
        world.change(&task, json!({"suspend": true})).await;
        assert_eq!(world.completes(&task).await.attempt, 1);
        assert_eq!(world.pods_of(&task).len(), 1);
    })
    .await;
}

#[tokio::test]
async fn the_slot_of_a_deleted_task_is_free_only_when_its_pod_has_ended() {
    on_a_node_over_each_executor("delete", async |world| {
        world.namespace.create(&task_queue("default", 1)).await;
        let deleted = world
            .script_with("deleted", SLOW_TO_END, |kind| {
                kind.template["spec"]["terminationGracePeriodSeconds"] = 60.into()
            })
            .await;
        let pod = world.is_up(&deleted).await;
        let next = world.script("next", "true").await;
        world.namespace.tasks().delete("deleted", &DeleteParams::default()).await.expect("it is deleted");
        world.completes(&next).await;

        assert_eq!(end(&world.ended(&pod).await).exit_code, 42);
        assert_eq!(world.most_pods_at_once(), 1);
        let left = eventually("nothing is left of the deleted task", A_CHANGE, async || {
            let there = world.namespace.launched_now().await;
            (there.len() == 1 && world.namespace.pods_now().await.len() == 1).then_some(there)
        })
        .await;
        assert!(left[0].starts_with("next-"));
    })
    .await;
}

#[tokio::test]
async fn a_finished_task_goes_when_its_time_to_live_is_over_and_all_of_it_goes() {
    on_a_node("ttl", async |world| {
        world.work("exit 0").await;
        let kept = world.task("kept").await;
        let soon = world.task_with("soon", |spec| spec.ttl_seconds_after_finished = Some(20)).await;
        let at_once = world.task_with("at-once", |spec| spec.ttl_seconds_after_finished = Some(0)).await;
        world.completes(&soon).await;
        for task in [&soon, &at_once] {
            eventually(&format!("task {} is gone", task.name_any()), A_TASK, async || {
                world.namespace.tasks().get_opt(&task.name_any()).await.ok()?.is_none().then_some(())
            })
            .await;
            assert_eq!(world.pods_of(task).len(), 1);
        }
        world.completes(&kept).await;
        eventually("only the pod of the kept task is left", A_CHANGE, async || {
            let names: Vec<String> = world.namespace.pods_now().await.iter().map(ResourceExt::name_any).collect();
            (names.len() == 1 && names[0].starts_with("kept-")).then_some(())
        })
        .await;
        assert_eq!(world.namespace.jobs_now().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_deadline_ends_a_task_that_runs() {
    on_a_node("deadline", async |world| {
        world.work("sleep 300").await;
        let task = world.task("task").await;
        let pod = world.runs(&task).await;
        // A node that takes longer to start the container would otherwise never run it.
        let age = Timestamp::now().duration_since(task.creation_timestamp().expect("a time").0);
        world.change(&task, json!({"deadlineSeconds": age.as_secs() + 5})).await;
        let status = world.ends(&task, State::Failed).await;
        assert_eq!((status.reason, status.attempt), (Reason::DeadlineExceeded, 1));
        let now = world.namespace.pods().get_opt(&pod.name_any()).await.expect("an answer");
        assert!(now.is_none_or(|pod| !is_live(&pod)), "it is told only when its pod has ended");
        world.nothing_runs().await;
    })
    .await;
}
