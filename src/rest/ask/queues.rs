//! The queues that there are: how full each is, and what it waits for: GET /api/v1/tasks/queues. From memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::counts::{ByPriority, Counts};
use super::readiness::Readiness;
use super::types::InNamespace;
use crate::api::{Ceilings, Quantity, TaskQueue};
use crate::core::queue::Key;
use crate::rest::catalog::Catalog;
use crate::rest::index::{Index, QueueUse};
use crate::rest::namespaces::Namespaces;
use crate::rest::request::query::Query;
use crate::serving::problem::{Problem, Problems};

/// The queue that need not be created.
const DEFAULT: &str = "default";

/// The queues.
#[derive(Serialize, ToSchema)]
pub struct Queues {
    items: Vec<Queue>,
}

/// A queue: what a submission names in queue.
#[derive(Serialize, ToSchema)]
pub struct Queue {
    queue: String,
    namespace: String,
    /// False: the queue that holds although nobody created it.
    created: bool,
    /// True: none of its tasks starts; what runs goes on.
    suspended: bool,
    #[serde(flatten)]
    readiness: Readiness,
    capacity: QueueCapacity,
    /// The share of the capacity in percent that tasks of a priority and all below it may fill together.
    ceilings: QueueCeilings,
    /// What the tasks that run use of the capacity together.
    used: QueueUsed,
    /// Why the first task that waits does not start. Absent where none waits, or where the first starts at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_for: Option<String>,
    /// Tasks of this queue that start, run or stop.
    running: usize,
    /// Tasks of this queue that wait, for whatever reason.
    queued: usize,
    /// Tasks of this queue that wait, by priority.
    by_priority: ByPriority,
    /// When the task that has waited longest began to.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_queued_at: Option<Timestamp>,
}

/// The most that the running tasks of a queue may use together. What is absent is unbounded.
#[derive(Default, Serialize, ToSchema)]
pub struct QueueCapacity {
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<i32>,
    #[schema(value_type = BTreeMap<String, String>)]
    resources: BTreeMap<String, Quantity>,
}

/// Slots and resources in use, as the Kubernetes scheduler counts pods.
#[derive(Serialize, ToSchema)]
pub struct QueueUsed {
    tasks: i64,
    #[schema(value_type = BTreeMap<String, String>)]
    resources: BTreeMap<String, Quantity>,
}

/// Percentages by priority. What is absent is 100.
#[derive(Default, Serialize, ToSchema)]
pub struct QueueCeilings {
    #[serde(skip_serializing_if = "Option::is_none")]
    critical: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    normal: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    low: Option<i32>,
}

/// List queues
///
/// How full each is, from memory. The queue named default is there in each namespace, whether somebody created it or not.
#[utoipa::path(get, path = "/api/v1/tasks/queues", tag = "types, queues and pools", params(InNamespace),
    responses((status = 200, description = "By namespace and name.", body = Queues), Problems))]
pub async fn queues(
    State(catalog): State<Arc<Catalog>>,
    State(index): State<Arc<Index>>,
    State(namespaces): State<Arc<Namespaces>>,
    Query(asked): Query<InNamespace>,
) -> Result<Json<Queues>, Problem> {
    let asked = namespaces.filtered(asked.namespace.as_deref())?;
    let mut known: BTreeMap<Key, Option<Arc<TaskQueue>>> =
        asked.iter().map(|namespace| ((namespace.as_str().into(), DEFAULT.into()), None)).collect();
    known.extend(catalog.queues(&asked)?.into_iter().map(|(key, queue)| (key, Some(queue))));
    let counts = Counts::by(&index, |known| (known.head.namespace.clone(), known.head.queue.clone()));
    let told = known.iter().map(|(key, queue)| {
        let counts = counts.get(key).cloned().unwrap_or_default();
        told(key, queue.as_deref(), counts, index.use_of(key), catalog.default_queue_tasks)
    });
    Ok(Json(Queues { items: told.collect() }))
}

fn told(
    (namespace, name): &Key,
    queue: Option<&TaskQueue>,
    counts: Counts,
    used: QueueUse,
    default_tasks: i32,
) -> Queue {
    let (capacity, ceilings) = queue.map_or_else(
        || (QueueCapacity { tasks: Some(default_tasks), ..QueueCapacity::default() }, QueueCeilings::default()),
        |queue| {
            let capacity = queue.spec.capacity.clone();
            (QueueCapacity { tasks: capacity.tasks, resources: capacity.resources }, (&queue.spec.ceilings).into())
        },
    );
    let status = queue.and_then(|queue| queue.status.as_ref());
    Queue {
        queue: name.to_string(),
        namespace: namespace.to_string(),
        created: queue.is_some(),
        suspended: queue.is_some_and(|queue| queue.spec.suspend),
        readiness: Readiness::of(status.map(|status| status.conditions.as_slice()).unwrap_or_default()),
        capacity,
        ceilings,
        used: QueueUsed { tasks: used.tasks, resources: used.resources },
        waiting_for: used.waiting_for,
        running: counts.running,
        queued: counts.queued,
        by_priority: counts.by_priority,
        oldest_queued_at: counts.oldest,
    }
}

impl From<&Ceilings> for QueueCeilings {
    fn from(ceilings: &Ceilings) -> Self {
        let Ceilings { low, normal, high, critical } = *ceilings;
        Self { critical, high, normal, low }
    }
}
