//! What whoever installs the operator may set, as far as decisions depend on it.

use task_manager_api::Quantity;

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Memory limit of a work container for which nobody set one.
    pub default_memory_limit: Quantity,
    /// Capacity of a queue named "default" that nobody created.
    pub default_queue_tasks: i32,
    /// How many tasks of all queues together may run at once.
    pub max_running_tasks: Option<i32>,
    /// How long the Job of a finished task is kept, for its logs.
    pub keep_finished_seconds: i64,
    /// A pod gets the PriorityClass of this prefix and its task's priority, where the cluster has one.
    pub priority_class_prefix: String,
    /// Where pods reach the worker API; without it they are told of none, and get no token.
    pub worker_url: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_memory_limit: Quantity("1Gi".into()),
            default_queue_tasks: 50,
            max_running_tasks: None,
            keep_finished_seconds: 3600,
            priority_class_prefix: "task-manager-".into(),
            worker_url: None,
        }
    }
}
