//! A node that is emptied for maintenance, as an administrator does it.

use e2e::parts::drain;
use e2e::world::{A_TASK, World};
use harness::{eventually, task_queue};
use kube::ResourceExt;
use kube::api::ListParams;
use task_manager::api::{AttemptOutcome, Reason, State, TaskStatus};

use super::{node, on_a_fragile_node};

const SLOTS: usize = 3;

async fn statuses(world: &World) -> Vec<TaskStatus> {
    let tasks = world.namespace.tasks().list(&ListParams::default()).await.expect("tasks").items;
    tasks.into_iter().filter_map(|task| task.status).collect()
}

#[tokio::test]
async fn the_tasks_of_a_drained_node_wait_uncounted_and_go_on_when_it_is_back() {
    on_a_fragile_node("drained", async |world| {
        world.namespace.create(&task_queue("default", SLOTS as i32)).await;
        world.work(r#"[ $TASK_ATTEMPT -gt 1 ] || grep -q queued "$TASK_PAYLOAD_FILE" || sleep 300"#).await;
        let running = [world.task("ran-1").await, world.task("ran-2").await, world.task("ran-3").await];
        for task in &running {
            world.runs(task).await;
        }
        let queued = [world.task("queued-1").await, world.task("queued-2").await];

        let node = node(&world.namespace.client).await.expect("a node").name_any();
        let drained = drain(&node);
        for task in &running {
            world.until(task, "lost its pod", |status| status.disruptions == 1).await;
        }
        eventually("as many tasks as there are slots wait for a node, and the others for a slot", A_TASK, async || {
            let statuses = statuses(world).await;
            let waits =
                |status: &&TaskStatus| (status.state, status.reason) == (State::Processing, Reason::Unschedulable);
            let queued = statuses.iter().filter(|status| status.state == State::Queued).count();
            (statuses.iter().filter(waits).count() == SLOTS && queued == 2).then_some(())
        })
        .await;
        drained.mend();

        for task in &running {
            let status = world.completes(task).await;
            assert_eq!((status.attempt, status.failures, status.disruptions), (2, 0, 1), "{:?}", status.attempts);
            let first = &status.attempts[0];
            assert_eq!((first.outcome, first.reason), (AttemptOutcome::Disrupted, Reason::Evicted));
        }
        for task in &queued {
            let status = world.completes(task).await;
            assert_eq!((status.attempt, status.failures, status.disruptions), (1, 0, 0), "{:?}", status.attempts);
        }
        assert!(!world.operator.logged().contains("ContainerConfig"), "nothing was wrong with the containers");
        assert_eq!(world.all_pods().len(), 8);
        assert!(world.most_pods_at_once() <= SLOTS);
        world.assert_one_pod_at_a_time();
    })
    .await;
}
