//! How soon and in which words a task or a type tells what is the matter with it.

use std::time::Duration;

use harness::{Recorder, eventually};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use task_manager::api::{State, Task, TaskStatus};

use crate::world::{A_CHANGE, A_TASK, World};

/// A trouble before the start is told within this time, counted from when the pod has its node: 10 s are promised, on
/// a node that has the processors for itself.
pub const TOLD: Duration = Duration::from_secs(20);
/// Words of the runtime and of the kubelet that tell nobody anything.
const PREAMBLES: &[&str] = &[
    "rpc error",
    "OCI runtime create failed",
    "runc create failed",
    "failed to create containerd task",
    "failed to create shim task",
    "failed to pull and unpack",
    "failed to resolve image",
    "failed to resolve reference",
    "MountVolume.SetUp failed",
    "Failed to create pod sandbox",
    "failed to start sandbox",
    "unable to start container process",
];

/// Waits until the newest pod of a task has a node.
pub async fn has_a_node(world: &World, task: &Task) -> Pod {
    eventually(&format!("the pod of task {} has a node", task.name_any()), A_TASK, async || {
        let pod = world.pods_of(task).pop()?.object;
        pod.spec.as_ref()?.node_name.is_some().then_some(pod)
    })
    .await
}

/// Waits until the status of a task that has not ended says these words, which must be soon.
pub async fn is_told(world: &World, task: &Task, words: &[&str]) -> TaskStatus {
    has_a_node(world, task).await;
    says_within(world, task, TOLD, words).await
}

pub async fn says_within(world: &World, task: &Task, deadline: Duration, words: &[&str]) -> TaskStatus {
    let mut last = TaskStatus::default();
    let what = format!("task {} says {words:?}", task.name_any());
    let until = std::time::Instant::now() + deadline;
    loop {
        let status = world.status(task).await;
        assert!(!status.state.is_final(), "{what}, but is {}: {:?}", status.reason, status.message);
        if status.state == State::Processing && says(&status, words) {
            return status;
        }
        last = if status.message.is_some() { status } else { last };
        assert!(
            std::time::Instant::now() < until,
            "not within {deadline:?}: {what}; {}: {:?}",
            last.reason,
            last.message
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn says(status: &TaskStatus, words: &[&str]) -> bool {
    let text = format!("{} {}", status.reason, status.message.as_deref().unwrap_or_default());
    words.iter().all(|word| text.contains(word))
}

/// The cause stands near the front, and nothing of what the runtimes put before it.
pub fn assert_cause_first(message: &str, cause: &str) {
    let place = message.find(cause).unwrap_or_else(|| panic!("{cause:?} is not in {message:?}"));
    assert!(place <= 80, "{cause:?} comes late in {message:?}");
    for preamble in PREAMBLES {
        assert!(!message.contains(preamble), "{preamble:?} is in {message:?}");
    }
}

/// Whether a task was ever told with this reason.
pub fn was_told(tasks: &Recorder<Task>, task: &Task, reason: &str) -> bool {
    let mut statuses = tasks.seen_of(&task.name_any()).into_iter().filter_map(|task| task.status);
    statuses.any(|status| status.reason.to_string() == reason)
}

/// Waits until the Ready condition of a type is `True`.
pub async fn is_ready(world: &World, name: &str) {
    type_is(world, name, &["True"]).await;
}

/// The sentence of a type's Ready condition once that is `False` or `Unknown`: a refusal that another try may escape
/// is not the template's fault.
pub async fn stands_in_the_way(world: &World, name: &str) -> String {
    type_is(world, name, &["False", "Unknown"]).await
}

async fn type_is(world: &World, name: &str, ready: &[&str]) -> String {
    let mut last = String::from("nothing");
    let until = std::time::Instant::now() + A_CHANGE;
    loop {
        let kind = world.namespace.types().get(name).await.expect("the type");
        if let Some(told) = kind.status.iter().flat_map(|status| &status.conditions).find(|told| told.type_ == "Ready")
        {
            last = format!("{} {}: {}", told.status, told.reason, told.message);
            if ready.contains(&told.status.as_str()) {
                return last;
            }
        }
        assert!(std::time::Instant::now() < until, "not within {A_CHANGE:?}: type {name} is {ready:?}; it says {last}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until a type is not Ready, and asserts that it says these words.
pub async fn is_refused(world: &World, name: &str, words: &[&str]) {
    let said = type_is(world, name, &["False"]).await;
    for word in words {
        assert!(said.contains(word), "type {name} does not name {word}: {said}");
    }
}
