//! The kinds of work that there are: GET /api/v1/tasks/types. From memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::counts::Counts;
use super::readiness::Readiness;
use crate::api::{Maximum, Priority, Quantity, Resources, TaskSpec, TaskType, TaskTypeSpec};
use crate::core::launch::policy;
use crate::core::launch::policy::{Policy, RetryPolicy};
use crate::core::queue::Key;
use crate::rest::catalog::Catalog;
use crate::rest::index::Index;
use crate::rest::namespaces::Namespaces;
use crate::rest::request::query::Query;
use crate::rest::submit::default_ttl;
use crate::serving::problem::{Problem, Problems};

/// Which namespace is asked about.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct InNamespace {
    /// One of the served namespaces. Default: all of them.
    pub namespace: Option<String>,
}

/// The kinds of work.
#[derive(Serialize, ToSchema)]
pub struct Types {
    items: Vec<KindOfWork>,
}

/// A kind of work: what a submission names in task_type.
#[derive(Serialize, ToSchema)]
pub struct KindOfWork {
    task_type: String,
    namespace: String,
    #[serde(flatten)]
    readiness: Readiness,
    /// Tasks of this type that start, run or stop.
    running: usize,
    /// Tasks of this type that wait, for whatever reason.
    queued: usize,
    /// The most that run at once. Absent: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_concurrent: Option<i32>,
    /// The most with the same kb_id that run at once. Absent: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_concurrent_per_kb_id: Option<i32>,
    /// How long an attempt may take until its work starts.
    start_deadline_seconds: i64,
    defaults: DefaultsInForce,
    maximum: MaximumInForce,
}

/// What holds for a task that says nothing.
#[derive(Serialize, ToSchema)]
pub struct DefaultsInForce {
    priority: Priority,
    timeout_seconds: i64,
    retry: RetryInForce,
    /// Of the work's container; more may be in the type's template.
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<ResourcesInForce>,
    ttl_seconds: i32,
}

/// How failures are tried again.
#[derive(Serialize, ToSchema)]
pub struct RetryInForce {
    limit: i32,
    initial_seconds: i32,
    factor: f64,
    max_seconds: i32,
    disruption_limit: i32,
    oom_memory_factor: f64,
}

/// Requests and limits.
#[derive(Serialize, ToSchema)]
pub struct ResourcesInForce {
    #[schema(value_type = BTreeMap<String, String>)]
    requests: BTreeMap<String, Quantity>,
    #[schema(value_type = BTreeMap<String, String>)]
    limits: BTreeMap<String, Quantity>,
}

/// The most that a task may ask for. What is absent has no bound of the type's.
#[derive(Serialize, ToSchema)]
pub struct MaximumInForce {
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<Priority>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_seconds: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_limit: Option<i32>,
    /// As compact JSON.
    payload_bytes: i32,
    /// Of what is not named here, a task may set cpu and memory alone.
    #[schema(value_type = BTreeMap<String, String>)]
    resources: BTreeMap<String, Quantity>,
}

/// List task types
///
/// The kinds of work that there are, with what holds for their tasks and how many of them wait and run, from memory.
#[utoipa::path(get, path = "/api/v1/tasks/types", tag = "types, queues and pools", params(InNamespace),
    responses((status = 200, description = "By namespace and name.", body = Types), Problems))]
pub async fn types(
    State(catalog): State<Arc<Catalog>>,
    State(index): State<Arc<Index>>,
    State(namespaces): State<Arc<Namespaces>>,
    Query(asked): Query<InNamespace>,
) -> Result<Json<Types>, Problem> {
    let known = catalog.types(&namespaces.filtered(asked.namespace.as_deref())?)?;
    let counts = Counts::by(&index, |known| (known.head.namespace.clone(), known.head.task_type.clone()));
    let told = known.iter().map(|(key, kind)| told(key, kind, &counts.get(key).cloned().unwrap_or_default()));
    Ok(Json(Types { items: told.collect() }))
}

fn told((namespace, name): &Key, kind: &TaskType, counts: &Counts) -> KindOfWork {
    let spec = &kind.spec;
    let policy = Policy::of(&TaskSpec::default(), Some(spec));
    let conditions = kind.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    KindOfWork {
        task_type: name.to_string(),
        namespace: namespace.to_string(),
        readiness: Readiness::of(conditions),
        running: counts.running,
        queued: counts.queued,
        max_concurrent: spec.max_concurrent,
        max_concurrent_per_kb_id: spec.max_concurrent_per_kb_id,
        start_deadline_seconds: policy.start_deadline_seconds,
        defaults: defaults(spec, policy),
        maximum: maximum(&spec.maximum),
    }
}

fn defaults(spec: &TaskTypeSpec, policy: Policy) -> DefaultsInForce {
    let RetryPolicy { limit, initial_seconds, factor, max_seconds, disruption_limit, oom_memory_factor } = policy.retry;
    let resources = spec.defaults.resources.clone();
    DefaultsInForce {
        priority: policy.priority,
        timeout_seconds: policy.timeout_seconds,
        retry: RetryInForce { limit, initial_seconds, factor, max_seconds, disruption_limit, oom_memory_factor },
        resources: resources.map(|Resources { requests, limits }| ResourcesInForce { requests, limits }),
        ttl_seconds: default_ttl(spec),
    }
}

fn maximum(maximum: &Maximum) -> MaximumInForce {
    MaximumInForce {
        priority: maximum.priority,
        timeout_seconds: maximum.timeout_seconds,
        retry_limit: maximum.retry_limit,
        payload_bytes: maximum.payload_bytes.unwrap_or(policy::PAYLOAD_BYTES),
        resources: maximum.resources.clone(),
    }
}
