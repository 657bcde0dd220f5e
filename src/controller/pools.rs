//! Keeps the worker pools: makes, replaces and ends workers as `core::pool` decides, and writes how many there are. Decides
//! nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::Value;
use tokio::time::Instant;

use super::cache::Cache;
use super::cache::workers::{PoolLook, key_of};
use super::reconcile::delete::{Removal, only, remove};
use super::status::StatusWriter;
use crate::api::WorkerPool;
use crate::cluster::calls::{CallError, Calls};
use crate::cluster::create::{Run, create};
use crate::core::Settings;
use crate::core::launch::names;
use crate::core::pool::{Going, PoolDecision, PoolInput, WORN_OUT, decide, pool_status, template};
use crate::core::queue::Key;
use crate::core::time::earliest;
use crate::metrics::Metrics;

/// Between two looks at the pools, however much happens; and so many times as long as a look takes, for with thousands of workers
/// that is more.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// So many workers are deleted at once.
const AT_ONCE: usize = 8;
/// When to look again where a worker could not be made or deleted.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const LOOKS_TAKE_A_PART: u32 = 20;
/// A pool's status is written at most so often.
const BETWEEN_WRITES: Duration = Duration::from_secs(5);

/// The values that the upkeep of pools uses.
pub struct Pools {
    pub calls: Calls,
    pub cache: Arc<Cache>,
    pub status: Arc<StatusWriter>,
    pub settings: Settings,
    pub metrics: Arc<Metrics>,
}

/// The memory of this part: nothing is lost with it.
struct Memory {
    /// When the status of a pool was last written.
    written: HashMap<Key, Instant>,
    /// The template of a pool of whose workers the API server drops nothing.
    tried: HashMap<Key, String>,
    /// Part of the names of the workers that are made.
    began: Timestamp,
    made: u64,
    /// How long it took to read the state of all pools at the last look.
    reading: Duration,
}

/// Runs for ever.
pub async fn run(pools: Pools) {
    let changed = pools.cache.pools_may_change();
    let (began, reading) = (Timestamp::now(), Duration::ZERO);
    let mut memory = Memory { written: HashMap::new(), tried: HashMap::new(), began, made: 0, reading };
    loop {
        let wake = pools.look(&mut memory).await;
        tokio::time::sleep(BETWEEN_LOOKS.max(LOOKS_TAKE_A_PART * memory.reading)).await;
        let pause = wake.map(|wake| Duration::try_from(wake.duration_since(Timestamp::now())).unwrap_or_default());
        tokio::select! {
            () = changed.notified() => {}
            () = async { match pause { Some(pause) => tokio::time::sleep(pause).await, None => std::future::pending().await } } => {}
        }
    }
}

impl Pools {
    /// One look at all pools; returns when the next one is due even if nothing changes.
    async fn look(&self, memory: &mut Memory) -> Option<Timestamp> {
        let pools = self.cache.pools();
        memory.written.retain(|key, _| pools.contains(key));
        memory.tried.retain(|key, _| pools.contains(key));
        memory.reading = Duration::ZERO;
        let mut wakes = vec![];
        for pool in pools {
            let now = Timestamp::now();
            let began = Instant::now();
            let Some(look) = self.cache.pool(&pool) else { continue };
            memory.reading += began.elapsed();
            let decision = decide(&input(&look), now);
            let all_end = self.end(&look, &decision).await;
            let made = memory.made;
            let refused = self.make(&look, decision.create, memory).await;
            // Nothing changes by what came to nothing; from the next look on its pause is known.
            if !all_end || memory.made > made && refused.is_some() {
                wakes.push(now.checked_add(LOOK_AGAIN).ok());
            }
            wakes.push(self.tell(&look, &decision, refused, memory, now).await);
            wakes.push(decision.wake);
        }
        earliest(wakes)
    }

    /// Ends those that are to go: their pods are deleted. Those at work are told to end after their task. False where some pod
    /// could not be deleted.
    async fn end(&self, look: &PoolLook, decision: &PoolDecision) -> bool {
        for uid in &decision.stop {
            if self.cache.give_up_worker(uid, None) {
                self.metrics.worker_replaced(&key_of(&look.pool), WORN_OUT);
            }
        }
        // Of all of them before the first is deleted: that may take a while, and nobody is to be given a task meanwhile.
        let mut deletions = vec![];
        for going in &decision.delete {
            if self.leaves(&look.pool, going) {
                deletions.push(self.delete(&look.pool, going.clone()));
            }
        }
        let ended: Vec<bool> = stream::iter(deletions).buffer_unordered(AT_ONCE).collect().await;
        ended.into_iter().all(|is_ended| is_ended)
    }

    /// Nothing is handed to it any longer. False where it is not needed, and was given a task a moment ago.
    fn leaves(&self, pool: &WorkerPool, Going { uid, why, replaced_for, .. }: &Going) -> bool {
        let is_news = match why {
            Some(why) => Some(self.cache.give_up_worker(uid, Some(why.clone()))),
            None => self.cache.retire_if_idle(uid),
        };
        if let (Some(true), Some(word)) = (is_news, replaced_for) {
            self.metrics.worker_replaced(&key_of(pool), word);
        }
        is_news.is_some()
    }

    /// False where that is to be tried again.
    async fn delete(&self, pool: &WorkerPool, Going { uid, name, why, .. }: Going) -> bool {
        let namespace = pool.namespace().unwrap_or_default();
        let why = why.as_ref().map_or("it is not needed any longer", |why| why.message.as_str());
        tracing::info!(namespace, pool = pool.name_any(), worker = name, why, "end the worker");
        match remove::<Pod>(&namespace, &name, only(&uid), &self.calls).await {
            Ok(Removal::NotThere) => drop(self.cache.worker_is_not_there(&uid)),
            Ok(Removal::Asked) => self.cache.worker_goes(&uid),
            Ok(Removal::Refused) | Err(CallError::NotLeader) => return false,
            Err(error) => {
                tracing::warn!(namespace, worker = name, %error, "failed to end a worker; will try again");
                return false;
            }
        }
        true
    }

    /// Makes so many workers. Returns why none can be made.
    async fn make(&self, look: &PoolLook, count: usize, memory: &mut Memory) -> Option<String> {
        let pool = &look.pool;
        let mut refused = look.refused.clone();
        if let Err(error) = template::pod(pool, &pool.name_any(), &self.settings) {
            return Some(error.to_string());
        }
        if let Some(why) = self.dropped_of(look, count, memory).await {
            self.cache.worker_refused(&key_of(pool), Some(why.clone()));
            return Some(why);
        }
        for _ in 0..count {
            memory.made += 1;
            let uid = pool.metadata.uid.as_deref().unwrap_or_default();
            let name = names::worker(&pool.name_any(), uid, memory.began, memory.made);
            refused = self.make_one(pool, &name).await.err();
            self.cache.worker_refused(&key_of(pool), refused.clone());
            if refused.is_some() {
                break;
            }
        }
        refused
    }

    /// What the API server drops of the pool's workers without a word. It is asked before the first worker of a template is made.
    async fn dropped_of(&self, look: &PoolLook, count: usize, memory: &mut Memory) -> Option<String> {
        let key = key_of(&look.pool);
        if count == 0 || memory.tried.get(&key) == Some(&look.template) {
            return None;
        }
        let manifest = template::pod(&look.pool, &look.pool.name_any(), &self.settings).ok()?;
        let reads = &self.calls.reads;
        // Whatever else stands in the way is told when a worker is made.
        let answered = reads.read(create::<Pod, Value>(&reads.client(), &manifest, Run::Dry)).await.ok()?;
        let dropped = template::dropped_of(&look.pool.spec, &answered);
        if dropped.is_none() {
            memory.tried.insert(key, look.template.clone());
        }
        dropped
    }

    async fn make_one(&self, pool: &WorkerPool, name: &str) -> Result<(), String> {
        let manifest = template::pod(pool, name, &self.settings).map_err(|error| error.to_string())?;
        let client = self.calls.reads.client();
        let made = |left| create::<Pod, Pod>(&client, &manifest, Run::Real(left));
        match self.calls.write_within("create_worker", made).await {
            Ok(pod) => {
                self.cache.worker_found(&pod);
                Ok(())
            }
            Err(CallError::Refused(status)) => Err(status.message),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Writes the pool's status where it says anything new; returns when it may be written again.
    async fn tell(
        &self,
        look: &PoolLook,
        decision: &PoolDecision,
        refused: Option<String>,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let pool = &look.pool;
        let status = pool_status(pool, decision, look.uncounted, refused.as_deref(), now);
        if pool.status.as_ref() == Some(&status) {
            return None;
        }
        let key = key_of(pool);
        let last = memory.written.get(&key).map(Instant::elapsed);
        if let Some(left) = last.and_then(|last| BETWEEN_WRITES.checked_sub(last)) {
            return now.checked_add(left).ok();
        }
        match self.status.write_pool(pool, status).await {
            Ok(written) => {
                self.cache.restarts_counted(&key, look.uncounted);
                self.cache.pool_changed(key.clone(), Some(&Arc::new(written)));
            }
            // The pool has changed, or is gone: the next look sees.
            Err(CallError::Conflict | CallError::NotFound | CallError::NotLeader) => {}
            Err(error) => {
                tracing::warn!(namespace = pool.namespace(), pool = pool.name_any(), %error, "failed to write a pool's status; will try again");
            }
        }
        memory.written.insert(key, Instant::now());
        now.checked_add(BETWEEN_WRITES).ok()
    }
}

fn input(look: &PoolLook) -> PoolInput<'_> {
    PoolInput {
        spec: &look.pool.spec,
        template: &look.template,
        workers: &look.workers,
        told_to_drop: &look.told_to_drop,
        waiting: look.waiting,
        faults: look.faults,
        last_fault: look.last_fault,
        last_replaced_for: look.last_replaced_for.as_deref(),
    }
}
