//! The order of tasks, and how many run at once.

use harness::{With, eventually, task_queue};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use task_manager::api::{Priority, Reason, Task};

use e2e::world::{A_TASK, World, end, on_a_node};

#[tokio::test]
async fn one_slot_is_given_by_priority_and_then_by_arrival() {
    on_a_node("priorities", async |world| {
        world.namespace.create(&task_queue("narrow", 1).with(|spec| spec.suspend = true)).await;
        world.work("sleep 1").await;
        let mut tasks = vec![];
        for (name, priority) in [
            ("5-low", Some(Priority::Low)),
            ("3-normal", None),
            ("4-normal", Some(Priority::Normal)),
            ("2-high", Some(Priority::High)),
            ("1-critical", Some(Priority::Critical)),
        ] {
            tasks.push(world.task_with(name, |spec| (spec.priority, spec.queue) = (priority, "narrow".into())).await);
        }
        for task in &tasks {
            eventually(&format!("task {} says that its queue is suspended", task.name_any()), A_TASK, async || {
                (world.status(task).await.reason == Reason::QueueSuspended).then_some(())
            })
            .await;
        }
        world.nothing_changes(&tasks.iter().collect::<Vec<_>>()).await;
        assert!(world.all_pods().is_empty(), "a suspended queue starts nothing");
        world.suspend_queue("narrow", false).await;

        let mut ran: Vec<(Timestamp, Timestamp, Timestamp, String)> = vec![];
        for task in &tasks {
            let status = world.completes(task).await;
            let pod = world.pods_of(task).remove(0).object;
            let end = end(&pod);
            let [started, finished] = [&end.started_at, &end.finished_at].map(|time| time.as_ref().expect("a time").0);
            ran.push((status.admitted_at.expect("a time").0, started, finished, task.name_any()));
        }
        ran.sort();
        let names: Vec<&str> = ran.iter().map(|(.., name)| name.as_str()).collect();
        assert_eq!(names, ["1-critical", "2-high", "3-normal", "4-normal", "5-low"]);
        for pair in ran.windows(2) {
            let ((_, _, finished, before), (admitted, started, _, after)) = (&pair[0], &pair[1]);
            assert!(finished <= started && finished <= admitted, "{after} began before {before} had ended");
        }
        assert_eq!(world.most_pods_at_once(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_queue_never_runs_more_than_its_capacity_and_uses_it() {
    on_a_node("capacity", async |world| {
        world.namespace.create(&task_queue("default", 3)).await;
        // A third of them fail once: a retry takes a slot as everybody does.
        world.work(r#"sleep 1; [ "$TASK_ATTEMPT" = 2 ] || ! grep -q again "$TASK_PAYLOAD_FILE""#).await;
        let mut tasks: Vec<Task> = vec![];
        for number in 0..12 {
            let name = if number % 3 == 0 { format!("again-{number}") } else { format!("once-{number}") };
            tasks.push(world.task(&name).await);
        }
        for task in &tasks {
            world.completes(task).await;
        }
        assert_eq!(world.all_pods().len(), 16);
        assert_eq!(world.most_pods_at_once(), 3);
        world.assert_one_pod_at_a_time();
    })
    .await;
}

#[tokio::test]
async fn a_slot_is_not_given_twice_though_queue_and_tasks_are_touched_all_the_time() {
    on_a_node("touched", async |world| {
        world.namespace.create(&task_queue("default", 3)).await;
        world.work("true").await;
        let mut tasks: Vec<Task> = vec![];
        for number in 0..15 {
            tasks.push(world.task(&format!("task-{number:02}")).await);
            touch(world, &tasks, number).await;
        }
        let mut touches = tasks.len();
        eventually("all tasks are final though they are touched", A_TASK, async || {
            touches += 1;
            touch(world, &tasks, touches).await;
            let listed = world.namespace.tasks().list(&ListParams::default()).await.ok()?.items;
            let is_final = |task: &Task| task.status.as_ref().is_some_and(|status| status.state.is_final());
            listed.iter().all(is_final).then_some(())
        })
        .await;
        for task in &tasks {
            assert_eq!(world.completes(task).await.attempt, 1);
        }
        assert_eq!((world.all_pods().len(), world.most_pods_at_once()), (15, 3));
    })
    .await;
}

/// Changes labels, which mean nothing to us.
async fn touch(world: &World, tasks: &[Task], count: usize) {
    let patch = Patch::Merge(json!({"metadata": {"labels": {"touched": count.to_string()}}}));
    let params = PatchParams::default();
    world.namespace.queues().patch("default", &params, &patch).await.expect("the queue is touched");
    for task in tasks {
        world.namespace.tasks().patch(&task.name_any(), &params, &patch).await.expect("the task is touched");
    }
}
