use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Condition, schema};

/// Warm workers: pods that the operator keeps ready, and that run one task after another without a start of their own.
/// Tasks of one pool trust each other: they share a pod.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "taskmanager.dev",
    version = "v1alpha1",
    kind = "WorkerPool",
    namespaced,
    status = "WorkerPoolStatus",
    derive = "PartialEq",
    category = "taskmanager",
    shortname = "tmpool",
    doc = "Warm workers: pods that are kept ready for tasks.",
    printcolumn(
        name = "Max",
        type_ = "integer",
        json_path = ".spec.replicas.max",
        description = "The most workers that are kept."
    ),
    printcolumn(
        name = "Workers",
        type_ = "integer",
        json_path = ".status.ready",
        description = "How many have asked for work and still do."
    ),
    printcolumn(name = "Busy", type_ = "integer", json_path = ".status.busy"),
    printcolumn(name = "Idle", type_ = "integer", json_path = ".status.idle"),
    printcolumn(name = "Unhealthy", type_ = "integer", json_path = ".status.unhealthy"),
    printcolumn(name = "Restarts", type_ = "integer", json_path = ".status.restarts"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct WorkerPoolSpec {
    /// How many workers are kept: min at least, and up to max while tasks wait for one. A max of 0 pauses the pool. Example:
    /// {min: 1, max: 8}.
    pub replicas: Replicas,

    /// The pod of a worker, in the form of a Job's spec.template. Its first container is the worker: it speaks the worker
    /// protocol, or the agent does so for it. The operator sets restartPolicy, variables that begin with TASK_, mounts
    /// under /task and labels under taskmanager.dev/. A changed template replaces idle workers at once and busy ones
    /// after their task. Example: {spec: {containers: [{name: worker, image: my/worker, command: [...]}]}}.
    #[schemars(schema_with = "schema::any_object")]
    pub template: Value,

    /// Adds the agent to the pod: it speaks the worker protocol, and runs the command of the first container once for each
    /// task. Default: none, the container speaks the protocol itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Agent>,

    /// How many tasks one worker runs at once, 1 to 64. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub slots_per_worker: Option<i32>,

    /// How often a worker is heard, in seconds, 5 to 60. One that is silent for twice that and 5 s is replaced: an idle one
    /// that does not ask for work, and one at work that promised to be heard. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 60))]
    pub heartbeat_seconds: Option<i32>,

    /// How long a worker may take from its pod's creation until it first asks for work, in seconds. Default: 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604800))]
    pub start_deadline_seconds: Option<i32>,

    /// How long an idle worker above replicas.min is kept, in seconds. Default: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 604800))]
    pub idle_seconds: Option<i32>,

    /// A worker is replaced after so many tasks. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000000000))]
    pub max_tasks_per_worker: Option<i32>,

    /// A worker that is so many seconds old is replaced, once its task is over. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 31536000))]
    pub max_worker_age_seconds: Option<i32>,
}

/// How many workers are kept.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.?min.orValue(0) <= self.max || self.max == 0")
    .message("min is above max: write min <= max, or max: 0 to pause the pool"))]
pub struct Replicas {
    /// Workers that are kept though nothing waits, 0 to 1000. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub min: Option<i32>,
    /// The most workers, 0 to 1000; 0 pauses the pool: what runs ends by itself, and nothing more is handed out.
    #[schemars(range(min = 0, max = 1000))]
    pub max: i32,
}

/// How the agent comes into the pod.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// InitContainer: an init container copies it into a volume. ImageVolume: the operator's image is mounted, which needs
    /// Kubernetes 1.35 or newer. Default: InitContainer.
    #[serde(default, rename = "as")]
    pub as_: AgentAs,
}

/// How the agent comes into the pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AgentAs {
    #[default]
    InitContainer,
    ImageVolume,
}

/// The state of a pool, written by the operator a few seconds late.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerPoolStatus {
    /// The metadata.generation that this status describes.
    #[serde(default)]
    pub observed_generation: i64,
    /// Workers that have asked for work, and that nothing is wrong with.
    #[serde(default)]
    pub ready: i32,
    /// Workers that run a task.
    #[serde(default)]
    pub busy: i32,
    /// Workers that are ready and run none.
    #[serde(default)]
    pub idle: i32,
    /// Workers that are being replaced because something is wrong with them, and that are still there.
    #[serde(default)]
    pub unhealthy: i32,
    /// Workers that were replaced because something was wrong with them, ever.
    #[serde(default)]
    pub restarts: i64,
    /// Ready is True while the pool has the workers that it should have, and False where its template is refused, or its
    /// workers do not come up or ask for no work: the message says why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

impl WorkerPoolSpec {
    pub fn min(&self) -> i32 {
        self.replicas.min.unwrap_or(0).clamp(0, self.max())
    }

    pub fn max(&self) -> i32 {
        self.replicas.max.max(0)
    }

    pub fn slots(&self) -> i32 {
        self.slots_per_worker.unwrap_or(1).max(1)
    }

    pub fn heartbeat(&self) -> i64 {
        self.heartbeat_seconds.unwrap_or(10).into()
    }

    pub fn start_deadline(&self) -> i64 {
        self.start_deadline_seconds.unwrap_or(600).into()
    }

    pub fn idle(&self) -> i64 {
        self.idle_seconds.unwrap_or(300).into()
    }
}
