//! Hundreds of tasks at once, and an operator that dies again and again: order and capacity hold exactly.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use harness::*;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use task_manager::api::{Priority, State, Task};

use crate::stage::{set, status};

const TASKS: usize = 300;

/// As good as random, and the same every time.
fn priority(number: usize) -> Priority {
    let drawn = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
    [Priority::Low, Priority::Normal, Priority::High, Priority::Critical][drawn % 4]
}

/// Creates them within about a second, in a queue that is held, so that all are there when the first starts.
async fn a_burst(ns: &Namespace, queue: &str, capacity: i32) {
    ns.create(&task_queue(queue, capacity).with(|spec| spec.suspend = true)).await;
    stream::iter(0..TASKS)
        .for_each_concurrent(50, async |number| {
            let one = task(&format!("{queue}-{number}")).with(|spec| {
                spec.queue = queue.into();
                spec.priority = Some(priority(number));
            });
            ns.create(&one).await;
        })
        .await;
}

async fn let_go(ns: &Namespace, queue: &str) {
    let go = Patch::Merge(json!({"spec": {"suspend": false}}));
    ns.queues().patch(queue, &PatchParams::default(), &go).await.expect("accepted");
}

/// Kills the operator every now and then until all tasks are final; returns how often it died.
async fn through_crashes(tasks: &Recorder<Task>, operator: &mut Operator, every: Duration) -> usize {
    let mut crashes = 0;
    let mut next = Instant::now() + every;
    eventually("all tasks are final", Duration::from_secs(400), async || {
        if crashes < 4 && Instant::now() > next {
            operator.crash().await;
            crashes += 1;
            next = Instant::now() + every;
        }
        // A list of hundreds, again and again, would slow down what is tested.
        let done = tasks.look(|seen| seen.iter().filter(|seen| status(&seen.object).state.is_final()).count());
        (done >= TASKS).then_some(())
    })
    .await;
    crashes
}

/// The number of tasks that each admission passed over, in the order of admissions.
fn passed_over(mut tasks: Vec<Task>) -> Vec<usize> {
    let arrival = |task: &Task| status(task).arrival.and_then(|text| text.parse::<u64>().ok()).expect("an arrival");
    tasks.sort_by_key(|task| status(task).admitted_at.expect("a time").0);
    let order: Vec<_> = tasks.iter().map(|task| (Reverse(status(task).priority), arrival(task))).collect();
    (0..order.len()).map(|place| order[place..].iter().filter(|later| **later < order[place]).count()).collect()
}

fn processing(task: &Task) -> bool {
    status(task).state == State::Processing
}

fn alive(pod: &Pod) -> bool {
    !pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .is_some_and(|phase| matches!(phase, "Succeeded" | "Failed"))
}

async fn a_run(slug: &str, capacity: i32, check: impl Fn(Vec<usize>, usize)) {
    in_namespace(slug, async |ns| {
        let (node, mut operator) = set(&ns, &[]).await;
        let tasks = ns.record::<Task>().await;
        let pods = ns.record::<Pod>().await;
        let began = Instant::now();
        a_burst(&ns, "line", capacity).await;
        println!("{TASKS} tasks were created in {:?}", began.elapsed());
        let began = Instant::now();
        let_go(&ns, "line").await;
        let crashes = through_crashes(&tasks, &mut operator, Duration::from_secs(2)).await;
        let done = ns.all_final(SOON).await;
        println!("and were done after {:?} and {crashes} crashes", began.elapsed());
        assert_eq!(done.len(), TASKS);
        for task in &done {
            let told =
                (status(task).state, status(task).attempt, status(task).failures, node.starts_of(&task.name_any()));
            assert_eq!(told, (State::Completed, 1, 0, 1), "{}", task.name_any());
        }
        let capacity = capacity as usize;
        assert!(most_at_once(&tasks.seen(), processing) <= capacity);
        assert!(most_at_once(&pods.seen(), alive) <= capacity);
        check(passed_over(done), crashes);
    })
    .await;
}

#[tokio::test]
async fn one_at_a_time_three_hundred_tasks_start_exactly_in_order_through_crashes() {
    a_run("order-1", 1, |passed_over, crashes| {
        assert!(crashes >= 2);
        assert_eq!(passed_over.iter().sum::<usize>(), 0, "{passed_over:?}");
    })
    .await;
}

#[tokio::test]
async fn seven_at_a_time_three_hundred_tasks_start_in_order_through_crashes() {
    a_run("order-7", 7, |passed_over, crashes| {
        // A crash may fall between the writes of one pass: those of them that did not take place come next.
        let out_of_order = passed_over.iter().filter(|passed| **passed > 0).count();
        assert!(passed_over.iter().all(|passed| *passed < 7), "{passed_over:?}");
        assert!(out_of_order <= 6 * crashes, "{out_of_order} with {crashes} crashes: {passed_over:?}");
    })
    .await;
}

#[tokio::test]
async fn who_comes_later_and_is_more_urgent_goes_before_all_who_wait() {
    in_namespace("urgent", async |ns| {
        ns.create(&task_queue("default", 1)).await;
        let (node, mut operator) = set(&ns, &[]).await;
        node.script("first", [Outcome::Hold]);
        ns.create(&task("first")).await;
        crate::stage::started(&node, "first", 1).await;
        for (name, priority) in [
            ("low", Priority::Low),
            ("normal", Priority::Normal),
            ("high", Priority::High),
            ("high-2", Priority::High),
            ("critical", Priority::Critical),
        ] {
            ns.create(&task(name).with(|spec| spec.priority = Some(priority))).await;
        }
        operator.crash().await;
        node.end("first", Outcome::succeed());
        ns.all_final(SOON).await;
        let order: Vec<String> = node.starts().into_iter().map(|start| start.task).collect();
        assert_eq!(order, ["first", "critical", "high", "high-2", "normal", "low"]);
    })
    .await;
}
