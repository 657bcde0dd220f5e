use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::{Display, IntoStaticStr};

use super::{Batch, BatchStatus, Chunk, ItemList, Payload, Priority, Quantity, schema};

/// On a task that repeats another: that other's uid.
pub const ANNOTATION_REPLAY_OF: &str = "taskmanager.dev/replay-of";
/// On a task that was submitted with an idempotency key: the digest of the request's body.
pub const ANNOTATION_BODY_DIGEST: &str = "taskmanager.dev/body-digest";

/// One piece of work: names the TaskType that runs it and carries a payload. Every other field has a default.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "taskmanager.dev",
    version = "v1alpha1",
    kind = "Task",
    namespaced,
    status = "TaskStatus",
    derive = "PartialEq",
    category = "taskmanager",
    shortname = "tmt",
    doc = "One piece of work: queued by priority, run as a container, retried, and finished with a result.",
    selectable = ".spec.type",
    selectable = ".spec.queue",
    selectable = ".status.state",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(
        name = "Priority",
        type_ = "string",
        json_path = ".status.priority",
        description = "The priority in force; empty until the operator has written a status."
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
    printcolumn(name = "Attempt", type_ = "integer", json_path = ".status.attempt"),
    printcolumn(
        name = "Progress",
        type_ = "integer",
        json_path = ".status.progress.percent",
        description = "Percent done, where the work reports it."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Queue", type_ = "string", json_path = ".spec.queue", priority = 1),
    printcolumn(name = "Worker", type_ = "string", json_path = ".status.worker", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = crate::run_rule::rule())]
pub struct TaskSpec {
    /// Name of a TaskType in this namespace, which says how the work is run. While no such type exists, the task
    /// waits. It changes only together with runId. Example: document-processing.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::plausible::name_of("TaskType"))]
    pub type_: String,

    /// Urgency of the task: critical, high, normal or low. Default: the type's, else normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,

    /// Name of a TaskQueue in this namespace. While no such queue exists, the task waits. It changes only together
    /// with runId. Default: "default", which need not be created.
    #[serde(default = "default_queue")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::plausible::name_of("TaskQueue"))]
    pub queue: String,

    /// A key of your own, such as the id of a knowledge base, that the operator does not interpret. The work reads it
    /// as TASK_KB_ID, and a type may limit how many tasks with the same key run at once. It changes only together
    /// with runId. 1 to 253 characters, without NUL. Default: none. Example: kb-42.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[^\\x00]*$"))]
    pub kb_id: Option<String>,

    /// The input of the work: any JSON object, which the work reads from the file that TASK_PAYLOAD_FILE names. At
    /// most 32768 bytes as compact JSON unless the type's maximum.payloadBytes differs; beyond that the task ends
    /// Failed with reason PayloadTooLarge. Kubernetes keeps integers of 64 bits and doubles, and rounds other numbers
    /// before anybody sees them: write those as strings. It changes only together with runId. Default: {}. Example:
    /// {uri: s3://in/7.pdf}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,

    /// Many items, each of which is done, retried and counted by itself: the work is run over chunks of them, and a chunk
    /// that fails costs none of the others. What the work is told and what it answers, docs/large-work.md says. It changes only
    /// together with runId, but for chunkSize, parallelism and maxFailedItems. Default: none; the task is one piece of
    /// work. Example: {count: 100000, chunkSize: 500}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,

    /// A chunk of a batch. Only the operator writes it, on tasks that it makes for the batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk: Option<Chunk>,

    /// Seconds that the work of one attempt may take, from its own start, 1 to 604800; then it is ended. Default: the
    /// type's, else 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604800))]
    pub timeout_seconds: Option<i32>,

    /// Seconds from arrival to a final state, time in the queue and retries included. Then the task ends Failed with
    /// reason DeadlineExceeded. Default: no deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31536000))]
    pub deadline_seconds: Option<i32>,

    /// How failed attempts are retried. A field that is not set is the type's default. Example: {limit: 5}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,

    /// Requests and limits of the work's container, within the type's maximum. Resources that are not set are those
    /// of the type's defaults, else of its template. Example: {limits: {memory: 2Gi}}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// The earliest time at which the task starts, in RFC 3339; digits beyond a billionth of a second are ignored. Until
    /// then it holds back no other task. Default: at once. Example: 2026-01-01T00:00:00Z.
    #[serde(default, deserialize_with = "schema::time_to_wait_for", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::written_time")]
    pub start_after: Option<Time>,

    /// True: the task does not start. A running attempt goes on. Default: false.
    #[serde(default)]
    pub suspend: bool,

    /// True: the task leaves the queue or its container is stopped, and it ends Cancelled. It cannot be undone,
    /// except by a new runId. Default: false.
    #[serde(default)]
    pub cancel: bool,

    /// Name of the run. A new value runs the task again: attempts, failures and result start anew. At most 63
    /// characters. Default: "1".
    #[serde(default = "first_run")]
    #[schemars(length(min = 1, max = 63))]
    pub run_id: String,

    /// True: the task runs at most once for each namespace, name and runId, even if it is deleted and created again.
    /// The later task ends as the earlier one did, with reason RanBefore, as long as the archive keeps the earlier
    /// record; while the archive does not answer, the task waits. Default: false.
    #[serde(default)]
    pub once: bool,

    /// Seconds after its end at which the task is deleted, 0 to 31536000. Default: it stays until somebody deletes
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31536000))]
    pub ttl_seconds_after_finished: Option<i32>,
}

impl TaskSpec {
    /// Nothing of its content was dropped.
    pub fn is_whole(&self) -> bool {
        let items = self.batch.as_ref().and_then(|batch| batch.items.as_ref());
        !matches!(self.payload, Some(Payload::Measured { .. })) && !matches!(items, Some(ItemList::Measured { .. }))
    }

    /// The same spec without what is only measured of it, which cannot be written.
    pub fn without_measured(&self) -> Self {
        let payload = self.payload.clone().filter(|payload| matches!(payload, Payload::Whole(_)));
        let batch = self.batch.clone().map(Batch::without_measured);
        Self { payload, batch, ..self.clone() }
    }
}

fn default_queue() -> String {
    "default".into()
}

/// The runId of a task that names none.
pub const FIRST_RUN: &str = "1";

fn first_run() -> String {
    FIRST_RUN.into()
}

/// How failed attempts are retried. The pause before retry n is initialSeconds × factor^(n-1), at most maxSeconds,
/// varied by up to a tenth.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Failures that are retried, 0 to 100. A task with limit 3 has at most four attempts that fail by themselves.
    /// Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub limit: Option<i32>,

    /// Seconds before the first retry, 0 to 86400. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub initial_seconds: Option<i32>,

    /// Factor by which each pause is longer than the one before, 1 to 10. Default: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub factor: Option<f64>,

    /// The longest pause in seconds, 0 to 86400. Default: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub max_seconds: Option<i32>,

    /// Attempts that may be lost to the cluster (evicted, preempted, node lost) or not start in time before the task
    /// fails, 0 to 1000.
    /// They do not count against limit. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub disruption_limit: Option<i32>,

    /// Factor by which memory request and limit of the work grow after each attempt in which the work itself, and no
    /// other container, ran out of memory, 1 to 4, up to the type's maximum. Default: 1, no growth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4))]
    pub oom_memory_factor: Option<f64>,
}

/// Requests and limits of the work's container, as in a pod: see `kubectl explain pod.spec.containers.resources`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = crate::plausible::memory(), validation = crate::plausible::cpu())]
pub struct Resources {
    /// Resources that are reserved for the container on its node. Default: the limit, where one is set. Example:
    /// {cpu: 500m, memory: 256Mi}.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub requests: BTreeMap<String, Quantity>,

    /// Resources that the container never exceeds; one that uses more memory is killed. A request above its limit is
    /// lowered to it. Default for memory, where nobody says anything of it: a request of 128Mi and a limit of 1Gi,
    /// unless whoever installed the operator set others. Example: {memory: 512Mi}.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub limits: BTreeMap<String, Quantity>,
}

/// The state of a task.
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

impl Task {
    /// The status, or the one of a task that nobody has written to yet.
    pub fn status_or_default(&self) -> &TaskStatus {
        static UNTOUCHED: LazyLock<TaskStatus> = LazyLock::new(TaskStatus::default);
        self.status.as_ref().unwrap_or(&UNTOUCHED)
    }
}

/// The state of a task. Only the operator writes it.
// Atomic for the API server, which would otherwise record who wrote each field: half a kilobyte for each task.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct TaskStatus {
    /// The metadata.generation that this status describes; -1 before the operator has seen the task.
    #[serde(default)]
    pub observed_generation: i64,

    /// The run that this status describes: the value of spec.runId that it began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub run_id: Option<String>,

    /// Queued, Processing, Completed, Failed or Cancelled. The last three are final for this run.
    #[serde(default)]
    pub state: State,

    /// Why the task is in this state, in one word. `docs/reasons.md` lists the words with advice for each.
    #[serde(default)]
    #[schemars(schema_with = "schema::open_enum")]
    pub reason: crate::Reason,

    /// The reason in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub message: Option<String>,

    /// The priority in force: the task's or its type's, within the type's maximum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,

    /// The order among tasks of equal priority: the smaller number starts first. It never changes within a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub arrival: Option<String>,

    /// Takes arrival's place in the order of a task that gave its slot back: it stands behind all that had arrived then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub line: Option<String>,

    /// Launches of this run; the number of the latest attempt.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempt: i32,

    /// Attempts of this run that failed and count against retry.limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: i32,

    /// Attempts of this run that were lost to the cluster or did not start in time, and count against retry.disruptionLimit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub disruptions: i32,

    /// Attempts of this run whose work ran out of memory: the number of times that retry.oomMemoryFactor was applied.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub oom_kills: i32,

    /// Times in a row that the slot was given back with nothing counted: no node took the pod, no pod could be made, or
    /// what was asked for had changed.
    /// The pause before the next try is as long as the slot was held, at least 30 seconds, and doubles each time, up to
    /// half an hour.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub given_back: i32,

    /// Why the slot was last given back. Absent once an attempt has run since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_given_back: Option<GivenBack>,

    /// The slot of the present attempt in its queue and type. It stays as admitted, whatever the spec says later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admitted: Option<Admitted>,

    /// Attempts of this run that have ended, newest last, at most 10.
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

    /// When the present attempt's work started.
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

    /// Progress that the work reported. It is written here at most every ten seconds; REST shows it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,

    /// The items of a batch and where they are. Written at most every five seconds while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchStatus>,

    /// The error that the work of the present attempt reported over HTTP, kept until the attempt has ended and the
    /// failure is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_error: Option<ReportedError>,

    /// The result that the work uploaded with PUT /worker/v1/result. The archive keeps it, and REST returns it at
    /// /api/v1/tasks/{uid}/result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_ref: Option<ResultRef>,

    /// Content of the file TASK_RESULT_FILE: JSON, or text where it was not JSON (see resultAsText). At most 4096 bytes; in a pod of
    /// more than three containers, init and injected ones included, 12288 bytes divided by their number, as the
    /// kubelet limits termination messages. Absent where there is a resultRef, which takes precedence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_value")]
    pub result: Option<Value>,

    /// True: the result was longer than that and only a part is kept, as text: its last 4096 bytes, or the first of
    /// these where there is room for less.
    #[serde(default, skip_serializing_if = "is_false")]
    pub result_truncated: bool,

    /// True: the result is JSON that this object could not hold as it was written: a number beyond 64 bits or a double, a
    /// key that comes twice, or nesting deeper than 120 levels. It is kept as its text, byte for byte, and REST answers
    /// it as JSON.
    #[serde(default, skip_serializing_if = "is_false")]
    pub result_as_text: bool,

    /// Whether the archive has the record of this run. Before that, nothing of a finished run is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,

    /// Admitted, Complete, Failed, Cancelled and Finished (True in all three final states) for `kubectl wait`; Ready,
    /// Reconciling and Stalled as kstatus defines them (sigs.k8s.io/cli-utils). HeldUp while a pod or a Job of it is
    /// there that should be gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

impl TaskStatus {
    /// The run that this status describes, where the spec asks for another by now.
    pub fn superseded_run(&self, asked: &TaskSpec) -> Option<&String> {
        self.run_id.as_ref().filter(|run| **run != asked.run_id)
    }

    /// Whether the archive has the record of this run.
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

/// A worker of a pool, and which of its tasks at once this is.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmittedWorker {
    /// The WorkerPool.
    #[schemars(length(max = 253))]
    pub pool: String,
    /// The uid of the worker's pod.
    #[schemars(length(max = 63))]
    pub uid: String,
    /// From 0.
    #[serde(default)]
    pub slot: i32,
    /// It promised to be heard while it works.
    #[serde(default)]
    pub beats: bool,
}

/// The slot of an attempt in its queue and type, from admission until its pod has ended.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Admitted {
    /// The TaskQueue that the slot belongs to.
    #[schemars(length(max = 253))]
    pub queue: String,

    /// The TaskType whose maxConcurrent counts the attempt.
    // Absent where an older operator admitted the task.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub type_: Option<String>,

    /// The executor that runs the attempt: Pod, or absent for a Job. An operator leaves a task alone that a later version
    /// admitted to another executor: until that version is back, such a task is neither ended nor cancelled, and keeps
    /// its slot.
    // A string, so that the name of a later version's executor can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub executor: Option<String>,

    /// The worker that runs the attempt, with executor Pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<AdmittedWorker>,

    /// The kbId for which the type's maxConcurrentPerKbId counts the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub kb_id: Option<String>,

    /// Resources that count against the queue's capacity, as the Kubernetes scheduler counts the pod.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub resources: BTreeMap<String, Quantity>,
}

/// A slot that was given back with nothing counted.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GivenBack {
    /// Why, in one word.
    #[schemars(schema_with = "schema::open_enum")]
    pub reason: crate::Reason,
    /// The reason in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub message: Option<String>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display)]
pub enum AttemptOutcome {
    #[default]
    Succeeded,
    /// The attempt failed, and counts against retry.limit.
    Failed,
    /// The attempt was lost to the cluster, and counts against retry.disruptionLimit.
    Disrupted,
    /// The attempt was stopped because somebody asked for it.
    Cancelled,
}

/// One attempt that has ended.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptRecord {
    /// Number of the attempt within the run, from 1.
    pub number: i32,
    /// When its work started; where it did not, when a node took its pod on.
    #[serde(default, deserialize_with = "schema::lenient_micro_time", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub started_at: Option<MicroTime>,
    #[serde(default, deserialize_with = "schema::lenient_micro_time", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub finished_at: Option<MicroTime>,
    pub outcome: AttemptOutcome,
    /// Why the attempt ended, in one word.
    #[schemars(schema_with = "schema::open_enum")]
    pub reason: crate::Reason,
    /// The reason in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// True: no other try would have helped.
    #[serde(default, skip_serializing_if = "is_false")]
    pub permanent: bool,
    /// The pod that ran the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub pod: Option<String>,
    /// The node that ran the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node: Option<String>,
}

/// Progress that the work reported.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Percentage done, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub percent: Option<i32>,
    /// Items done, out of total.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// A message in the work's own words. Example: page 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// When the progress was last written here.
    #[serde(default, deserialize_with = "schema::lenient_micro_time", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub updated_at: Option<MicroTime>,
}

/// An error that the work reported.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportedError {
    /// Type of the error in the work's own word; a type's failureRules may match it in errorTypes. Example:
    /// RateLimited.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub type_: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub message: Option<String>,
    /// Whether a retry may help. False: the task fails for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
}

/// A result that is kept in the archive.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResultRef {
    /// Media type of the result, as in HTTP. Example: application/json.
    #[schemars(length(max = 255))]
    pub content_type: String,
    /// Size of the result in bytes, at most 16777216.
    pub bytes: i64,
    /// The uid of the task that left the result, where this task did not run because that one had (spec.once).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub uid: Option<String>,
}

/// One aspect of a resource's state, in the form that `kubectl wait` reads.
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
    /// When the status of this condition last changed.
    #[serde(default, deserialize_with = "schema::lenient_time", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_transition_time: Option<Time>,
}
