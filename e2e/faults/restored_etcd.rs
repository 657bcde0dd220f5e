//! etcd is brought back to a snapshot while the operator runs: what came after it never was.

use e2e::gate::{Gate, HELD};
use e2e::parts::{restore, snapshot};
use e2e::world::{A_CHANGE, World, shell};
use harness::{Events, With, eventually, task_queue};
use kube::ResourceExt;
use kube::api::DeleteParams;
use task_manager::api::Task;

use super::on_a_fragile_node;
use super::rest::{beside, submission, tells_all_of, tells_the_truth};

const SLOTS: usize = 2;

#[tokio::test]
async fn after_a_restore_all_tasks_that_exist_again_end_in_order_and_within_their_slots() {
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
        let (_replica, rest) = beside(world).await;
        let id = |task: &Task| task.uid().expect("a uid");
        let mut followed = rest.events(&id(&tasks[2]), None).await;
        assert_eq!(next(&mut followed).await, Some(("processing".into(), 1)));

        snapshot();
        let [late, never] = what_never_was(world, &gate, &tasks).await;
        // Its end is told, which will never have been.
        let (end, _, place) = rest.events(&id(&tasks[3]), None).await.next_state().await.expect("a state");
        assert_eq!((end.as_str(), rest.status(&never).await["status"].as_str()), ("completed", Some("queued")));
        restore();
        world.records_anew().await;
        assert!(world.namespace.tasks().get_opt("late").await.expect("an answer").is_none());
        tells_the_truth(world, &rest).await;
        assert_eq!(rest.status(&late).await["status"], "completed", "it did run, and its record tells");
        eventually("what was queued and never was is not told to be queued", A_CHANGE, async || {
            let answer = rest.get(&format!("/api/v1/tasks/{never}/status")).await;
            (answer.status == 404 || answer.json()["status"] == "cancelled").then_some(())
        })
        .await;
        let mut again = rest.events(&id(&tasks[3]), place.as_deref()).await;

        rest.submit(&submission("g-new")).await;
        tasks.push(world.namespace.task("g-new").await);
        let mut admitted = vec![];
        for task in &tasks {
            gate.open(&task.name_any());
            let status = world.completes(task).await;
            assert_eq!(status.result, Some(task.name_any().into()));
            assert_eq!(status.failures, 0, "{:?}", status.attempts);
            admitted.push(status.admitted_at.expect("a time").0);
        }
        assert_eq!(next(&mut followed).await, Some(("completed".into(), 1)), "nothing twice, and nothing but its end");
        assert_eq!(next(&mut followed).await, None);
        let mut last = None;
        while let Some((status, ..)) = again.next_state().await {
            last = Some(status);
        }
        // The end may have come again before anything was told.
        assert!(last.as_deref().is_none_or(|last| last == "completed"), "{last:?}");
        assert_eq!(rest.events(&id(&tasks[3]), place.as_deref()).await.status, 204, "it knows the end");
        tells_the_truth(world, &rest).await;
        tells_all_of(world, &rest, &tasks).await;
        assert_eq!(world.status(&tasks[0]).await, done, "what was final before is as it was");
        assert!(admitted[3..].is_sorted(), "those that waited had their turns in order: {admitted:?}");
        assert_eq!(world.status(&tasks[2]).await.attempt, 1, "its container ran on all the time");
        assert!(world.most_pods_at_once() <= SLOTS);
        world.assert_one_pod_at_a_time();
    })
    .await;
}

/// The next state that is told, and its attempt.
async fn next(events: &mut Events) -> Option<(String, i64)> {
    events.next_state().await.map(|(status, attempt, _)| (status, attempt))
}

/// Tasks end, begin, are deleted and created; of all that nothing will be left. Returns the ids of two that were made:
/// one that ended, and one that waited.
async fn what_never_was(world: &World, gate: &Gate, tasks: &[Task]) -> [String; 2] {
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
    let never = world.task_with("never", |spec| spec.suspend = true).await;
    [late, never].map(|task| task.uid().expect("a uid"))
}
