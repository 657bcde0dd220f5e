//! Workers that fail: whether the task's attempt counts, and that one worker comes in the place of one.

use std::time::Duration;

use e2e::gate::{Gate, HELD};
use e2e::warm::{
    ONCE_AT_A_TIME, Workers, assert_once_at_a_time, is_agent, on_a_node_with_workers, pool_of_agents, signal,
};
use e2e::world::{A_TASK, World};
use harness::{eventually, stays};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, EvictParams};
use serde_json::json;
use task_manager::api::{AttemptOutcome, Reason, State, Task, TaskStatus};

use super::{pool, task};

/// Longer than between two writes of a pool's status.
const A_COUNT: Duration = Duration::from_secs(6);

/// Its first attempt goes on until the gate is open.
fn held() -> String {
    format!("{ONCE_AT_A_TIME} [ $TASK_ATTEMPT -gt 1 ] || {HELD}")
}

/// A pool of one worker has a task at work; then this is done to the pod, and the task ends well in its second attempt, on the one
/// worker that comes in the place of the first. The pool counts so many workers as
/// replaced for a fault.
async fn goes_on_elsewhere(
    slug: &str,
    faults: i64,
    script: String,
    disturb: impl AsyncFnOnce(&World, &Pod),
) -> TaskStatus {
    let mut told = None;
    on_a_node_with_workers(slug, async |world| {
        let gate = Gate::new(&world.namespace);
        let mut warm = pool_of_agents(world, 1, 1, &script).await;
        gate.on_template(&mut warm.spec.template);
        let workers = pool(world, &warm, &[("work", 1)]).await;
        let task = task(world, "work", "task").await;
        gate.shows("began").await;
        let pod = only(&workers);
        disturb(world, &pod).await;
        let status = world.completes(&task).await;
        assert_eq!((status.attempt, status.attempts.len()), (2, 2), "{:?}", status.attempts);
        assert_eq!(status.attempts[0].pod, Some(pod.name_any()));
        assert_ne!(status.attempts[1].pod, status.attempts[0].pod);
        workers.one_comes_in_the_place_of(&pod.name_any()).await;
        assert_eq!(assert_once_at_a_time(&gate), ["task 1", "task 2"]);
        workers.until("counts its faults", |status| status.restarts == faults).await;
        stays("no more are counted", A_COUNT, async || workers.status().await.restarts == faults).await;
        told = Some(status);
    })
    .await;
    told.expect("the story was told")
}

fn only(workers: &Workers) -> Pod {
    let mut all = workers.all();
    assert_eq!(all.len(), 1);
    all.remove(0).object
}

/// The first attempt's end, of a task that was disturbed and not counted.
fn is_not_counted(status: &TaskStatus) -> String {
    assert_eq!((status.failures, status.disruptions), (0, 1), "{:?}", status.attempts);
    let first = &status.attempts[0];
    assert_eq!((first.outcome, first.reason), (AttemptOutcome::Disrupted, Reason::WorkerLost));
    first.message.clone().unwrap_or_default()
}

#[tokio::test]
async fn a_worker_frozen_at_work_is_replaced_and_its_task_goes_on_uncounted() {
    let ends = goes_on_elsewhere("pool-frozen", 1, held(), async |_, pod| {
        assert!(signal(pod, "-STOP", |_| true) > 1, "agent and work stand still");
    });
    let message = is_not_counted(&ends.await);
    assert!(message.contains("it had promised to be heard, and was not"), "{message}");
}

#[tokio::test]
async fn workers_frozen_while_they_are_idle_are_replaced_and_cost_a_task_no_failure() {
    on_a_node_with_workers("pool-frozen-idle", async |world| {
        let gate = Gate::new(&world.namespace);
        let mut warm = pool_of_agents(world, 2, 2, ONCE_AT_A_TIME).await;
        gate.on_template(&mut warm.spec.template);
        let workers = pool(world, &warm, &[("work", 0)]).await;
        workers.are_ready(2).await;
        let frozen: Vec<Pod> = workers.all().into_iter().map(|seen| seen.object).collect();
        for pod in &frozen {
            assert!(signal(pod, "-STOP", |_| true) > 0, "the agent stands still, and its call is open");
        }
        // One of them is given it, and perhaps the other one after that.
        let status = world.completes(&task(world, "work", "task").await).await;
        assert!(status.failures == 0 && (1..=2).contains(&status.disruptions), "{:?}", status.attempts);
        for lost in &status.attempts[..status.attempts.len() - 1] {
            assert_eq!((lost.outcome, lost.reason), (AttemptOutcome::Disrupted, Reason::WorkerLost));
            assert!(frozen.iter().any(|pod| lost.pod == Some(pod.name_any())), "{lost:?}");
        }
        workers.until("has two others", |status| (status.ready, status.restarts) == (2, 2)).await;
        assert_eq!(assert_once_at_a_time(&gate).len(), 1, "it ran once");
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_is_killed_has_failed_its_task() {
    let ends =
        goes_on_elsewhere("pool-killed", 1, held(), async |_, pod| assert_eq!(signal(pod, "-KILL", is_agent), 1));
    let status = ends.await;
    assert_eq!((status.failures, status.disruptions), (1, 0), "{:?}", status.attempts);
    let first = &status.attempts[0];
    assert_eq!((first.outcome, first.reason, first.exit_code), (AttemptOutcome::Failed, Reason::ExitCode, Some(137)));
}

#[tokio::test]
async fn a_worker_evicted_or_deleted_at_work_costs_its_task_no_failure() {
    let evicted = goes_on_elsewhere("pool-evicted", 0, held(), async |world, pod| {
        world.namespace.pods().evict(&pod.name_any(), &EvictParams::default()).await.expect("it is evicted");
    });
    let deleted = goes_on_elsewhere("pool-deleted", 0, format!("trap '' TERM; {}", held()), async |world, pod| {
        world.namespace.pods().delete(&pod.name_any(), &DeleteParams::default()).await.expect("it is deleted");
    });
    let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    let forced = goes_on_elsewhere("pool-forced", 0, held(), async |world, pod| {
        world.namespace.pods().delete(&pod.name_any(), &at_once).await.expect("it is deleted");
    });
    for status in <[_; 3]>::from(tokio::join!(evicted, deleted, forced)) {
        is_not_counted(&status);
    }
}

/// Kills the first process that its worker has, which is the agent, again and again.
const POISON: &str = r#"
case $TASK_TYPE in
poison) kill -9 $PPID; sleep 60 ;;
*) sleep 0.5 ;;
esac
"#;

#[tokio::test]
async fn a_task_that_kills_each_worker_fails_by_itself_and_the_others_run() {
    on_a_node_with_workers("pool-poison", async |world| {
        let gate = Gate::new(&world.namespace);
        let mut warm = pool_of_agents(world, 2, 2, &format!("{ONCE_AT_A_TIME} {POISON}")).await;
        gate.on_template(&mut warm.spec.template);
        // The agent may be killed by its work where it is not the first process.
        warm.spec.template["spec"]["shareProcessNamespace"] = true.into();
        let workers = pool(world, &warm, &[("poison", 2), ("work", 0)]).await;
        let poison = task(world, "poison", "poison").await;
        let mut others: Vec<Task> = vec![];
        for number in 0..20 {
            others.push(task(world, "work", &format!("task-{number}")).await);
        }
        let status = world.ends(&poison, State::Failed).await;
        assert_eq!((status.reason, status.attempt, status.failures, status.disruptions), (Reason::ExitCode, 3, 3, 0));
        assert!(status.attempts.iter().all(|attempt| attempt.exit_code == Some(137)), "{:?}", status.attempts);
        for task in &others {
            let status = world.completes(task).await;
            assert_eq!((status.attempt, status.failures), (1, 0));
        }
        assert_eq!(assert_once_at_a_time(&gate).len(), 23);
        workers.until("has counted the three", |status| status.restarts == 3).await;
        assert!(workers.most_at_once() <= 2, "{} at once", workers.most_at_once());
    })
    .await;
}

/// Takes as long as it is let.
const BESIDE: &str = "trap 'exit 1' TERM; until [ -e /gate/go ]; do sleep 0.2; done";

#[tokio::test]
async fn of_two_tasks_on_one_worker_a_cancel_stops_one_and_the_workers_end_blames_none() {
    on_a_node_with_workers("pool-two", async |world| {
        let gate = Gate::new(&world.namespace);
        let mut warm = pool_of_agents(world, 1, 1, &format!("{ONCE_AT_A_TIME} {BESIDE}")).await;
        warm.spec.slots_per_worker = Some(2);
        gate.on_template(&mut warm.spec.template);
        let workers = pool(world, &warm, &[("work", 0)]).await;
        let (one, two) = (task(world, "work", "one").await, task(world, "work", "two").await);
        let began = async |count| {
            eventually("so many have begun", A_TASK, async || (gate.lines("began").len() == count).then_some(())).await;
        };
        began(2).await;
        world.change(&one, json!({"cancel": true})).await;
        world.ends(&one, State::Cancelled).await;
        let three = task(world, "work", "three").await;
        began(3).await;
        let pod = only(&workers);
        assert_eq!(signal(&pod, "-KILL", is_agent), 1);
        // Each runs alone next.
        began(4).await;
        gate.open("go");
        for task in [&two, &three] {
            let status = world.completes(task).await;
            assert_eq!(status.attempt, 2);
            is_not_counted(&status);
        }
        workers.one_comes_in_the_place_of(&pod.name_any()).await;
        assert_once_at_a_time(&gate);
    })
    .await;
}
