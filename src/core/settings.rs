//! The operator's options that decisions depend on.

use task_manager_api::Quantity;

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Memory limit of a work's container where nobody says anything of memory: not task, type, template or namespace.
    pub default_memory_limit: Quantity,
    /// Its memory request there.
    pub default_memory_request: Quantity,
    /// Capacity in tasks of a queue named "default" that nobody created.
    pub default_queue_tasks: i32,
    /// The most tasks of all queues together that run at once; `None` is any number.
    pub max_running_tasks: Option<i32>,
    /// Seconds after which a pod without a node gives its slot back, unless a node is coming.
    pub unschedulable_seconds: i64,
    /// Seconds for which the Job of a finished task is kept, for its logs.
    pub keep_finished_seconds: i64,
    /// How many finished Jobs of a namespace are kept at most.
    pub keep_finished: usize,
    /// A pod gets the PriorityClass with this prefix and its task's priority as name, where the cluster has one.
    pub priority_class_prefix: String,
    /// The worker API's URL for pods; without it they get neither the URL nor a token.
    pub worker_url: Option<String>,
    /// The image that holds the agent: the operator's own.
    pub agent_image: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_memory_limit: Quantity("1Gi".into()),
            default_memory_request: Quantity("128Mi".into()),
            default_queue_tasks: 50,
            max_running_tasks: None,
            unschedulable_seconds: 60,
            keep_finished_seconds: 3600,
            keep_finished: 500,
            priority_class_prefix: "task-manager-".into(),
            worker_url: None,
            agent_image: None,
        }
    }
}
