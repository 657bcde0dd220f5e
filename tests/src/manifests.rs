//! Small objects; a test changes the fields that it is about.

use crate::executors::executor;
use serde_json::json;
use task_manager::api::{
    Capacity, Condition, Defaults, Retry, Task, TaskQueue, TaskQueueSpec, TaskSpec, TaskType, TaskTypeSpec,
};

/// A task of type "work" in the queue "default", with everything else left to its type.
pub fn task(name: &str) -> Task {
    let spec = TaskSpec {
        type_: "work".into(),
        queue: "default".into(),
        run_id: "1".into(),
        payload: Some(serde_json::from_value(json!({"name": name})).expect("an object")),
        ..TaskSpec::default()
    };
    Task::new(name, spec)
}

/// A type whose work is one busybox container, and whose retries come after a second; of the executor that the story is told
/// over.
pub fn task_type(name: &str) -> TaskType {
    let retry = Retry { initial_seconds: Some(1), factor: Some(1.0), ..Retry::default() };
    let spec = TaskTypeSpec {
        template: json!({"spec": {"terminationGracePeriodSeconds": 1, "containers": [
            {"name": "work", "image": "localhost/busybox:1", "imagePullPolicy": "Never", "command": ["true"],
             "resources": {"requests": {"cpu": "10m"}, "limits": {"memory": "32Mi"}}},
        ]}}),
        defaults: Defaults { retry: Some(retry), ..Defaults::default() },
        executor: executor(),
        ..TaskTypeSpec::default()
    };
    TaskType::new(name, spec)
}

/// A queue of this capacity in tasks.
pub fn task_queue(name: &str, tasks: i32) -> TaskQueue {
    let capacity = Capacity { tasks: Some(tasks), ..Capacity::default() };
    TaskQueue::new(name, TaskQueueSpec { capacity, ..TaskQueueSpec::default() })
}

/// `task("a").with(|spec| spec.suspend = true)`
pub trait With<Spec>: Sized {
    fn with(self, change: impl FnOnce(&mut Spec)) -> Self;
}

macro_rules! with {
    ($($kind:ty => $spec:ty),*) => { $(
        impl With<$spec> for $kind {
            fn with(mut self, change: impl FnOnce(&mut $spec)) -> Self {
                change(&mut self.spec);
                self
            }
        }
    )* };
}

with!(Task => TaskSpec, TaskType => TaskTypeSpec, TaskQueue => TaskQueueSpec);

/// The status of a task's condition: "True", "False" or "Unknown"; `None` where it is not there.
pub fn condition<'a>(task: &'a Task, type_: &str) -> Option<&'a str> {
    let conditions: &[Condition] = &task.status.as_ref()?.conditions;
    conditions.iter().find(|seen| seen.type_ == type_).map(|seen| seen.status.as_str())
}
