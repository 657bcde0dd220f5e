use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{Condition, Priority, Quantity, schema};

/// How much may run at once. A queue named "default" need not be created.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "taskmanager.dev",
    version = "v1alpha1",
    kind = "TaskQueue",
    namespaced,
    status = "TaskQueueStatus",
    derive = "PartialEq",
    category = "taskmanager",
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
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspend"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct TaskQueueSpec {
    /// What the queue's running tasks may use together. What is not named is unbounded. Lowering it ends
    /// nothing that runs.
    #[serde(default)]
    pub capacity: Capacity,

    /// Per priority, the percentage of the capacity that this priority and all below it may fill together, so
    /// that room stays for what is urgent. Rounded up, at least one task. Example: {low: 50, normal: 90}.
    #[serde(default)]
    pub ceilings: Ceilings,

    /// True starts nothing more from this queue. It does not stop what already runs. Default: false.
    #[serde(default)]
    pub suspend: bool,
}

/// What the running tasks of a queue may use together.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// How many tasks may run at once. Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000000))]
    pub tasks: Option<i32>,

    /// The sum of what the running tasks request, by resource. Example: {cpu: 16, memory: 32Gi, nvidia.com/gpu: 4}.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub resources: BTreeMap<String, Quantity>,
}

/// What the operator says of a queue, a few seconds late.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskQueueStatus {
    /// The metadata.generation that this status speaks of.
    #[serde(default)]
    pub observed_generation: i64,
    /// How many tasks wait in it, for whatever reason.
    #[serde(default)]
    pub queued: i32,
    /// How many tasks hold a slot of it.
    #[serde(default)]
    pub running: i32,
    /// How many wait, by priority.
    #[serde(default)]
    pub by_priority: ByPriority,
    /// Since when the oldest of them waits.
    #[serde(default, deserialize_with = "schema::lenient_micro_time", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub oldest_queued_at: Option<MicroTime>,
    /// For how many seconds the oldest of them had waited when this was written: when anything else here
    /// changed, and at 10 s, 1 min, 10 min, 1 h, 6 h and 1 day. oldestQueuedAt is exact.
    #[serde(default)]
    pub oldest_queued_seconds: i64,
    /// Ready: it admits tasks.
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

/// Percentages of the capacity, 1 to 100, by priority.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ceilings {
    /// What low alone may fill. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub low: Option<i32>,
    /// What normal and low may fill together. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub normal: Option<i32>,
    /// What high, normal and low may fill together. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub high: Option<i32>,
    /// What all priorities may fill together. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub critical: Option<i32>,
}

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
