use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Condition, Priority, Quantity, Resources, Retry, schema};

/// How a kind of work is run. Written by whoever runs the platform.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "taskmanager.dev",
    version = "v1alpha1",
    kind = "TaskType",
    namespaced,
    status = "TaskTypeStatus",
    derive = "PartialEq",
    category = "taskmanager",
    doc = "A kind of work: its container, defaults, maximums and how failures are judged.",
    printcolumn(name = "Executor", type_ = "string", json_path = ".spec.executor"),
    printcolumn(
        name = "Max",
        type_ = "integer",
        json_path = ".spec.maxConcurrent",
        description = "How many tasks of this type may run at once."
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct TaskTypeSpec {
    /// What runs an attempt. Job: one Job per attempt. Default: Job.
    #[serde(default)]
    pub executor: Executor,

    /// The pod that does the work, as in a Job. Its first container is the work. restartPolicy,
    /// activeDeadlineSeconds, TASK_ variables, mounts under /task and labels under taskmanager.dev/ are set by
    /// the operator and refused here. Example: {spec: {containers: [{name: work, image: busybox, command: [...]}]}}.
    #[schemars(schema_with = "schema::any_object")]
    pub template: Value,

    /// What a task of this type has where it does not say otherwise.
    #[serde(default)]
    pub defaults: Defaults,

    /// What a task of this type may at most ask for. A task above it ends Failed with reason AboveMaximum.
    #[serde(default)]
    pub maximum: Maximum,

    /// How many tasks of this type may run at once. Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000000))]
    pub max_concurrent: Option<i32>,

    /// How many tasks of this type with the same kbId may run at once. Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000000))]
    pub max_concurrent_per_kb_id: Option<i32>,

    /// How long an attempt may wait for its container to start, in seconds: for a node, an image, a volume.
    /// Default: 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604800))]
    pub start_deadline_seconds: Option<i32>,

    /// How failures are judged; the first match wins, and the fields within one rule are and-ed. What no rule
    /// matches is judged by what the work reported, then by the built-in rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub failure_rules: Vec<FailureRule>,
}

/// What the operator says of a type.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskTypeStatus {
    /// The metadata.generation that this status speaks of.
    #[serde(default)]
    pub observed_generation: i64,
    /// Ready: its template can be a pod here. False says why not; tasks of this type wait then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What runs an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Executor {
    /// One Job per attempt.
    #[default]
    Job,
}

/// What a task of this type has where it does not say otherwise.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Defaults {
    /// critical, high, normal or low. Default: normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Seconds that one attempt may run. Default: 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604800))]
    pub timeout_seconds: Option<i32>,
    /// How failures are tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Requests and limits of the work's container. They take precedence over the template's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Seconds after which a finished task is deleted. Applies only to tasks made over REST: GitOps would
    /// create the others again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31536000))]
    pub ttl_seconds_after_finished: Option<i32>,
}

/// What a task of this type may at most ask for.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Maximum {
    /// The highest priority. Default: critical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The longest timeout in seconds. Default: 604800.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604800))]
    pub timeout_seconds: Option<i32>,
    /// The highest retry.limit. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub retry_limit: Option<i32>,
    /// The largest payload in bytes of compact JSON, at most 131072. Default: 32768.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 131072))]
    pub payload_bytes: Option<i32>,
    /// The largest request and limit, by resource. Of what is not named here, a task may set cpu and memory
    /// only. Example: {cpu: 4, memory: 8Gi}.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub resources: BTreeMap<String, Quantity>,
}

/// One rule on how a failure is judged. At least one of exitCodes, reasons and errorTypes.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.exitCodes) || has(self.reasons) || has(self.errorTypes)")
    .message("a failure rule needs at least one of exitCodes, reasons and errorTypes"))]
pub struct FailureRule {
    /// Exit codes of the work's container, or of an init container that failed; 1 to 255.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), inner(range(min = 1, max = 255)))]
    pub exit_codes: Option<Vec<i32>>,
    /// Reasons of the attempt. Example: [Evicted, NodeLost].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub reasons: Option<Vec<crate::Reason>>,
    /// The error type that the work reported in its result file. Example: [RateLimited].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(max = 253)))]
    pub error_types: Option<Vec<String>>,
    /// Fail: for good, no retry. Retry: again, counted. Ignore: again, counted as a disruption only.
    pub action: FailureAction,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FailureAction {
    /// The task fails for good.
    #[default]
    Fail,
    /// Tried again, counted against retry.limit.
    Retry,
    /// Tried again, counted against retry.disruptionLimit only.
    Ignore,
}
