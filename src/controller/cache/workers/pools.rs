//! The pools as the watch shows them, and what a decision about a pool depends on.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Notify;

use super::super::dry_runs::pool_of;
use super::super::{Cache, Inner, Uid, key};
use super::{Faults, KnownPool};
use crate::api::{TaskType, WorkerPool};
use crate::core::Settings;
use crate::core::attempt::facts::Why;
use crate::core::pool::{Worker, count, template};
use crate::core::queue::Key;
use crate::metrics::PoolLoad;

/// Of so many tasks that could start it is found out: a pool grows by ten workers at once.
const MOST_WAITING: usize = 1000;

/// A pool as it is, for a decision about it.
pub struct PoolLook {
    pub pool: Arc<WorkerPool>,
    /// The digest of what its workers are made from.
    pub template: String,
    pub workers: Vec<Worker>,
    /// Tasks that would start now if each had a worker.
    pub waiting: usize,
    pub faults: u32,
    pub last_fault: Option<Timestamp>,
    /// The fault of the worker that was replaced last.
    pub last_replaced_for: Option<String>,
    /// Workers that were replaced for a fault, beyond those that the status counts.
    pub uncounted: i64,
    /// Why no worker can be made.
    pub refused: Option<String>,
    /// The uids of workers that were told to drop what nobody wants any longer, and until when each may go on with it.
    pub told_to_drop: Vec<(String, Timestamp)>,
}

impl Cache {
    /// Takes in a pool as it is now.
    pub fn pool_changed(&self, key: Key, pool: Option<&Arc<WorkerPool>>) {
        let mut inner = self.lock();
        if inner.workers.pools.contains_key(&key) != pool.is_some() {
            self.look_at_types_of_pools(&mut inner, |pool| *pool == key);
        }
        match pool {
            Some(pool) => {
                let known = inner.workers.pools.remove(&key);
                let faults =
                    known.filter(|known| known.pool.metadata.uid == pool.metadata.uid).map(|known| known.faults);
                inner
                    .workers
                    .pools
                    .insert(key.clone(), KnownPool { pool: pool.clone(), faults: faults.unwrap_or_default() });
            }
            None => drop(inner.workers.pools.remove(&key)),
        }
        inner.offer_all(&key);
        inner.workers.changed.notify_one();
        drop(inner);
        self.ring_admission();
    }

    /// A whole list of pools was shown: one that is not on it is gone.
    pub fn pools_listed(&self, listed: &HashSet<Key>) {
        let mut inner = self.lock();
        let known: Vec<Key> = inner.workers.pools.keys().cloned().collect();
        if !std::mem::replace(&mut inner.workers.are_pools_listed, true) {
            self.look_at_types_of_pools(&mut inner, |pool| !listed.contains(pool));
        }
        drop(inner);
        known.into_iter().filter(|key| !listed.contains(key)).for_each(|key| self.pool_changed(key, None));
    }

    /// Resolves when a pool may have to be looked at.
    pub fn pools_may_change(&self) -> Arc<Notify> {
        self.lock().workers.changed.clone()
    }

    /// The pools that there are.
    pub fn pools(&self) -> Vec<Key> {
        self.lock().workers.pools.keys().cloned().collect()
    }

    /// The pool that runs the tasks of this type is there; or no list has told yet which ones are.
    pub fn has_pool_of(&self, kind: &TaskType) -> bool {
        let inner = self.lock();
        !inner.workers.are_pools_listed || pool_of(kind).is_some_and(|pool| inner.workers.pools.contains_key(&pool))
    }

    /// A pool as it is now.
    pub fn pool(&self, key: &Key) -> Option<PoolLook> {
        let inner = self.lock();
        inner.workers.pools.get(key).map(|known| inner.look_at(key, known, &self.settings))
    }

    /// A worker is not needed any longer: nothing is handed to it from here on. Returns whether that is news; `None` where it
    /// was given a task meanwhile, and so stays.
    pub fn retire_if_idle(&self, worker: &str) -> Option<bool> {
        let mut inner = self.lock();
        let (uid, _) = inner.workers.workers.get_key_value(worker).filter(|(_, known)| known.holds() == 0)?;
        let uid = uid.clone();
        let was_stopping = std::mem::replace(&mut inner.workers.workers.get_mut(&uid)?.stopping, true);
        inner.stop_idle_calls(&uid);
        Some(!was_stopping)
    }

    /// A worker is given up for this; nothing is handed to it any longer. Returns whether that is news.
    pub fn give_up_worker(&self, worker: &str, why: Option<Why>) -> bool {
        let mut inner = self.lock();
        let Some(uid) = inner.workers.workers.get_key_value(worker).map(|(uid, _)| uid.clone()) else { return false };
        let Some(known) = inner.workers.workers.get_mut(&uid) else { return false };
        let is_news = !known.stopping;
        known.stopping = true;
        if let (Some(why), None) = (why, &known.replaced_for) {
            let message = why.message.clone();
            known.replaced_for = Some(why);
            let pool = known.pool.clone();
            if let Some(pool) = inner.workers.pools.get_mut(&pool) {
                pool.faults.note(message, Timestamp::now());
            }
        }
        inner.stop_idle_calls(&uid);
        is_news
    }

    /// No worker of this pool could be made, for this; or one could.
    pub fn worker_refused(&self, pool: &Key, why: Option<String>) {
        let mut inner = self.lock();
        if let Some(known) = inner.workers.pools.get_mut(pool) {
            if why.is_some() {
                known.faults.in_a_row += 1;
                known.faults.last = Some(Timestamp::now());
            }
            known.faults.refused = why;
        }
    }

    /// The status of this pool counts so many more replaced workers.
    pub fn restarts_counted(&self, pool: &Key, counted: i64) {
        if let Some(known) = self.lock().workers.pools.get_mut(pool) {
            known.faults.uncounted -= counted;
        }
    }

    /// How many workers each pool has in each state, and how many tasks wait for one.
    pub fn pool_loads(&self, now: Timestamp) -> Vec<PoolLoad> {
        let inner = self.lock();
        let load = |(key, known): (&Key, &KnownPool)| {
            let workers: Vec<Worker> = inner.workers_of(key).collect();
            let counts = count(&known.pool.spec, &workers, now);
            let states = [counts.starting, counts.idle, counts.busy, counts.unhealthy, counts.stopping];
            let waiting = inner.admission.would_start(key, MOST_WAITING);
            PoolLoad { namespace: key.0.clone(), pool: key.1.clone(), workers: states, waiting }
        };
        inner.workers.pools.iter().map(load).collect()
    }
}

impl Faults {
    fn note(&mut self, replaced_for: String, now: Timestamp) {
        self.in_a_row += 1;
        self.last = Some(now);
        self.replaced_for = Some(replaced_for);
        self.uncounted += 1;
    }
}

impl Inner {
    fn offer_all(&mut self, pool: &Key) {
        let of_pool = self.workers.workers.iter().filter(|(_, known)| known.pool == *pool);
        let of_pool: Vec<Uid> = of_pool.map(|(uid, _)| uid.clone()).collect();
        of_pool.iter().for_each(|uid| self.offer_slots_of(uid));
    }

    /// Those of this pool whose pods are there.
    fn workers_of(&self, pool: &Key) -> impl Iterator<Item = Worker> {
        let there = self.workers.workers.values().filter(move |worker| worker.pool == *pool && !worker.pod.is_gone());
        there.map(|worker| worker.as_worker(self.workers.at_work(worker)))
    }

    fn look_at(&self, key: &Key, known: &KnownPool, settings: &Settings) -> PoolLook {
        let heartbeat = known.pool.spec.heartbeat();
        let of_pool = self.workers.workers.iter().filter(|(_, worker)| worker.pool == *key);
        let told_to_drop = of_pool.flat_map(|(uid, worker)| {
            let orphans = self.workers.leases_on(worker).filter(|lease| lease.orphan.is_some());
            let until = orphans.filter_map(|lease| lease.told_to_stop);
            until.map(|told| (uid.to_string(), told.due_at(heartbeat, worker.pod.grace_seconds)))
        });
        PoolLook {
            pool: known.pool.clone(),
            template: template::digest(&known.pool.spec, settings),
            told_to_drop: told_to_drop.collect(),
            workers: self.workers_of(key).collect(),
            waiting: self.admission.would_start(key, MOST_WAITING),
            faults: known.faults.in_a_row,
            last_fault: known.faults.last,
            last_replaced_for: known.faults.replaced_for.clone(),
            uncounted: known.faults.uncounted,
            refused: known.faults.refused.clone(),
        }
    }
}

/// Namespace and name of a pool.
pub fn key_of(pool: &WorkerPool) -> Key {
    key(&pool.metadata)
}
