use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{Condition, Priority, Quantity, schema};

/// How many tasks may run at once and which resources they may use together. The queue named "default" need not be
/// created: without one it has a capacity of 50 tasks, which whoever installs the operator may change.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "taskmanager.dev",
    version = "v1alpha1",
    kind = "TaskQueue",
    namespaced,
    status = "TaskQueueStatus",
    derive = "PartialEq",
    category = "taskmanager",
    shortname = "tmq",
    doc = "How many tasks may run at once, and what they may use together.",
    printcolumn(
        name = "Tasks",
        type_ = "integer",
        json_path = ".spec.capacity.tasks",
        description = "How many tasks may run at once."
    ),
    printcolumn(name = "Running", type_ = "integer", json_path = ".status.running"),
    printcolumn(name = "Queued", type_ = "integer", json_path = ".status.queued"),
    printcolumn(
        name = "Oldest",
        type_ = "date",
        json_path = ".status.oldestQueuedAt",
        description = "For how long the oldest that waits has waited."
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    ),
    printcolumn(
        name = "Used",
        type_ = "string",
        json_path = ".status.usage",
        description = "What is used of the capacity.",
        priority = 1
    ),
    printcolumn(
        name = "WaitingFor",
        type_ = "string",
        json_path = ".status.waitingFor",
        description = "Why the first that waits does not start.",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct TaskQueueSpec {
    /// The most that the running tasks of this queue may use together. A bound that is not set is not checked.
    /// Lowering the capacity stops nothing that runs. Default: unbounded. Example: {tasks: 20, resources: {cpu: 16}}.
    #[serde(default)]
    pub capacity: Capacity,

    /// Keeps room for urgent tasks: by priority, the percentage of the capacity that tasks of this priority and all
    /// below it may fill together, 1 to 100. Rounded up, to at least one task. Default: 100 for each. Example: {low:
    /// 50, normal: 90}.
    #[serde(default)]
    pub ceilings: Ceilings,

    /// True: no further task of this queue starts. Running tasks go on. Default: false.
    #[serde(default)]
    pub suspend: bool,
}

/// The most that the running tasks of a queue may use together.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// The most tasks that run at once, 0 to 1000000. Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000000))]
    pub tasks: Option<i32>,

    /// The most that the running tasks request together, by resource: at most 16 resources, counted as the Kubernetes
    /// scheduler counts pods. Resources that are not named are unbounded. Default: none. Example: {cpu: 16, memory:
    /// 32Gi, nvidia.com/gpu: 4}.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub resources: BTreeMap<String, Quantity>,
}

/// The state of a queue, written by the operator a few seconds late.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskQueueStatus {
    /// The metadata.generation that this status describes.
    #[serde(default)]
    pub observed_generation: i64,
    /// Tasks of this queue that wait, for whatever reason.
    #[serde(default)]
    pub queued: i32,
    /// Tasks of this queue that hold a slot: they run, start or stop.
    #[serde(default)]
    pub running: i32,
    /// The cpu, memory and disk that these tasks request together, the other resources that the capacity names, and the
    /// number of tasks. Example: {cpu: "14", memory: 30Gi, tasks: "50"}.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub used: BTreeMap<String, Quantity>,
    /// Used and capacity in one line. Example: tasks 50/50, cpu 14/16, memory 30Gi/32Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
    /// Why the first task of this queue does not start. Absent where none waits, or where the first starts by itself at
    /// once. Example: memory: 30Gi of 32Gi used, nightly-7 asks for 4Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// Tasks of this queue that wait, by priority.
    #[serde(default)]
    pub by_priority: ByPriority,
    /// When the task that has waited longest began to wait. Absent where none waits.
    #[serde(default, deserialize_with = "schema::lenient_micro_time", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub oldest_queued_at: Option<MicroTime>,
    /// Seconds that this task had waited when the status was written. The status is written when anything else in it
    /// changes, and at 10 s, 1 min, 10 min, 1 h, 6 h and 1 day; oldestQueuedAt is exact.
    #[serde(default)]
    pub oldest_queued_seconds: i64,
    /// Ready is True while the queue admits tasks, and False while it is suspended or cannot be used as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// A count for each priority.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ByPriority {
    #[serde(default)]
    pub critical: i32,
    #[serde(default)]
    pub high: i32,
    #[serde(default)]
    pub normal: i32,
    #[serde(default)]
    pub low: i32,
}

/// Percentages of the capacity by priority, 1 to 100. Default: 100.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(RISING).message(RISE))]
pub struct Ceilings {
    /// The share of low tasks alone, in percent. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub low: Option<i32>,
    /// The share of normal and low tasks together, in percent. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub normal: Option<i32>,
    /// The share of high, normal and low tasks together, in percent. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub high: Option<i32>,
    /// The share of all tasks together, in percent. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub critical: Option<i32>,
}

/// A ceiling is no higher than any above it that is set. One that is not set is 100.
const RISING: &str = "(!has(self.low) || [self.?normal, self.?high, self.?critical].all(above, self.low <= above.orValue(100))) \
    && (!has(self.normal) || [self.?high, self.?critical].all(above, self.normal <= above.orValue(100))) \
    && (!has(self.high) || self.high <= self.?critical.orValue(100))";
const RISE: &str = "a ceiling counts its priority and all below it, so it cannot be above that of a higher priority: \
    write low <= normal <= high <= critical";

impl Ceilings {
    /// The percentage of the capacity that `priority` and all below it may fill together.
    pub fn percent(&self, priority: Priority) -> i32 {
        match priority {
            Priority::Low => self.low,
            Priority::Normal => self.normal,
            Priority::High => self.high,
            Priority::Critical => self.critical,
        }
        .unwrap_or(100)
    }
}
