//! etcd is brought back to a snapshot while the operator runs: what came after it never was.

use e2e::gate::{Gate, HELD};
use e2e::parts::{restore, snapshot};
use e2e::world::{World, shell};
use harness::{With, task_queue};
use kube::ResourceExt;
use kube::api::DeleteParams;
use task_manager::api::Task;

use super::on_a_fragile_node;

const SLOTS: usize = 2;

#[tokio::test]
async fn after_a_restore_all_tasks_that_are_there_again_end_in_order_and_within_their_slots() {
    on_a_fragile_node("restored", async |world| {
        world.namespace.create(&task_queue("default", SLOTS as i32)).await;
        let gate = Gate::new(&world.namespace);
        let script = format!("{HELD}; printf %s $TASK_NAME > $TASK_RESULT_FILE");
        world.namespace.create(&shell("work", &script).with(|kind| gate.on(kind))).await;
        let mut tasks = vec![];
        for name in ["a-done", "b-ends", "c-runs", "d-waits", "e-waits", "f-waits"] {
            tasks.push(world.task(name).await);
        }
        gate.open("a-done");
        let done = world.completes(&tasks[0]).await;
        for task in &tasks[1..3] {
            world.runs(task).await;
        }

        snapshot();
        what_never_was(world, &gate, &tasks).await;
        restore();
        world.records_anew().await;
        assert!(world.namespace.tasks().get_opt("late").await.expect("an answer").is_none());

        let last = world.task("g-new").await;
        tasks.push(last);
        let mut admitted = vec![];
        for task in &tasks {
            gate.open(&task.name_any());
            let status = world.completes(task).await;
            assert_eq!(status.result, Some(task.name_any().into()));
            assert_eq!(status.failures, 0, "{:?}", status.attempts);
            admitted.push(status.admitted_at.expect("a time").0);
        }
        assert_eq!(world.status(&tasks[0]).await, done, "what was final before is as it was");
        assert!(admitted[3..].is_sorted(), "those that waited had their turns in order: {admitted:?}");
        assert_eq!(world.status(&tasks[2]).await.attempt, 1, "its container ran on all the time");
        assert!(world.most_pods_at_once() <= SLOTS);
        world.assert_one_pod_at_a_time();
    })
    .await;
}

/// Tasks end, begin, are deleted and created; of all that nothing will be left.
async fn what_never_was(world: &World, gate: &Gate, tasks: &[Task]) {
    for task in [&tasks[1], &tasks[3]] {
        gate.open(&task.name_any());
        world.completes(task).await;
    }
    world.namespace.tasks().delete(&tasks[4].name_any(), &DeleteParams::default()).await.expect("it is deleted");
    gate.open("f-waits");
    world.completes(&tasks[5]).await;
    let late = world.task("late").await;
    gate.open("late");
    world.completes(&late).await;
}
