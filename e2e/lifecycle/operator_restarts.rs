//! The operator goes and comes back while tasks run: killed in the middle of whatever it does, or asked to end.

use std::time::Duration;

use harness::{eventually, stays, task_queue};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::ListParams;
use task_manager::api::{Reason, State, Task};
use tokio::process::Command;

use e2e::world::{A_CHANGE, A_TASK, A_WHILE, WAITS, World, is_running, never_again, on_a_node, retry};

const TASKS: usize = 30;
const SLOTS: i32 = 10;
/// When it is killed: as soon as so many tasks are final. At first nothing has been admitted, at last little is left.
const KILLED_AFTER: [usize; 7] = [0, 0, 1, 6, 12, 20, 28];
const ALL_TASKS: Duration = Duration::from_secs(600);

async fn tasks(world: &World) -> Vec<Task> {
    world.namespace.tasks().list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default()
}

fn finished(tasks: &[Task]) -> usize {
    tasks.iter().filter(|task| task.status.as_ref().is_some_and(|status| status.state.is_final())).count()
}

#[tokio::test]
async fn thirty_tasks_complete_in_one_attempt_each_though_the_operator_is_killed_again_and_again() {
    on_a_node("killed", async |world| {
        world.namespace.create(&task_queue("default", SLOTS)).await;
        world.work("sleep $((RANDOM % 3))").await;
        for number in 0..TASKS {
            world
                .task_with(&format!("task-{number:02}"), |spec| {
                    spec.retry = serde_json::from_str(r#"{"limit": 0, "disruptionLimit": 0}"#).ok()
                })
                .await;
        }
        for after in KILLED_AFTER {
            eventually(&format!("{after} tasks are final"), A_TASK, async || {
                (finished(&tasks(world).await) >= after).then_some(())
            })
            .await;
            world.operator.crash().await;
        }
        let done = world.namespace.all_final(ALL_TASKS).await;

        for task in &done {
            let status = task.status.as_ref().expect("a status");
            let found = (status.state, status.attempt, status.attempts.len(), status.failures, status.disruptions);
            assert_eq!(found, (State::Completed, 1, 1, 0, 0), "{:?}: {:?}", task.metadata.name, status.message);
            assert_eq!(world.pods_of(task).len(), 1);
        }
        assert!(world.most_pods_at_once() <= SLOTS as usize, "{} pods at once", world.most_pods_at_once());
        world.assert_one_pod_at_a_time();
        assert_eq!(world.all_pods().len(), TASKS);
        assert_eq!(
            (world.namespace.jobs_now().await.len(), world.namespace.pods_now().await.len()),
            (TASKS, TASKS),
            "the finished ones are kept"
        );
    })
    .await;
}

#[tokio::test]
async fn retries_stay_exact_though_the_operator_is_killed_between_them() {
    on_a_node("killed-retry", async |world| {
        let task = world.script_with("task", "exit 1", |kind| retry(kind).limit = Some(3)).await;
        for pods in 1..=4 {
            eventually(&format!("{pods} pods were made"), A_TASK, async || {
                (world.pods_of(&task).len() >= pods).then_some(())
            })
            .await;
            world.operator.crash().await;
        }
        let status = world.ends(&task, State::Failed).await;
        assert_eq!((status.attempt, status.failures, status.disruptions), (4, 4, 0));
        world.nothing_changes(&[&task]).await;
        assert_eq!(world.pods_of(&task).len(), 4);
        world.assert_one_pod_at_a_time();
    })
    .await;
}

#[tokio::test]
async fn running_containers_go_on_without_the_operator_and_the_next_one_takes_over() {
    on_a_node("taken-over", async |world| {
        let goes_on = world.script("goes-on", &format!("{WAITS}; echo patience > $TASK_RESULT_FILE")).await;
        let ends = world.script("ends", &format!("{WAITS}; echo meanwhile > $TASK_RESULT_FILE")).await;
        let too_slow = world.script_with("too-slow", "sleep 300", never_again).await;
        let pods = [world.runs(&goes_on).await, world.runs(&ends).await, world.runs(&too_slow).await];

        let ended = world.operator.stop().await;
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        stays("its container goes on", A_WHILE, async || {
            world.namespace.pods().get(&pods[0].name_any()).await.is_ok_and(|pod| is_running(&pod))
        })
        .await;
        world.work("true").await;
        let unseen = world.task("unseen").await;
        world.let_go(&pods[1]).await;
        world.is_overdue(&pods[2]).await;
        world.ended(&pods[1]).await;
        world.ended(&pods[2]).await;
        assert_eq!(finished(&tasks(world).await), 0, "nobody is there to tell");
        world.operator.start_again().await;

        assert_eq!(world.completes(&ends).await.result, Some("meanwhile".into()));
        let status = world.ends(&too_slow, State::Failed).await;
        assert_eq!((status.reason, status.attempt), (Reason::Timeout, 1), "its timeout held without the operator");
        world.let_go(&pods[0]).await;
        let status = world.completes(&goes_on).await;
        assert_eq!((status.attempt, status.result), (1, Some("patience".into())));
        world.completes(&unseen).await;
        for task in [&goes_on, &ends, &too_slow, &unseen] {
            assert_eq!(world.pods_of(task).len(), 1);
        }
    })
    .await;
}

/// A lease that was not renewed for so long is nobody's.
const LAPSED_AFTER: SignedDuration = SignedDuration::from_secs(11);

#[tokio::test]
async fn an_operator_that_was_paused_until_its_lease_lapsed_loses_no_task() {
    on_a_node("paused", async |world| {
        world.namespace.create(&task_queue("default", 2)).await;
        world.work("sleep 1").await;
        let before = world.task("before").await;
        world.completes(&before).await;
        signal(world, "-STOP").await;
        let leases = world.namespace.api::<Lease>();
        eventually("the lease has lapsed", A_CHANGE, async || {
            let renewed = leases.list(&ListParams::default()).await.ok()?.items.pop()?.spec?.renew_time?.0;
            (Timestamp::now().duration_since(renewed) > LAPSED_AFTER).then_some(())
        })
        .await;
        let mut waiting = vec![];
        for number in 0..6 {
            waiting.push(world.task(&format!("while-paused-{number}")).await);
        }
        signal(world, "-CONT").await;
        for task in waiting.iter().chain([&before]) {
            assert_eq!(world.completes(task).await.attempt, 1);
            assert_eq!(world.pods_of(task).len(), 1);
        }
        assert!(world.most_pods_at_once() <= 2);
    })
    .await;
}

async fn signal(world: &World, signal: &str) {
    let pid = world.operator.pid().expect("the operator runs").to_string();
    let sent = Command::new("kill").args([signal, &pid]).status().await.expect("a signal can be sent");
    assert!(sent.success());
}
