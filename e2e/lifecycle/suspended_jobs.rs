//! Jobs and pods that somebody else holds back: another queue for all Jobs of the cluster, or scheduling gates.

use std::time::Duration;

use harness::{eventually, stays, task_queue};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use task_manager::api::{AttemptOutcome, Reason, State, Task};

use e2e::told::says_within;
use e2e::webhook::{On, Webhook};
use e2e::world::{A_CHANGE, A_TASK, World, never_again, on_a_node};

/// Longer than a Job without a pod is waited for.
const HELD: Duration = Duration::from_secs(75);
/// Longer than a pod may take to start its work here.
const GATED: Duration = Duration::from_secs(35);

/// The one Job of a task.
async fn job_of(world: &World, task: &Task) -> Job {
    let prefix = format!("{}-", task.name_any());
    eventually("the task has a Job", A_TASK, async || {
        world.namespace.jobs_now().await.into_iter().find(|job| job.name_any().starts_with(&prefix))
    })
    .await
}

async fn suspend(world: &World, job: &Job, suspend: bool) {
    let patch = Patch::Merge(json!({"spec": {"suspend": suspend}}));
    world.namespace.jobs().patch(&job.name_any(), &PatchParams::default(), &patch).await.expect("it is accepted");
}

#[tokio::test]
async fn a_job_that_another_queue_holds_back_is_waited_for_and_keeps_its_slot() {
    on_a_node("held-job", async |world| {
        let _queue = Webhook::adds(&world.namespace, On::Jobs, "/spec/suspend", json!(true)).await;
        world.namespace.create(&task_queue("default", 1)).await;
        let task = world
            .script_with("task", "true", |kind| {
                never_again(kind);
                kind.start_deadline_seconds = Some(30);
            })
            .await;
        let job = job_of(world, &task).await;
        let told = says_within(world, &task, A_CHANGE, &["JobSuspended", "suspend"]).await;
        assert_eq!(told.state, State::Processing);
        let next = world.script("next", "true").await;

        stays("the same Job waits, and keeps the slot", HELD, async || {
            let jobs = world.namespace.jobs_now().await;
            let is_the_same = jobs.len() == 1 && jobs[0].uid() == job.uid();
            is_the_same && world.status(&next).await.state == State::Queued
        })
        .await;
        suspend(world, &job, false).await;
        let status = world.completes(&task).await;
        assert_eq!((status.attempt, status.failures, status.disruptions), (1, 0, 0), "{:?}", status.attempts);
        suspend(world, &job_of(world, &next).await, false).await;
        world.completes(&next).await;
    })
    .await;
}

#[tokio::test]
async fn a_job_that_is_suspended_while_it_runs_was_preempted() {
    on_a_node("suspended-job", async |world| {
        let jobs = world.namespace.record::<Job>().await;
        let task = world
            .script_with(
                "task",
                "trap 'exit 143' TERM; echo up; [ $TASK_ATTEMPT -gt 1 ] || { sleep 300 & wait; }",
                |kind| {
                    never_again(kind);
                    kind.template["spec"]["terminationGracePeriodSeconds"] = 10.into();
                },
            )
            .await;
        world.is_up(&task).await;
        let first = job_of(world, &task).await;
        suspend(world, &first, true).await;
        let status = world.completes(&task).await;
        assert_eq!((status.attempt, status.failures, status.disruptions), (2, 0, 1), "{:?}", status.attempts);
        let attempt = &status.attempts[0];
        assert_eq!((attempt.outcome, attempt.reason), (AttemptOutcome::Disrupted, Reason::Preempted));
        world.assert_one_pod_at_a_time();
        let gone = jobs.seen().iter().position(|seen| seen.deleted && seen.object.uid() == first.uid());
        let second = jobs.seen().iter().position(|seen| seen.object.uid() != first.uid());
        assert!(gone.is_some() && gone < second, "resumed, it would have made another pod beside the next attempt's");
    })
    .await;
}

#[tokio::test]
async fn a_pod_behind_a_scheduling_gate_is_waited_for_and_its_clock_has_not_begun() {
    on_a_node("gated", async |world| {
        let gates = json!([{"name": "example.com/quota"}]);
        let _gate = Webhook::adds(&world.namespace, On::Pods, "/spec/schedulingGates", gates).await;
        let task = world
            .script_with("task", "true", |kind| {
                never_again(kind);
                kind.start_deadline_seconds = Some(25);
            })
            .await;
        let told = says_within(world, &task, A_CHANGE, &["PodGated", "example.com/quota"]).await;
        assert_eq!(told.state, State::Processing);
        let gated = || async { world.status(&task).await.reason.to_string() == "PodGated" };
        stays("it waits for its gate", GATED, async || gated().await).await;

        let pod = world.pods_of(&task).remove(0).object.name_any();
        let open = Patch::Merge(json!({"spec": {"schedulingGates": null}}));
        world.namespace.pods().patch(&pod, &PatchParams::default(), &open).await.expect("a gate may be opened");
        let status = world.completes(&task).await;
        assert_eq!((status.attempt, status.failures, status.disruptions), (1, 0, 0), "{:?}", status.attempts);
        assert_eq!(world.pods_of(&task).len(), 1);
    })
    .await;
}
