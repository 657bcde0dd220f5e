//! Bounds on how many tasks run at once, and the tasks that wait for them.

use std::time::Duration;

use harness::*;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use task_manager::api::{Priority, Quantity, Reason, State, Task};

use crate::stage::{manifest, set, started, status};

fn processing(task: &Task) -> bool {
    status(task).state == State::Processing
}

/// Each attempt takes this long, so that several overlap.
const A_WHILE: Duration = Duration::from_millis(300);

#[tokio::test]
async fn no_more_tasks_of_a_type_run_at_once_than_it_allows() {
    in_namespace("per-type", async |ns| {
        let node = ns.fake_node();
        node.otherwise(Outcome::after(A_WHILE, Outcome::succeed()));
        ns.create(&task_type("work").with(|spec| spec.max_concurrent = Some(2))).await;
        ns.create(&task_type("other")).await;
        let _operator = ns.operator(&[]).await;
        let tasks = ns.record::<Task>().await;
        for number in 0..6 {
            ns.create(&task(&format!("bounded-{number}"))).await;
        }
        for number in 0..3 {
            ns.create(&task(&format!("free-{number}")).with(|spec| spec.type_ = "other".into())).await;
        }
        ns.all_final(SOON).await;
        let seen = tasks.seen();
        assert_eq!(most_at_once(&seen, |task| processing(task) && task.spec.type_ == "work"), 2);
        assert!(most_at_once(&seen, processing) > 2, "tasks of the other type are not held back");
    })
    .await;
}

#[tokio::test]
async fn no_more_tasks_of_one_kb_id_run_at_once_than_their_type_allows() {
    in_namespace("per-kb", async |ns| {
        let node = ns.fake_node();
        node.otherwise(Outcome::after(A_WHILE, Outcome::succeed()));
        ns.create(&task_type("work").with(|spec| spec.max_concurrent_per_kb_id = Some(1))).await;
        let _operator = ns.operator(&[]).await;
        let tasks = ns.record::<Task>().await;
        for key in ["a", "a", "a", "b", "b"] {
            let name = format!("{key}-{}", tasks.count());
            ns.create(&task(&name).with(|spec| spec.kb_id = Some(key.into()))).await;
            eventually("it is seen", SOON, async || (!tasks.seen_of(&name).is_empty()).then_some(())).await;
        }
        for number in 0..3 {
            ns.create(&task(&format!("none-{number}"))).await;
        }
        ns.all_final(SOON).await;
        let seen = tasks.seen();
        for key in ["a", "b"] {
            assert_eq!(
                most_at_once(&seen, |task| processing(task) && task.spec.kb_id.as_deref() == Some(key)),
                1,
                "{key}"
            );
        }
        assert!(most_at_once(&seen, |task| processing(task) && task.spec.kb_id.is_none()) > 1, "no key, no bound");
    })
    .await;
}

#[tokio::test]
async fn a_queue_counts_resources_and_who_finds_no_room_holds_back_all_behind() {
    in_namespace("gpu", async |ns| {
        let node = ns.fake_node();
        node.otherwise(Outcome::Hold);
        ns.apply(manifest("TaskQueue", "default", json!({"capacity": {"resources": {"nvidia.com/gpu": 4}}})))
            .await
            .expect("accepted");
        ns.create(&task_type("work").with(|spec| {
            spec.maximum.resources = [("nvidia.com/gpu".to_owned(), Quantity("8".into()))].into();
        }))
        .await;
        let _operator = ns.operator(&[]).await;
        let with = |name: &str, gpus: i64, priority: Priority| {
            task(name).with(|spec| {
                spec.resources =
                    Some(serde_json::from_value(json!({"limits": {"nvidia.com/gpu": gpus}})).expect("resources"));
                spec.priority = Some(priority);
            })
        };
        ns.create(&with("first", 3, Priority::Normal)).await;
        started(&node, "first", 1).await;
        ns.create(&with("blocked", 3, Priority::Normal)).await;
        ns.create(&with("behind", 1, Priority::Low)).await;
        ns.create(&task("none").with(|spec| spec.priority = Some(Priority::Low))).await;
        stays("strict: nobody passes the one that finds no room", A_MOMENT, async || node.starts().len() == 1).await;
        ns.create(&with("urgent", 1, Priority::High)).await;
        started(&node, "urgent", 1).await;
        node.end("first", Outcome::succeed());
        started(&node, "blocked", 1).await;
        stays("all four are in use", Duration::from_secs(1), async || node.starts_of("behind") == 0).await;
        node.end("urgent", Outcome::succeed());
        started(&node, "behind", 1).await;
        started(&node, "none", 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_ceiling_keeps_room_for_what_is_urgent() {
    in_namespace("ceilings", async |ns| {
        ns.create(&task_queue("default", 4).with(|spec| {
            spec.ceilings.low = Some(50);
            spec.ceilings.normal = Some(75);
        }))
        .await;
        let (node, _operator) = set(&ns, &[]).await;
        node.otherwise(Outcome::Hold);
        let create = async |priority: Priority| {
            for number in 0..4 {
                ns.create(&task(&format!("{priority}-{number}")).with(|spec| spec.priority = Some(priority))).await;
            }
        };
        let all = async |count: usize| {
            eventually(&format!("{count} run"), SOON, async || (node.starts().len() == count).then_some(())).await;
            stays(&format!("no more than {count} run"), Duration::from_secs(1), async || node.starts().len() == count)
                .await;
        };
        create(Priority::Low).await;
        all(2).await;
        create(Priority::Normal).await;
        all(3).await;
        create(Priority::Critical).await;
        all(4).await;
        assert_eq!(node.starts_of("critical-0"), 1);
    })
    .await;
}

#[tokio::test]
async fn all_queues_together_are_bounded_by_the_flag() {
    in_namespace("bounded", async |ns| {
        ns.create(&task_queue("a", 3)).await;
        ns.create(&task_queue("b", 3)).await;
        let (node, _operator) = set(&ns, &["--max-running-tasks", "4"]).await;
        node.otherwise(Outcome::after(A_WHILE, Outcome::succeed()));
        let tasks = ns.record::<Task>().await;
        for number in 0..8 {
            ns.create(&task(&format!("a-{number}")).with(|spec| spec.queue = "a".into())).await;
            ns.create(&task(&format!("b-{number}")).with(|spec| spec.queue = "b".into())).await;
        }
        ns.all_final(SOON).await;
        let seen = tasks.seen();
        assert_eq!(most_at_once(&seen, processing), 4);
        assert!(most_at_once(&seen, |task| processing(task) && task.spec.queue == "a") <= 3);
        assert!(most_at_once(&seen, |task| processing(task) && task.spec.queue == "b") <= 3);
    })
    .await;
}

#[tokio::test]
async fn the_default_queue_need_not_exist_and_has_the_capacity_of_the_flag() {
    in_namespace("default", async |ns| {
        let (node, _operator) = set(&ns, &["--default-queue-tasks", "2"]).await;
        node.otherwise(Outcome::Hold);
        for number in 0..4 {
            ns.create(&task(&format!("t-{number}"))).await;
        }
        started(&node, "t-1", 1).await;
        stays("two run", A_MOMENT, async || node.starts().len() <= 2).await;
        ns.create(&task_queue("default", 3)).await;
        started(&node, "t-2", 1).await;
        ns.queues().delete("default", &kube::api::DeleteParams::default()).await.expect("deleted");
        node.end("t-0", Outcome::succeed());
        ns.task_in("t-0", State::Completed).await;
        stays("two run again", A_MOMENT, async || node.starts_of("t-3") == 0).await;
    })
    .await;
}

#[tokio::test]
async fn lowering_a_capacity_ends_nothing_that_runs() {
    in_namespace("lowered", async |ns| {
        ns.create(&task_queue("default", 2)).await;
        let (node, _operator) = set(&ns, &[]).await;
        node.otherwise(Outcome::Hold);
        for name in ["a", "b", "c"] {
            ns.create(&task(name)).await;
        }
        started(&node, "a", 1).await;
        started(&node, "b", 1).await;
        let lower = json!({"spec": {"capacity": {"tasks": 1}}});
        ns.queues().patch("default", &PatchParams::default(), &Patch::Merge(lower)).await.expect("accepted");
        stays("both go on", A_MOMENT, async || ns.pods_now().await.len() == 2).await;
        node.end("a", Outcome::succeed());
        ns.task_in("a", State::Completed).await;
        stays("the third waits for the second", A_MOMENT, async || node.starts_of("c") == 0).await;
        node.end("b", Outcome::succeed());
        started(&node, "c", 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_suspended_queue_starts_nothing_and_ends_nothing() {
    in_namespace("held-queue", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        ns.create(&task_queue("default", 5)).await;
        node.otherwise(Outcome::Hold);
        ns.create(&task("runs")).await;
        started(&node, "runs", 1).await;
        let suspend = |on: bool| Patch::Merge(json!({"spec": {"suspend": on}}));
        ns.queues().patch("default", &PatchParams::default(), &suspend(true)).await.expect("accepted");
        // The queue's change and the task come by different watches.
        eventually("the operator has seen that the queue is held", SOON, async || {
            let status = ns.queues().get("default").await.ok()?.status?;
            status.conditions.iter().any(|seen| seen.type_ == "Ready" && seen.status == "False").then_some(())
        })
        .await;
        ns.create(&task("waits")).await;
        stays("nothing starts", A_MOMENT, async || node.starts_of("waits") == 0).await;
        node.end("runs", Outcome::succeed());
        ns.task_in("runs", State::Completed).await;
        ns.queues().patch("default", &PatchParams::default(), &suspend(false)).await.expect("accepted");
        started(&node, "waits", 1).await;
    })
    .await;
}

#[tokio::test]
async fn raising_a_queued_tasks_priority_works_at_once() {
    in_namespace("raised", async |ns| {
        ns.create(&task_queue("default", 1)).await;
        let (node, _operator) = set(&ns, &[]).await;
        node.script("first", [Outcome::Hold]);
        ns.create(&task("first")).await;
        started(&node, "first", 1).await;
        for name in ["second", "third"] {
            ns.create(&task(name)).await;
        }
        ns.patch_task("third", json!({"priority": "critical"})).await.expect("accepted");
        let told =
            ns.task_when("third", "shows its priority", |_, status| status.priority == Some(Priority::Critical)).await;
        assert_eq!((status(&told).state, status(&told).reason), (State::Queued, Reason::Queued));
        node.end("first", Outcome::succeed());
        let tasks = ns.all_final(SOON).await;
        let admitted = |name: &str| {
            status(tasks.iter().find(|task| task.metadata.name.as_deref() == Some(name)).expect("a task")).admitted_at
        };
        assert!(admitted("third") < admitted("second"));
    })
    .await;
}
