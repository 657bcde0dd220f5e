//! The manifests that people try first, applied as they are with kubectl.

use std::collections::BTreeSet;
use std::path::Path;

use harness::{SOON, eventually, target};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::Value;
use task_manager::api::{Reason, State, Task, TaskStatus, WorkerPool};

use e2e::warm::{images, on_a_node_with_workers};
use e2e::world::{World, on_a_node};

/// The promises of the comments in the manifests: task, state, reason, attempts.
const PROMISED: &[(&str, State, Reason, i32)] = &[
    ("document-gettysburg", State::Completed, Reason::Succeeded, 1),
    ("index-kitchen", State::Completed, Reason::Succeeded, 1),
    ("embed-sentences", State::Completed, Reason::Succeeded, 1),
    ("counts-pages", State::Completed, Reason::Succeeded, 1),
    ("short-check-of-a-line", State::Completed, Reason::Succeeded, 1),
    ("third-time-lucky", State::Completed, Reason::Succeeded, 3),
    ("bad-input", State::Failed, Reason::ReportedError, 1),
    ("hopeless", State::Failed, Reason::ReportedError, 1),
    ("never-works", State::Failed, Reason::ExitCode, 3),
    ("too-slow", State::Failed, Reason::Timeout, 1),
    ("too-hungry", State::Failed, Reason::OOMKilled, 2),
    ("hungry-but-patient", State::Completed, Reason::Succeeded, 2),
    ("order-0-holds-the-slot", State::Completed, Reason::Succeeded, 1),
    ("order-1-critical", State::Completed, Reason::Succeeded, 1),
    ("order-2-high", State::Completed, Reason::Succeeded, 1),
    ("order-3-normal", State::Completed, Reason::Succeeded, 1),
    ("order-4-low", State::Completed, Reason::Succeeded, 1),
];

#[tokio::test]
async fn the_samples_do_what_their_comments_promise() {
    on_a_node("samples", async |world| {
        let folder = target().join("../manifests/samples");
        the_slot_is_held(world, &folder).await;
        let applied = world.namespace.kubectl(&["apply", "--filename", path(&folder)]).await;
        assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
        world.suspend_queue(ONE_SLOT, false).await;

        let tasks = world.namespace.tasks().list(&ListParams::default()).await.expect("tasks").items;
        let applied: BTreeSet<String> = tasks.iter().map(ResourceExt::name_any).collect();
        let promised: BTreeSet<String> = PROMISED.iter().map(|(name, ..)| (*name).to_owned()).collect();
        assert_eq!(applied, promised, "every sample is told of here");

        let mut statuses = vec![];
        for (name, state, reason, attempts) in PROMISED {
            let task = tasks.iter().find(|task| task.name_any() == *name).expect("listed");
            let status = world.ends(task, *state).await;
            assert_eq!((name, status.reason, status.attempt), (name, *reason, *attempts), "{:?}", status.message);
            statuses.push((*name, status));
        }
        in_order_of_priority(&statuses);
        results_are_right(&statuses);
        world.assert_one_pod_at_a_time();
        applying_again_changes_nothing(&tasks, world, path(&folder)).await;
    })
    .await;
}

#[tokio::test]
async fn the_sample_of_a_pool_does_what_its_comments_promise() {
    on_a_node_with_workers("pool-sample", async |world| {
        let image = &images(&world.namespace).await.worker;
        for file in ["pools/10-workerpool-warm-scripts.yaml", "pools/20-tasks-on-warm-workers.yaml"] {
            let sample = target().join("../manifests/samples").join(file);
            let text = std::fs::read_to_string(sample).expect("a sample").replace("localhost/busybox:1", image);
            world.namespace.apply_yaml(&text).await.expect("it is accepted");
        }
        for name in ["quick-check-1", "quick-check-2", "quick-check-3"] {
            let task = world.namespace.task(name).await;
            let status = world.ends(&task, State::Completed).await;
            assert_eq!((status.reason, status.attempt), (Reason::Succeeded, 1), "{name}: {:?}", status.message);
            let sum = status.result.as_ref().and_then(|result| result["sha256"].as_str());
            assert_eq!(sum.map(str::len), Some(64), "{:?}", status.result);
        }
        eventually("the pool tells of its workers", SOON, async || {
            let pool = world.namespace.api::<WorkerPool>().get("warm-scripts").await.ok()?;
            pool.status.filter(|status| status.ready >= 2)
        })
        .await;
    })
    .await;
}

const ONE_SLOT: &str = "one-at-a-time";

/// Applies first what the order of priorities needs, and opens nothing before all that compete are there: a slow
/// machine takes longer to apply them than the first one holds the slot.
async fn the_slot_is_held(world: &World, folder: &Path) {
    for file in ["13-tasktype-demo-script.yaml", "21-taskqueue-one-at-a-time.yaml", "50-tasks-priorities.yaml"] {
        let text = std::fs::read_to_string(folder.join(file)).expect("a sample");
        let first = text.split("\n---\n").next().expect("a document");
        world.namespace.apply_yaml(first).await.expect("it is accepted");
    }
    let holder = world.namespace.task("order-0-holds-the-slot").await;
    world.until(&holder, "holds the slot", |status| status.admitted_at.is_some()).await;
    world.suspend_queue(ONE_SLOT, true).await;
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

fn in_order_of_priority(statuses: &[(&str, TaskStatus)]) {
    let ordered = statuses.iter().filter(|(name, _)| name.starts_with("order-"));
    let mut admitted: Vec<(Timestamp, &str)> =
        ordered.map(|(name, status)| (status.admitted_at.as_ref().expect("a time").0, *name)).collect();
    admitted.sort();
    assert!(admitted.is_sorted_by_key(|(_, name)| *name), "{admitted:?}");
}

fn results_are_right(statuses: &[(&str, TaskStatus)]) {
    let result =
        |name: &str| statuses.iter().find(|(known, _)| *known == name).and_then(|(_, status)| status.result.clone());
    let at = |name: &str, pointer: &str| result(name).and_then(|result| result.pointer(pointer).cloned());
    assert_eq!(at("document-gettysburg", "/lines"), Some(Value::from(8)));
    assert_eq!(at("document-gettysburg", "/mostFrequent/0/word"), Some("that".into()));
    assert!(at("index-kitchen", "").is_some_and(|index| index.to_string().contains("crème-brûlée")));
    // The same words in another order have the same vector; other words have another one.
    let vectors =
        ["/vectors/0", "/vectors/1", "/vectors/2"].map(|place| at("embed-sentences", place).expect("a vector"));
    assert!(vectors[0] == vectors[1] && vectors[0] != vectors[2], "{vectors:?}");
}

/// An unchanged re-apply of a finished task is a no-op.
async fn applying_again_changes_nothing(tasks: &[Task], world: &World, folder: &str) {
    let pods = world.all_pods().len();
    let applied = world.namespace.kubectl(&["apply", "--filename", folder]).await;
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    world.nothing_changes(&tasks.iter().take(1).collect::<Vec<_>>()).await;
    let after = world.namespace.tasks().list(&ListParams::default()).await.expect("tasks").items;
    assert!(after.iter().all(|task| task.status.as_ref().is_some_and(|status| status.state.is_final())));
    assert_eq!(world.all_pods().len(), pods);
}
