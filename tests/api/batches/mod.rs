//! Batches: many items in chunks, each of which is a task that the fake node runs by its items.

mod ends;
mod items;
mod steering;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::*;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};
use task_manager::api::{BatchStatus, State, Task};
use task_manager::core::batch::Items;

/// Long enough for a batch of a thousand items on a busy machine.
const A_BATCH: Duration = Duration::from_secs(240);

/// How often each item was run, by the fake node's word.
type Runs = Arc<Mutex<BTreeMap<u32, u32>>>;

/// A manifest of a batch of type "work".
fn batch(name: &str, batch: Value, more: Value) -> Value {
    let mut spec = json!({"type": "work", "batch": batch, "retry": {"limit": 2, "initialSeconds": 1, "factor": 1}});
    if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
        spec.extend(more);
    }
    json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task", "metadata": {"name": name}, "spec": spec})
}

/// The items of an items file.
fn items_of(file: &str) -> Items {
    let file: Value = serde_json::from_str(file).expect("JSON");
    Items::read(file["indexes"].as_str().expect("indexes")).expect("items")
}

/// A result that names these items as failed.
fn failing(indexes: impl IntoIterator<Item = u32>, retryable: bool) -> Outcome {
    let error = json!({"type": "Odd", "message": "it is odd", "retryable": retryable});
    let failed: Vec<_> = indexes.into_iter().map(|index| json!({"index": index, "error": error})).collect();
    Outcome::result(&json!({"failedItems": failed}).to_string())
}

/// Counts a run of each of these items; returns how often they have run by now.
fn count(runs: &Runs, items: &Items) -> BTreeMap<u32, u32> {
    let mut runs = runs.lock().expect("no test panicked in it");
    items.indexes().for_each(|index| *runs.entry(index).or_default() += 1);
    items.indexes().map(|index| (index, runs[&index])).collect()
}

fn counts(task: &Task) -> BatchStatus {
    task.status.clone().unwrap_or_default().batch.unwrap_or_default()
}

async fn chunks_now(ns: &Namespace) -> Vec<Task> {
    ns.tasks().list(&ListParams::default().labels("taskmanager.dev/batch")).await.expect("chunks").items
}

async fn in_state(ns: &Namespace, name: &str, state: State) -> Task {
    ns.task_within(A_BATCH, name, &format!("is {state}"), |_, status| status.state == state).await
}

/// Nothing of it is left but itself.
async fn nothing_is_left(ns: &Namespace) {
    assert_eq!(chunks_now(ns).await.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), Vec::<String>::new());
    eventually("no Job is left", SOON, async || ns.jobs_now().await.is_empty().then_some(())).await;
}
