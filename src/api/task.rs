use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::{Display, IntoStaticStr};

use super::{Payload, Priority, Quantity, schema};

/// One piece of work. Say which TaskType runs it and hand it a payload; the rest has defaults.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "taskmanager.dev",
    version = "v1alpha1",
    kind = "Task",
    namespaced,
    status = "TaskStatus",
    derive = "PartialEq",
    category = "taskmanager",
    doc = "One piece of work: queued by priority, run as a container, retried, and finished with a result.",
    selectable = ".spec.type",
    selectable = ".spec.queue",
    selectable = ".status.state",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(
        name = "Priority",
        type_ = "string",
        json_path = ".spec.priority",
        description = "As asked for; empty for the type's default."
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Attempt", type_ = "integer", json_path = ".status.attempt"),
    printcolumn(
        name = "Progress",
        type_ = "integer",
        json_path = ".status.progress.percent",
        description = "Percent done, where the work reports it."
    ),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason", priority = 1),
    printcolumn(
        name = "Effective",
        type_ = "string",
        json_path = ".status.priority",
        description = "The priority in force.",
        priority = 1
    ),
    printcolumn(name = "Queue", type_ = "string", json_path = ".spec.queue", priority = 1),
    printcolumn(name = "Worker", type_ = "string", json_path = ".status.worker", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = crate::run_rule::rule())]
pub struct TaskSpec {
    /// Name of a TaskType in this namespace: what kind of work this is and how it is run.
    /// While no such type exists, the task waits. Example: document-processing.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 253))]
    pub type_: String,

    /// How urgent the task is: critical, high, normal or low. Default: the type's, else normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,

    /// Name of a TaskQueue in this namespace. Default: "default", which need not be created.
    #[serde(default = "default_queue")]
    #[schemars(length(min = 1, max = 253))]
    pub queue: String,

    /// A correlation key of yours, opaque to us. The work sees it as TASK_KB_ID, and a type may limit how
    /// many tasks with the same key run at once. Example: kb-42.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub kb_id: Option<String>,

    /// What the work is given: any JSON object, found by the work in the file TASK_PAYLOAD_FILE.
    /// At most 32768 bytes as compact JSON unless the type's maximum says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,

    /// Seconds that one attempt may run before it is ended, 1 to 604800. Default: the type's, else 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604800))]
    pub timeout_seconds: Option<i32>,

    /// Seconds from arrival to a final state, queueing and retries included; then the task ends Failed with
    /// reason DeadlineExceeded. Default: no deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31536000))]
    pub deadline_seconds: Option<i32>,

    /// How failures are tried again. Merged field by field with the type's defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,

    /// What the work's container requests and is limited to, within the type's maximum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// The task is not started before this time (RFC 3339). It holds back nobody while it waits.
    /// Example: 2026-01-01T00:00:00Z.
    #[serde(default, deserialize_with = "schema::lenient_time", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub start_after: Option<Time>,

    /// True holds the task in the queue. It does not stop what already runs. Default: false.
    #[serde(default)]
    pub suspend: bool,

    /// True ends the task: it leaves the queue, or its container is stopped. Default: false.
    #[serde(default)]
    pub cancel: bool,

    /// Change it to run the task again: attempts, failures and result start anew. Default: "1".
    #[serde(default = "first_run")]
    #[schemars(length(min = 1, max = 63))]
    pub run_id: String,

    /// True: run at most once per namespace, name and runId, even if the task is deleted and created again. It then
    /// ends as the earlier task did, with reason RanBefore, for as long as the archive keeps the record of that one;
    /// while the archive does not answer, it waits. Default: false.
    #[serde(default)]
    pub once: bool,

    /// Seconds after which the finished task is deleted. Default: it stays until somebody deletes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31536000))]
    pub ttl_seconds_after_finished: Option<i32>,
}

fn default_queue() -> String {
    "default".into()
}

/// The runId of a task whose author names none.
pub const FIRST_RUN: &str = "1";

fn first_run() -> String {
    FIRST_RUN.into()
}

/// How failures are tried again. The pause before retry n is initialSeconds × factor^(n-1), at most
/// maxSeconds, give or take a tenth.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// How many failures are tried again, 0 to 100: a task with limit 3 is launched at most four times for
    /// failures of its own. Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub limit: Option<i32>,

    /// Seconds before the first retry, 0 to 86400. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub initial_seconds: Option<i32>,

    /// By how much each pause is longer than the one before, 1 to 10. Default: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub factor: Option<f64>,

    /// The longest pause in seconds, 0 to 86400. Default: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub max_seconds: Option<i32>,

    /// How many attempts may be lost to the cluster (evicted, preempted, node lost) before the task fails,
    /// 0 to 1000. These do not count against limit. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub disruption_limit: Option<i32>,

    /// By how much the memory request and limit grow after each time out of memory, 1 to 4, up to the type's
    /// maximum. Default: 1, they do not grow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4))]
    pub oom_memory_factor: Option<f64>,
}

/// Requests and limits of the work's container, as in a pod.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What is reserved. Example: {cpu: 500m, memory: 256Mi}.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub requests: BTreeMap<String, Quantity>,

    /// What is never exceeded. A request above its limit is lowered to it. Example: {memory: 512Mi}.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub limits: BTreeMap<String, Quantity>,
}

/// Where a task is in its life.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, Display, IntoStaticStr,
)]
pub enum State {
    #[default]
    Queued,
    Processing,
    Completed,
    Failed,
    Cancelled,
}

impl State {
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// What the operator says of a task. Nobody else writes here.
// So it is one to the API server, which would otherwise keep a list of who wrote each field of it, half a
// kilobyte for each task.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct TaskStatus {
    /// The metadata.generation that this status speaks of; -1 before the operator has written anything.
    #[serde(default)]
    pub observed_generation: i64,

    /// The run that this status speaks of; see spec.runId.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub run_id: Option<String>,

    /// Queued, Processing, Completed, Failed or Cancelled. The last three are final for this run.
    #[serde(default)]
    pub state: State,

    /// Why the task is in this state, in one word.
    #[serde(default)]
    #[schemars(schema_with = "schema::word")]
    pub reason: crate::Reason,

    /// The reason in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub message: Option<String>,

    /// The priority in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,

    /// The task's place among those of equal priority: smaller came first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub arrival: Option<String>,

    /// How often this run was launched; the number of the last attempt.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempt: i32,

    /// Attempts that failed and count against retry.limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: i32,

    /// Attempts lost to the cluster, counted against retry.disruptionLimit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub disruptions: i32,

    /// Attempts of this run that ran out of memory: how often retry.oomMemoryFactor has made the memory grow.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub oom_kills: i32,

    /// How often in a row its slot was given back with nothing counted: no node had room, or no pod could be made. Each
    /// time it waits longer until it is tried again, 30 s at first and five minutes at most.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub given_back: i32,

    /// What the present attempt holds of its queue and its type, whatever the spec says later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admitted: Option<Admitted>,

    /// The attempts of this run that ended, newest last, at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub attempts: Vec<AttemptRecord>,

    /// When this run entered the queue.
    #[serde(default, deserialize_with = "schema::lenient_micro_time", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub queued_at: Option<MicroTime>,

    /// When the present attempt was admitted.
    #[serde(default, deserialize_with = "schema::lenient_micro_time", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub admitted_at: Option<MicroTime>,

    /// When the present attempt's pod started on its node.
    #[serde(default, deserialize_with = "schema::lenient_micro_time", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub started_at: Option<MicroTime>,

    /// When the task reached its final state.
    #[serde(default, deserialize_with = "schema::lenient_micro_time", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub finished_at: Option<MicroTime>,

    /// When the task may be admitted again after a failure.
    #[serde(default, deserialize_with = "schema::lenient_micro_time", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub next_attempt_at: Option<MicroTime>,

    /// The pod that runs the present attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub worker: Option<String>,

    /// How far the work says it is. It is written here every ten seconds at most; over REST it is told at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,

    /// What the work of the present attempt said over HTTP of its error. It is kept here until the attempt has
    /// ended and is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_error: Option<ReportedError>,

    /// The result that the work handed over by PUT /worker/v1/result. It is in the operator's store, and is asked
    /// for over REST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_ref: Option<ResultRef>,

    /// What the work left in TASK_RESULT_FILE: JSON, or text where it was not JSON. At most 4096 bytes; in a pod of more
    /// than three containers, init containers and injected ones included, 12288 bytes divided by their number. Absent
    /// where there is a resultRef, which goes before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_value")]
    pub result: Option<Value>,

    /// True: the result was longer than that, and only a part of it is kept, as text: its last 4096 bytes, and of these
    /// the first where there is room for less.
    #[serde(default, skip_serializing_if = "is_false")]
    pub result_truncated: bool,

    /// Whether the archive has the record of this run. Nothing of a finished run is removed before it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,

    /// Admitted, Complete, Failed and Cancelled; and Ready, Reconciling and Stalled as kstatus reads them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

impl TaskStatus {
    /// The run that it speaks of, where its task asks for another by now.
    pub fn superseded_run(&self, asked: &TaskSpec) -> Option<&String> {
        self.run_id.as_ref().filter(|run| **run != asked.run_id)
    }

    /// The archive has the record of this run.
    pub fn is_archived(&self) -> bool {
        self.archived == Some(true)
    }
}

fn is_zero(number: &i32) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// What an attempt holds of its queue and its type from admission until its pod has ended.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Admitted {
    /// The queue that the slot was taken from.
    #[schemars(length(max = 253))]
    pub queue: String,

    /// The TaskType whose maxConcurrent counts it.
    // Absent where an older operator admitted it.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub type_: Option<String>,

    /// The key that the type's maxConcurrentPerKbId counts it for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub kb_id: Option<String>,

    /// What is counted against the queue's capacity, as the scheduler counts the pod.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub resources: BTreeMap<String, Quantity>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display)]
pub enum AttemptOutcome {
    #[default]
    Succeeded,
    /// It failed, and counts against retry.limit.
    Failed,
    /// It was lost to the cluster, and counts against retry.disruptionLimit.
    Disrupted,
    /// It was ended because somebody asked for it.
    Cancelled,
}

/// One attempt that has ended.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptRecord {
    /// 1 for the first attempt of the run.
    pub number: i32,
    /// When its pod started on a node; absent when it never did.
    #[serde(default, deserialize_with = "schema::lenient_micro_time", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub started_at: Option<MicroTime>,
    #[serde(default, deserialize_with = "schema::lenient_micro_time", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub finished_at: Option<MicroTime>,
    pub outcome: AttemptOutcome,
    /// Why it ended so, in one word.
    #[schemars(schema_with = "schema::word")]
    pub reason: crate::Reason,
    /// The reason in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The pod that ran it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub pod: Option<String>,
    /// The node it ran on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node: Option<String>,
}

/// How far the work says it is.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub percent: Option<i32>,
    /// Items done, of total.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// In the work's own words. Example: page 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// When it was last written here.
    #[serde(default, deserialize_with = "schema::lenient_micro_time", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub updated_at: Option<MicroTime>,
}

/// What the work said of its own error.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportedError {
    /// What kind of error it is, in the work's own word; a type's failureRules may speak of it. Example: RateLimited.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub type_: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub message: Option<String>,
    /// Whether trying again may help. False: the task fails for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
}

/// A result that is in the operator's store.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResultRef {
    /// As in HTTP. Example: application/json.
    #[schemars(length(max = 255))]
    pub content_type: String,
    /// Its size.
    pub bytes: i64,
    /// The task that left it, where this one did not run because that one had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub uid: Option<String>,
}

/// One aspect of a resource's state, in the form that kubectl wait reads.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    #[serde(rename = "type")]
    #[schemars(length(max = 64))]
    pub type_: String,
    /// True, False or Unknown.
    #[schemars(length(max = 8))]
    pub status: String,
    /// Why, in one word.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// The reason in a sentence.
    #[serde(default)]
    #[schemars(length(max = 2048))]
    pub message: String,
    /// When status last changed.
    #[serde(default, deserialize_with = "schema::lenient_time", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_transition_time: Option<Time>,
}
