//! The pools and the pods of their workers, as the watches show them, and what a decision about a pool depends on.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::Notify;

use super::super::{Cache, Inner, Uid, key};
use super::{Faults, KnownPool, KnownWorker};
use crate::api::{Task, WorkerPool};
use crate::core::attempt::facts::{PodFacts, Why};
use crate::core::attempt::lease::{Kept, NotKept};
use crate::core::launch::names;
use crate::core::pool::{Calls, Worker, count, template};
use crate::core::queue::Key;
use crate::metrics::PoolLoad;

/// A pool as it is, for a decision about it.
pub struct PoolLook {
    pub pool: Arc<WorkerPool>,
    /// The digest of what its workers are made from.
    pub template: String,
    pub workers: Vec<Worker>,
    /// Tasks that wait for a worker of it, and for nothing but their turn.
    pub waiting: usize,
    pub faults: u32,
    pub last_fault: Option<Timestamp>,
    /// Workers that were replaced for a fault, beyond those that the status counts.
    pub uncounted: i64,
    /// Why no worker can be made.
    pub refused: Option<String>,
    /// Uids of workers that hold what nobody wants any longer, and did not drop it in time.
    pub deaf: Vec<String>,
}

/// The pool that a pod says it is a worker of, by the owner that only we make. The policy keeps our label for us.
fn pool_of(pod: &Pod) -> Option<(String, String)> {
    pod.labels().contains_key(names::LABEL_POOL).then_some(())?;
    let owner =
        pod.owner_references().iter().find(|owner| owner.controller == Some(true) && owner.kind == "WorkerPool")?;
    Some((owner.name.clone(), owner.uid.clone()))
}

impl Cache {
    /// Takes in a pool as it is now.
    pub fn pool_changed(&self, key: Key, pool: Option<&Arc<WorkerPool>>) {
        let mut inner = self.lock();
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
        let known: Vec<Key> = self.lock().workers.pools.keys().cloned().collect();
        known.into_iter().filter(|key| !listed.contains(key)).for_each(|key| self.pool_changed(key, None));
    }

    /// A worker's pod as the watch, or an answer, shows it; returns the tasks that it holds.
    pub fn worker_seen(&self, pod: &Pod) -> Vec<ObjectRef<Task>> {
        self.worker_is(pod, PodFacts::of(pod).first_seen(Timestamp::now()))
    }

    /// A worker's pod that the API server was asked for; false when it is none.
    pub fn worker_found(&self, pod: &Pod) -> bool {
        self.worker_seen(pod);
        pool_of(pod).is_some()
    }

    pub fn worker_gone(&self, pod: &Pod) -> Vec<ObjectRef<Task>> {
        let facts = PodFacts::of(pod).first_seen(Timestamp::now());
        self.worker_is(pod, PodFacts { gone_at: Some(Timestamp::now()), ..facts })
    }

    fn worker_is(&self, pod: &Pod, facts: PodFacts) -> Vec<ObjectRef<Task>> {
        let Some((pool, _)) = pool_of(pod) else { return vec![] };
        let uid: Uid = facts.uid.as_str().into();
        let mut inner = self.lock();
        let template = pod.annotations().get(names::ANNOTATION_TEMPLATE).cloned().unwrap_or_default();
        let pool: Key = (facts.namespace.as_str().into(), pool.into());
        inner.workers.see(&uid, pool, facts, template);
        inner.after_worker(&uid)
    }

    /// A whole list of workers was shown: what is not on it is gone.
    pub fn workers_listed(&self, listed: &HashSet<String>) -> Vec<ObjectRef<Task>> {
        let mut inner = self.lock();
        let now = Timestamp::now();
        let gone =
            inner.workers.workers.iter_mut().filter(|(uid, known)| !known.pod.is_gone() && !listed.contains(&***uid));
        let gone: Vec<Uid> = gone
            .map(|(uid, known)| {
                known.pod.gone_at = Some(now);
                uid.clone()
            })
            .collect();
        gone.iter().flat_map(|uid| inner.after_worker(uid)).collect()
    }

    pub fn is_worker(&self, uid: &str) -> bool {
        self.lock().workers.workers.contains_key(uid)
    }

    /// We had its pod deleted; the watch will show it later.
    pub fn worker_goes(&self, uid: &str) {
        if let Some(known) = self.lock().workers.workers.get_mut(uid) {
            known.asked_to_go = true;
        }
    }

    /// The API server has no pod of this uid: the watch may never have shown its end.
    pub fn worker_is_not_there(&self, uid: &str) -> Vec<ObjectRef<Task>> {
        let mut inner = self.lock();
        let Some(uid) = inner.workers.workers.get_key_value(uid).map(|(uid, _)| uid.clone()) else { return vec![] };
        if let Some(known) = inner.workers.workers.get_mut(&uid) {
            known.pod.gone_at.get_or_insert(Timestamp::now());
        }
        inner.after_worker(&uid)
    }

    /// Resolves when a pool may have to be looked at.
    pub fn pools_may_change(&self) -> Arc<Notify> {
        self.lock().workers.changed.clone()
    }

    /// All pools as they are.
    pub fn pools(&self, now: Timestamp) -> Vec<PoolLook> {
        let inner = self.lock();
        inner.workers.pools.iter().map(|(key, known)| inner.look_at(key, known, &self.settings, now)).collect()
    }

    /// A worker is given up for this; nothing is handed to it any longer. Returns whether that is news.
    pub fn give_up_worker(&self, worker: &str, why: Option<Why>) -> bool {
        let mut inner = self.lock();
        let Some(uid) = inner.workers.workers.get_key_value(worker).map(|(uid, _)| uid.clone()) else { return false };
        let Some(known) = inner.workers.workers.get_mut(&uid) else { return false };
        let is_news = !known.stopping;
        known.stopping = true;
        if let (Some(why), None) = (why, &known.replaced_for) {
            known.replaced_for = Some(why);
            let pool = known.pool.clone();
            if let Some(pool) = inner.workers.pools.get_mut(&pool) {
                pool.faults.note(Timestamp::now());
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
            let workers: Vec<Worker> = inner.workers_of(key).map(KnownWorker::as_worker).collect();
            let counts = count(&known.pool.spec, &workers, now);
            let states = [counts.starting, counts.idle, counts.busy, counts.unhealthy, counts.stopping];
            let waiting = inner.admission.waiting_for(key);
            PoolLoad { namespace: key.0.clone(), pool: key.1.clone(), workers: states, waiting }
        };
        inner.workers.pools.iter().map(load).collect()
    }
}

impl Faults {
    fn note(&mut self, now: Timestamp) {
        self.in_a_row += 1;
        self.last = Some(now);
        self.uncounted += 1;
    }
}

impl super::Workers {
    fn see(&mut self, uid: &Uid, pool: Key, facts: PodFacts, template: String) {
        match self.workers.get_mut(uid) {
            Some(known) => known.pod = facts.after(&known.pod),
            None if facts.is_gone() => {}
            None => {
                let calls = Calls { listened_from: self.since.max(facts.age_from()), ..Calls::default() };
                let mut known = KnownWorker {
                    pool,
                    pod: facts,
                    template,
                    calls,
                    slots: Default::default(),
                    tasks: 0,
                    failed_alone: 0,
                    stopping: false,
                    replaced_for: None,
                    asked_to_go: false,
                };
                // Leases that were seen before their worker was.
                for (task, lease) in self.leases.iter().filter(|(_, lease)| lease.worker == *uid) {
                    known.slots.entry(lease.slot).or_insert_with(|| super::Slot::new(lease.admitted_at)).task =
                        Some(task.clone());
                }
                self.workers.insert(uid.clone(), known);
            }
        }
    }
}

impl Inner {
    /// A worker that ended or goes is offered nothing; one that is gone drops what its task no longer wants.
    fn after_worker(&mut self, uid: &Uid) -> Vec<ObjectRef<Task>> {
        self.workers.changed.notify_one();
        let Some(known) = self.workers.workers.get_mut(uid) else { return vec![] };
        let slots: Vec<u8> = known.slots.keys().copied().collect();
        let tasks: Vec<Uid> = known.slots.values().filter_map(|slot| slot.task.clone()).collect();
        let has_ended = known.pod.has_ended();
        if known.is_leaving() {
            self.stop_idle_calls(uid);
        }
        slots.into_iter().for_each(|slot| self.offer(uid, slot));
        for task in tasks.iter().filter(|_| has_ended) {
            if self.workers.leases.get(task).is_some_and(|lease| lease.orphan.is_some()) {
                self.end_lease(task, Kept::No(NotKept::Over));
                self.place_orphan(task);
            }
        }
        self.workers.forget_if_gone(uid);
        tasks.iter().filter_map(|task| self.known.get(task).map(|known| known.reference.clone())).collect()
    }

    /// Whoever hangs without a task is told to end.
    fn stop_idle_calls(&mut self, uid: &Uid) {
        let Some(known) = self.workers.workers.get_mut(uid) else { return };
        let idle = known.slots.values_mut().filter(|slot| slot.task.is_none());
        // Fails where its client has gone.
        idle.filter_map(|slot| slot.call.take()).for_each(|call| drop(call.answer.send(crate::live::Given::Stop)));
        let slots: Vec<u8> = known.slots.keys().copied().collect();
        slots.into_iter().for_each(|slot| self.offer(uid, slot));
    }

    fn offer_all(&mut self, pool: &Key) {
        let of_pool = self.workers.workers.iter().filter(|(_, known)| known.pool == *pool);
        let slots: Vec<(Uid, u8)> =
            of_pool.flat_map(|(uid, known)| known.slots.keys().map(|slot| (uid.clone(), *slot))).collect();
        slots.iter().for_each(|(uid, slot)| self.offer(uid, *slot));
    }

    /// Those of this pool whose pods are there.
    fn workers_of(&self, pool: &Key) -> impl Iterator<Item = &KnownWorker> {
        self.workers.workers.values().filter(move |worker| worker.pool == *pool && !worker.pod.is_gone())
    }

    fn look_at(&self, key: &Key, known: &KnownPool, settings: &crate::core::Settings, now: Timestamp) -> PoolLook {
        let deaf = self.workers.leases.values().filter(|lease| {
            lease.orphan.is_some()
                && self.workers.workers.get(&lease.worker).is_some_and(|worker| {
                    worker.pool == *key
                        && lease.told_to_stop.is_some_and(|told| {
                            told.due_at(known.pool.spec.heartbeat(), worker.pod.grace_seconds) <= now
                        })
                })
        });
        PoolLook {
            pool: known.pool.clone(),
            template: template::digest(&known.pool.spec, settings),
            deaf: deaf.map(|lease| lease.worker.to_string()).collect(),
            workers: self.workers_of(key).map(KnownWorker::as_worker).collect(),
            waiting: self.admission.waiting_for(key),
            faults: known.faults.in_a_row,
            last_fault: known.faults.last,
            uncounted: known.faults.uncounted,
            refused: known.faults.refused.clone(),
        }
    }
}

/// Namespace and name of a pool.
pub fn key_of(pool: &WorkerPool) -> Key {
    key(&pool.metadata)
}
