//! The same task once more: a new runId.

use harness::With;
use kube::ResourceExt;
use serde_json::json;
use task_manager::api::{AttemptOutcome, Reason, State, Task, TaskStatus};

use e2e::world::{World, end, is_live, on_a_node, shell};

fn arrival(status: &TaskStatus) -> u64 {
    status.arrival.as_ref().and_then(|arrival| arrival.parse().ok()).expect("a number")
}

async fn completes_run(world: &World, task: &Task, run: &str) -> TaskStatus {
    let is_it = |status: &TaskStatus| status.run_id.as_deref() == Some(run) && status.state.is_final();
    let status = world.until(task, &format!("run {run} is final"), is_it).await;
    assert_eq!(status.state, State::Completed, "{:?}", status.message);
    status
}

#[tokio::test]
async fn a_new_run_id_runs_a_finished_task_again_from_the_beginning() {
    on_a_node("rerun", async |world| {
        world
            .work(r#"grep -q good "$TASK_PAYLOAD_FILE" || exit 1; cat "$TASK_PAYLOAD_FILE" > "$TASK_RESULT_FILE""#)
            .await;
        let task = world
            .task_with("task", |spec| spec.retry = serde_json::from_value(json!({"limit": 1})).expect("a retry"))
            .await;
        let failed = world.ends(&task, State::Failed).await;
        assert_eq!((failed.attempt, failed.failures), (2, 2));
        world.nothing_changes(&[&task]).await;

        world.change(&task, json!({"runId": "second", "payload": {"name": "good"}})).await;
        let status = completes_run(world, &task, "second").await;
        assert_eq!((status.attempt, status.failures, status.attempts.len()), (1, 0, 1));
        assert_eq!(status.result, Some(json!({"name": "good"})));
        assert!(arrival(&status) > arrival(&failed) && status.queued_at > failed.queued_at);

        world.change(&task, json!({"runId": "1"})).await;
        completes_run(world, &task, "1").await;
        assert_eq!(world.pods_of(&task).len(), 4);
        world.assert_one_pod_at_a_time();
        assert_eq!(world.namespace.jobs_now().await.len(), 1, "the Jobs of the runs before are removed");
    })
    .await;
}

#[tokio::test]
async fn a_new_run_id_ends_the_running_container_before_the_next_one_begins() {
    on_a_node("rerun-running", async |world| {
        let script =
            r#"grep -q quick "$TASK_PAYLOAD_FILE" && exit 0; trap 'sleep 2; exit 42' TERM; echo up; sleep 300 & wait"#;
        let kind =
            shell("work", script).with(|spec| spec.template["spec"]["terminationGracePeriodSeconds"] = 60.into());
        world.namespace.create(&kind).await;
        let task = world.task("task").await;
        let old = world.is_up(&task).await;
        world.change(&task, json!({"runId": "2", "payload": {"quick": true}})).await;

        let status = completes_run(world, &task, "2").await;
        assert_eq!((status.attempt, status.failures, status.reason), (1, 0, Reason::Succeeded));
        assert_eq!(
            status.attempts.iter().map(|attempt| attempt.outcome).collect::<Vec<_>>(),
            [AttemptOutcome::Succeeded]
        );
        let pods = world.pods_of(&task);
        assert_eq!(pods.len(), 2);
        assert_eq!(
            end(&world.ended(&old).await).exit_code,
            42,
            "the old container got SIGTERM, and the time it needed"
        );
        assert!(!is_live(&pods[1].object) && pods[1].object.uid() != old.uid());
        world.assert_one_pod_at_a_time();
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_task_runs_again_with_a_new_run_id() {
    on_a_node("rerun-cancelled", async |world| {
        world.work(r#"grep -q quick "$TASK_PAYLOAD_FILE" && exit 0; sleep 300"#).await;
        let task = world.task("task").await;
        world.runs(&task).await;
        world.change(&task, json!({"cancel": true})).await;
        world.ends(&task, State::Cancelled).await;
        world.change(&task, json!({"cancel": false, "runId": "2", "payload": {"quick": true}})).await;
        assert_eq!(completes_run(world, &task, "2").await.attempt, 1);
        world.assert_one_pod_at_a_time();
    })
    .await;
}
