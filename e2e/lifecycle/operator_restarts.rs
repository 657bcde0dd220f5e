//! The operator goes and comes back while tasks run: killed in the middle of whatever it does, or asked to end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::{With, eventually, stays, task_queue};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::ListParams;
use task_manager::api::{Reason, State, Task};

use e2e::world::{
    A_CHANGE, A_TASK, A_WHILE, WAITS, World, is_running, never_again, on_a_node, on_a_node_over_each_executor, retry,
    shell,
};

const TASKS: usize = 100;
const SLOTS: i32 = 10;
/// Of each ten tasks so many complete at once, so many after a failure, and the others fail for good.
const SUCCEED: usize = 5;
const RECOVER: usize = 3;
const KILLS: usize = 20;
/// The operator is killed at a random moment within this time, once more tasks are final than the time before.
const WITHIN: Duration = Duration::from_secs(2);
const ALL_TASKS: Duration = Duration::from_secs(1200);

async fn tasks(world: &World) -> Vec<Task> {
    world.namespace.tasks().list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default()
}

fn finished(tasks: &[Task]) -> usize {
    tasks.iter().filter(|task| task.status.as_ref().is_some_and(|status| status.state.is_final())).count()
}

/// The end of the task of this number: its type, state, attempts and failures.
fn fate(number: usize) -> (&'static str, State, i32, i32) {
    match number % 10 {
        digit if digit < SUCCEED => ("succeeds", State::Completed, 1, 0),
        digit if digit < SUCCEED + RECOVER => ("recovers", State::Completed, 2, 1),
        _ => ("fails", State::Failed, 2, 2),
    }
}

#[tokio::test]
async fn a_hundred_tasks_end_as_they_should_though_the_operator_is_killed_twenty_times() {
    on_a_node("killed", async |world| {
        world.namespace.create(&task_queue("default", SLOTS)).await;
        for (name, script) in
            [("succeeds", "true"), ("recovers", "[ $TASK_ATTEMPT -gt 1 ] || exit 1"), ("fails", "exit 1")]
        {
            world.namespace.create(&shell(name, script).with(|kind| retry(kind).limit = Some(1))).await;
        }
        for number in 0..TASKS {
            world.task_with(&format!("task-{number:02}"), |spec| spec.type_ = fate(number).0.into()).await;
        }
        let mut moments = moments();
        for kill in 0..KILLS {
            let after = kill * TASKS / (KILLS + 1);
            eventually(&format!("{after} tasks are final"), ALL_TASKS, async || {
                (finished(&tasks(world).await) >= after).then_some(())
            })
            .await;
            tokio::time::sleep(moments.next().expect("a moment")).await;
            world.operator.crash().await;
        }
        let done = world.namespace.all_final(ALL_TASKS).await;

        assert_eq!(done.len(), TASKS);
        for (number, task) in done.iter().enumerate() {
            let (_, state, attempts, failures) = fate(number);
            let status = task.status.as_ref().expect("a status");
            let found = (status.state, status.attempt, status.attempts.len(), status.failures, status.disruptions);
            let wanted = (state, attempts, attempts as usize, failures, 0);
            assert_eq!(found, wanted, "{}: {:?}", task.name_any(), status.message);
            assert_eq!(world.pods_of(task).len(), attempts as usize, "{}", task.name_any());
        }
        assert!(world.most_pods_at_once() <= SLOTS as usize, "{} pods at once", world.most_pods_at_once());
        world.assert_one_pod_at_a_time();
        eventually("the last Job and pod of each task are kept, and nothing else", A_CHANGE, async || {
            let left = (world.namespace.jobs_now().await.len(), world.namespace.pods_now().await.len());
            (left == (TASKS, TASKS)).then_some(())
        })
        .await;
        world.nothing_changes(&[&done[0], &done[TASKS - 1]]).await;
    })
    .await;
}

/// Random moments; the seed is told when the test fails.
fn moments() -> impl Iterator<Item = Duration> {
    let mut seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_nanos() as u64);
    eprintln!("the operator is killed at moments that follow from the seed {seed}");
    std::iter::repeat_with(move || {
        // Knuth's MMIX generator; its high bits are the random ones.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        WITHIN.mul_f64((seed >> 11) as f64 / (1u64 << 53) as f64)
    })
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
    on_a_node_over_each_executor("taken-over", async |world| {
        let goes_on = world.script("goes-on", &format!("{WAITS}; echo patience > $TASK_RESULT_FILE")).await;
        let ends = world.script("ends", &format!("{WAITS}; echo meanwhile > $TASK_RESULT_FILE")).await;
        let too_slow = world
            .script_with("too-slow", "sleep 300", |kind| {
                never_again(kind);
                // While the operator is away, the pod ends when both together are over.
                (kind.start_deadline_seconds, kind.defaults.timeout_seconds) = (Some(30), Some(20));
            })
            .await;
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
        world.operator.freeze().await;
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
        world.operator.thaw().await;
        for task in waiting.iter().chain([&before]) {
            assert_eq!(world.completes(task).await.attempt, 1);
            assert_eq!(world.pods_of(task).len(), 1);
        }
        assert!(world.most_pods_at_once() <= 2);
    })
    .await;
}
