use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Condition, Priority, Quantity, Resources, Retry, schema};

/// How a kind of work is run: written by whoever runs the platform, and named by tasks in spec.type.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "taskmanager.dev",
    version = "v1alpha1",
    kind = "TaskType",
    namespaced,
    status = "TaskTypeStatus",
    derive = "PartialEq",
    category = "taskmanager",
    shortname = "tmtype",
    doc = "A kind of work: its container, defaults, maximums and how failures are judged.",
    printcolumn(name = "Executor", type_ = "string", json_path = ".spec.executor"),
    printcolumn(
        name = "Max",
        type_ = "integer",
        json_path = ".spec.maxConcurrent",
        description = "How many tasks of this type may run at once."
    ),
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
#[x_kube(validation = Rule::new("self.?executor.orValue('Job') == 'Pool' ? has(self.workerPool) && !has(self.template) : has(self.template) && !has(self.workerPool)")
    .message("executor Job and Pod want a template, executor Pool a workerPool: write the one and leave out the other"))]
pub struct TaskTypeSpec {
    /// The way in which an attempt is run. Job: one Kubernetes Job for each attempt. Pod: one bare pod for each attempt,
    /// which costs the cluster less, and whose end nobody remembers for the operator: where the operator is away while work
    /// succeeds and somebody deletes its pod, the task runs again. Pool: a warm worker of spec.workerPool. A change counts
    /// from the next attempt on. Default: Job.
    #[serde(default)]
    pub executor: Executor,

    /// The pod that does the work, in the form of a Job's spec.template. Its first container is the work; any others
    /// run beside it. What it says reaches the pod as it was written, and its labels and annotations the Job too; other
    /// metadata makes the type not Ready. The
    /// operator sets restartPolicy, activeDeadlineSeconds, variables that begin with TASK_, mounts under /task and
    /// labels under taskmanager.dev/, and a template that sets them makes the type not Ready; so do restart rules of
    /// the work's container. Example: {spec: {containers: [{name: work, image: busybox, command: [...]}]}}.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schemars(schema_with = "schema::any_object")]
    pub template: Value,

    /// The WorkerPool in this namespace whose workers run the tasks, with executor Pool. Example: warm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub worker_pool: Option<String>,

    /// Values for tasks of this type that set none themselves. Example: {timeoutSeconds: 600, retry: {limit: 5}}.
    #[serde(default)]
    pub defaults: Defaults,

    /// The most that a task of this type may ask for in its own spec. A task that asks for more ends Failed with
    /// reason AboveMaximum; values from defaults and template are lowered to it. Example: {timeoutSeconds: 7200,
    /// resources: {memory: 8Gi}}.
    #[serde(default)]
    pub maximum: Maximum,

    /// The most tasks of this type that run at once, over all queues, 1 to 1000000. Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000000))]
    pub max_concurrent: Option<i32>,

    /// The most tasks of this type with the same kbId that run at once, 1 to 1000000. Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000000))]
    pub max_concurrent_per_kb_id: Option<i32>,

    /// How long an attempt may take until its work starts, in seconds, from its pod's creation: node, images, volumes, init
    /// containers and sidecars included. Default: 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604800))]
    pub start_deadline_seconds: Option<i32>,

    /// Rules that decide whether a failed attempt is retried, at most 32. The first rule that matches decides, and
    /// all fields set in one rule must match. A failure that no rule matches is decided by the error that the work
    /// reported, then by the built-in rules. Default: none. Example: [{exitCodes: [42], action: Fail}].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub failure_rules: Vec<FailureRule>,
}

/// The state of a type, written by the operator.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskTypeStatus {
    /// The metadata.generation that this status describes.
    #[serde(default)]
    pub observed_generation: i64,
    /// Ready is True where the API server accepts Job and pod of this template, by dry runs that are repeated. False:
    /// the message says why not, and tasks of this type wait. Unknown: something else stands in the way, such as a
    /// quota or a policy, or nobody answered; tasks are started all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// By how much pods of this type came out larger than the API server's dry run said, by resource, as where a webhook
    /// skips dry runs. Queues count it for every later task, until the type changes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub surplus: BTreeMap<String, Quantity>,
}

/// The way in which an attempt is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Executor {
    /// One Job per attempt.
    #[default]
    Job,
    /// One bare pod per attempt.
    Pod,
    /// A warm worker.
    Pool,
}

impl Executor {
    /// As `status.admitted.executor` names it: absent for a Job.
    pub fn admitted_as(self) -> Option<&'static str> {
        match self {
            Self::Job => None,
            Self::Pod => Some("Pod"),
            Self::Pool => Some("Pool"),
        }
    }

    /// The executor of this name there; `None` for one of a later version.
    pub fn of_admitted(name: Option<&str>) -> Option<Self> {
        match name {
            None | Some("Job") => Some(Self::Job),
            Some("Pod") => Some(Self::Pod),
            Some("Pool") => Some(Self::Pool),
            Some(_) => None,
        }
    }
}

/// Values for tasks of a type that set none themselves.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Defaults {
    /// Priority of a task that sets none: critical, high, normal or low. Default: normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Seconds that the work of one attempt may take, from its own start. Default: 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604800))]
    pub timeout_seconds: Option<i32>,
    /// How failed attempts are retried. A task overrides it field by field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Requests and limits of the work's container. They override the template's, resource by resource, and a task
    /// overrides them. Example: {limits: {memory: 512Mi}}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Seconds after its end at which a finished task is deleted, 0 to 31536000. It applies only to tasks submitted
    /// over REST, since GitOps would create the others again. Default: tasks stay until somebody deletes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31536000))]
    pub ttl_seconds_after_finished: Option<i32>,
}

/// The most that a task of a type may ask for.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Maximum {
    /// The highest priority: critical, high, normal or low. Default: critical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The longest timeoutSeconds, 1 to 604800. Default: 604800.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604800))]
    pub timeout_seconds: Option<i32>,
    /// The highest retry.limit, 0 to 100. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub retry_limit: Option<i32>,
    /// The largest payload in bytes as compact JSON, 0 to 131072. Default: 32768.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 131072))]
    pub payload_bytes: Option<i32>,
    /// The largest request and limit, by resource, at most 16 resources. A task may set cpu and memory even where
    /// they are not named here, and no other resource that is not. Example: {cpu: 4, memory: 8Gi}.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub resources: BTreeMap<String, Quantity>,
}

/// A rule that decides whether a failed attempt is retried. It needs at least one of exitCodes, reasons and
/// errorTypes.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.exitCodes) || has(self.reasons) || has(self.errorTypes)")
    .message("a failure rule needs at least one of exitCodes, reasons and errorTypes"))]
pub struct FailureRule {
    /// Exit codes of the work's container, or of an init container that failed, 1 to 255; at most 255 of them.
    /// Example: [42, 137].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), inner(range(min = 1, max = 255)))]
    pub exit_codes: Option<Vec<i32>>,
    /// Reasons for which an attempt failed, at most 64; docs/reasons.md explains them. Example: [Evicted, NodeLost].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "failures")]
    pub reasons: Option<Vec<crate::Reason>>,
    /// Error types that the work reported in its result file or over HTTP, at most 64. Example: [RateLimited].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(max = 253)))]
    pub error_types: Option<Vec<String>>,
    /// Fail: the task fails for good. Retry: retried, and counted against retry.limit. Ignore: retried, and counted
    /// against retry.disruptionLimit only.
    pub action: FailureAction,
}

/// The words that can be the end of a failed attempt. A rule with any other would never match.
fn failures(_: &mut SchemaGenerator) -> Schema {
    let words: Vec<_> = crate::Reason::FAILURES.map(crate::Reason::as_str).into();
    json_schema!({
        "type": ["array", "null"],
        "items": { "type": "string", "enum": words },
        "minItems": 1,
        "maxItems": 64,
    })
}

/// The consequence of a failed attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FailureAction {
    /// The task fails for good.
    #[default]
    Fail,
    /// Retried, and counted against retry.limit.
    Retry,
    /// Retried, and counted against retry.disruptionLimit only.
    Ignore,
}
