//! A small batch, once for each of its requests and each fault that can strike there: in the end each item is done or has
//! failed, and ran as often as it had to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use harness::faults::{Passed, Point, Wire, WiredOperator};
use harness::{Namespace, Outcome, Recorder, eventually, in_namespace, task_type};
use kube::ResourceExt;
use serde_json::{Value, json};
use task_manager::api::{Reason, State, Task};

use super::sweep::sweep;
use super::walk::PATIENCE;
use super::{every_fault, is_of_the_task};
use crate::stage::status;

const KEEP_NOTHING: [&str; 2] = ["--keep-finished-seconds", "0"];
/// Item 0 is done at once, item 1 when it is tried again, and item 2 ends its chunk whenever it is in one.
const RUNS: [(u32, u32); 3] = [(0, 1), (1, 2), (2, 2)];

#[tokio::test]
async fn each_item_of_a_batch_is_done_or_fails_once_whatever_fails() {
    // Jobs and pods of a chunk are struck in the lives of single tasks.
    let is_struck = |point: &Point| is_of_the_task(point) && point.label.contains("tasks");
    let plans = |passed: &Passed| if is_struck(&passed.point) { every_fault(&passed.point) } else { vec![] };
    sweep("batch", async |wire| story(wire).await, plans).await;
}

async fn story(wire: &Arc<Wire>) -> Vec<Passed> {
    let mut passed = vec![];
    in_namespace("walk-batch", async |ns| {
        begin(&ns).await;
        let node = ns.fake_node();
        let runs: Arc<Mutex<BTreeMap<u32, u32>>> = Arc::default();
        let counted = runs.clone();
        node.chunks(move |file| fate(file, &counted));
        let tasks = ns.record::<Task>().await;
        let operator = WiredOperator::start(&ns, wire, &KEEP_NOTHING);
        eventually("the batch is over, and nothing else of it is left", PATIENCE, async || {
            assert!(!operator.has_ended(), "the operator has ended by itself");
            is_over(&ns, &tasks).await.then_some(())
        })
        .await;
        passed = wire.passed();
        let task = ns.task("one").await;
        let told = status(&task);
        assert_eq!((told.state, told.reason), (State::Failed, Reason::TooManyFailedItems));
        let batch = told.batch.expect("counts");
        assert_eq!((batch.total, batch.done, batch.failed, batch.failed_items.as_deref()), (3, 2, 1, Some("2")));
        assert_eq!(runs.lock().expect("no test panicked in it").clone(), BTreeMap::from(RUNS));
        let seen = tasks.seen();
        let counts = seen.iter().filter(|seen| seen.object.name_any() == "one").map(|seen| {
            let batch = status(&seen.object).batch.unwrap_or_default();
            (batch.done, batch.failed)
        });
        assert!(counts.is_sorted(), "what is done stays done");
    })
    .await;
    passed
}

async fn begin(ns: &Namespace) {
    ns.create(&task_type("work")).await;
    let spec = json!({"type": "work", "retry": {"limit": 1, "initialSeconds": 0},
        "batch": {"count": 3, "chunkSize": 2, "parallelism": 1}});
    let batch =
        json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task", "metadata": {"name": "one"}, "spec": spec});
    ns.create_raw(batch).await.expect("it is accepted");
}

fn fate(file: &str, runs: &Mutex<BTreeMap<u32, u32>>) -> Outcome {
    let file: Value = serde_json::from_str(file).expect("JSON");
    let items = task_manager::core::batch::Items::read(file["indexes"].as_str().expect("indexes")).expect("items");
    let mut runs = runs.lock().expect("no test panicked in it");
    items.indexes().for_each(|index| *runs.entry(index).or_default() += 1);
    match (items.contains(2), items.contains(1) && runs.get(&1) == Some(&1)) {
        (true, _) => Outcome::exit(1),
        (false, true) => Outcome::result(r#"{"failedItems": [{"index": 1}]}"#),
        (false, false) => Outcome::succeed(),
    }
}

async fn is_over(ns: &Namespace, tasks: &Recorder<Task>) -> bool {
    let only_the_batch_is_final = tasks.look_at_present(|tasks| {
        let is_final =
            |task: &Task| task.status.as_ref().is_some_and(|status| status.state.is_final() && status.is_archived());
        tasks.len() == 1 && tasks.iter().all(|task| is_final(task))
    });
    only_the_batch_is_final && ns.jobs_now().await.is_empty() && ns.pods_now().await.is_empty()
}
