//! The worker pools that there are: how many workers each has, and how many of its tasks wait and run:
//! GET /api/v1/tasks/pools. From memory.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::counts::Counts;
use super::readiness::Readiness;
use super::types::InNamespace;
use crate::api::WorkerPool;
use crate::core::queue::Key;
use crate::rest::catalog::Catalog;
use crate::rest::index::Index;
use crate::rest::namespaces::Namespaces;
use crate::rest::request::query::Query;
use crate::serving::problem::{Problem, Problems};

/// The worker pools.
#[derive(Serialize, ToSchema)]
pub struct Pools {
    items: Vec<Pool>,
}

/// A worker pool: where tasks of its types run.
#[derive(Serialize, ToSchema)]
pub struct Pool {
    pool: String,
    namespace: String,
    #[serde(flatten)]
    readiness: Readiness,
    /// The types whose tasks it runs.
    task_types: BTreeSet<String>,
    /// Workers that are kept though nothing waits.
    min: i32,
    /// The most workers; 0: it is paused.
    max: i32,
    workers: PoolWorkers,
    /// Tasks of its types that run or stop on a worker, or are being given to one.
    running: usize,
    /// Tasks of its types that wait, for whatever reason.
    queued: usize,
}

/// The workers of a pool, a few seconds late.
#[derive(Serialize, ToSchema)]
pub struct PoolWorkers {
    /// Workers that have asked for work, and that nothing is wrong with.
    ready: i32,
    /// Workers that run a task.
    busy: i32,
    /// Workers that are ready and run none.
    idle: i32,
    /// Workers that are being replaced because something is wrong with them, and that are still there.
    unhealthy: i32,
    /// Workers that were replaced because something was wrong with them, ever.
    restarts: i64,
}

/// List worker pools
///
/// How many workers each has, and how many tasks of its types wait and run, from memory.
#[utoipa::path(get, path = "/api/v1/tasks/pools", tag = "types, queues and pools", params(InNamespace),
    responses((status = 200, description = "By namespace and name.", body = Pools), Problems))]
pub async fn pools(
    State(catalog): State<Arc<Catalog>>,
    State(index): State<Arc<Index>>,
    State(namespaces): State<Arc<Namespaces>>,
    Query(asked): Query<InNamespace>,
) -> Result<Json<Pools>, Problem> {
    let asked = namespaces.filtered(asked.namespace.as_deref())?;
    let types = types_of_pools(&catalog, &asked)?;
    let counts = Counts::by(&index, |known| (known.head.namespace.clone(), known.head.task_type.clone()));
    let told = catalog.pools(&asked)?.into_iter().map(|(key, pool)| {
        let types = types.get(&key).cloned().unwrap_or_default();
        told(&key, &pool, types, &counts)
    });
    Ok(Json(Pools { items: told.collect() }))
}

/// The names of the types of each pool.
fn types_of_pools(catalog: &Catalog, namespaces: &[String]) -> Result<HashMap<Key, BTreeSet<String>>, Problem> {
    let mut types = HashMap::<Key, BTreeSet<String>>::new();
    for ((namespace, name), kind) in catalog.types(namespaces)? {
        if let Some(pool) = &kind.spec.worker_pool {
            types.entry((namespace, pool.as_str().into())).or_default().insert(name.to_string());
        }
    }
    Ok(types)
}

fn told(
    (namespace, name): &Key,
    pool: &WorkerPool,
    task_types: BTreeSet<String>,
    counts: &HashMap<Key, Counts>,
) -> Pool {
    let status = pool.status.clone().unwrap_or_default();
    let of_types = task_types.iter().filter_map(|kind| counts.get(&(namespace.clone(), kind.as_str().into())));
    let (running, queued) =
        of_types.fold((0, 0), |(running, queued), counts| (running + counts.running, queued + counts.queued));
    Pool {
        pool: name.to_string(),
        namespace: namespace.to_string(),
        readiness: Readiness::of(&status.conditions),
        task_types,
        min: pool.spec.min(),
        max: pool.spec.max(),
        workers: PoolWorkers {
            ready: status.ready,
            busy: status.busy,
            idle: status.idle,
            unhealthy: status.unhealthy,
            restarts: status.restarts,
        },
        running,
        queued,
    }
}
