//! Worker pools: how many workers are in which state, how soon they get tasks, and which ones were replaced.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::load::gauge;
use super::origin::OTHER;
use crate::core::queue::Key;

/// So many pools have series of their own; all further ones share one, or have none.
pub(super) const MOST_POOLS: usize = 200;
/// The states of workers, in the order of `PoolLoad::workers`.
const STATES: [&str; 5] = ["starting", "idle", "busy", "unhealthy", "stopping"];

/// The workers of a pool and what waits for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolLoad {
    pub namespace: Arc<str>,
    pub pool: Arc<str>,
    /// How many are starting, idle, busy, unhealthy and stopping.
    pub workers: [usize; STATES.len()],
    /// Tasks that wait for a worker and for nothing but their turn.
    pub waiting: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Pool {
    namespace: String,
    pool: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Replaced {
    #[prometheus(flatten)]
    pool: Pool,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Found {
    #[prometheus(flatten)]
    pool: Pool,
    worker: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reviewed {
    result: &'static str,
}

#[derive(Debug)]
pub(super) struct Pools {
    dispatch: Family<Pool, Histogram, fn() -> Histogram>,
    given: Family<Found, Counter>,
    replaced: Family<Replaced, Counter>,
    reviews: Family<Reviewed, Counter>,
    /// The pools that have series of their own: the first ones that were counted.
    counted: Mutex<HashSet<Key>>,
}

/// From 1 ms to about 16 s.
fn dispatches() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

impl Default for Pools {
    fn default() -> Self {
        Self {
            dispatch: Family::new_with_constructor(dispatches),
            given: Family::default(),
            replaced: Family::default(),
            reviews: Family::default(),
            counted: Mutex::default(),
        }
    }
}

impl Pools {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Time from the admission of a task until a worker of its pool has it";
        registry.register_with_unit("pool_dispatch", help, Unit::Seconds, self.dispatch.clone());
        let help = "Tasks that were given to a worker of their pool, by whether one was idle when they came or had to be waited for";
        registry.register("pool_tasks_given", help, self.given.clone());
        let help = "Workers in whose place another is made, by reason; those that are only one too many do not count";
        registry.register("pool_workers_replaced", help, self.replaced.clone());
        registry.register("token_reviews", "Tokens that the API server was asked about", self.reviews.clone());
    }

    fn labels(&self, (namespace, pool): &Key) -> Pool {
        let mut counted = self.counted.lock();
        let key = (namespace.clone(), pool.clone());
        if !counted.contains(&key) {
            if counted.len() == MOST_POOLS {
                return Pool { namespace: OTHER.into(), pool: OTHER.into() };
            }
            counted.insert(key);
        }
        Pool { namespace: namespace.to_string(), pool: pool.to_string() }
    }

    pub(super) fn handed_out(&self, pool: &Key, took: Duration, was_free: bool) {
        let pool = self.labels(pool);
        self.dispatch.get_or_create(&pool).observe(took.as_secs_f64());
        let worker = if was_free { "idle" } else { "awaited" };
        self.given.get_or_create(&Found { pool, worker }).inc();
    }

    pub(super) fn replaced(&self, pool: &Key, reason: &'static str) {
        self.replaced.get_or_create(&Replaced { pool: self.labels(pool), reason }).inc();
    }

    pub(super) fn token_reviewed(&self, result: &'static str) {
        self.reviews.get_or_create(&Reviewed { result }).inc();
    }
}

/// Writes the gauges of these pools.
pub(super) fn encode(pools: &[PoolLoad], encoder: &mut DescriptorEncoder) -> Result<(), fmt::Error> {
    let labels = |pool: &'_ PoolLoad| [("namespace", pool.namespace.clone()), ("pool", pool.pool.clone())];
    let labels: Vec<_> = pools.iter().map(labels).collect();
    let labels = || labels.iter().map(|labels| labels.each_ref().map(|(name, value)| (*name, &**value)).to_vec());
    let workers = pools.iter().zip(labels()).flat_map(|(pool, labels)| {
        let of_state = move |(state, count): (&'static str, usize)| {
            ([labels.clone(), vec![("state", state)]].concat(), count as f64)
        };
        STATES.into_iter().zip(pool.workers).map(of_state)
    });
    gauge(encoder, "pool_workers", "Workers of a pool, by state; none where another replica leads", None, workers)?;
    let waiting = pools.iter().zip(labels()).map(|(pool, labels)| (labels, pool.waiting as f64));
    let help = "Tasks that wait for a worker of a pool and for nothing but their turn";
    gauge(encoder, "pool_tasks_waiting", help, None, waiting)
}
