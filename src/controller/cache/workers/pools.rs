//! The pools and the pods of their workers, as the watches show them, and what a decision about a pool depends on.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use tokio::sync::Notify;

use super::super::{Cache, Inner, Uid, key};
use super::{Faults, KnownPool, KnownWorker, Slot};
use crate::api::{Task, WorkerPool};
use crate::core::Settings;
use crate::core::attempt::facts::{PodFacts, Why};
use crate::core::attempt::lease::{Kept, NotKept};
use crate::core::launch::names;
use crate::core::pool::{Calls, Worker, count, template};
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
    /// Workers that were replaced for a fault, beyond those that the status counts.
    pub uncounted: i64,
    /// Why no worker can be made.
    pub refused: Option<String>,
    /// The uids of workers that were told to drop what nobody wants any longer, and until when each may go on with it.
    pub told_to_drop: Vec<(String, Timestamp)>,
}

/// Name and uid of the pool that a pod says it is a worker of, by the owner that only we make. The policy keeps our label for
/// us.
fn pool_of(pod: &Pod) -> Option<(String, String)> {
    pod.labels().contains_key(names::LABEL_POOL).then_some(())?;
    let is_pool = |owner: &&OwnerReference| {
        let of_ours = owner.api_version.split_once('/').is_some_and(|(group, _)| group == WorkerPool::group(&()));
        owner.controller == Some(true) && owner.kind == WorkerPool::kind(&()) && of_ours
    };
    let owner = pod.owner_references().iter().find(is_pool)?;
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
        let uid: Uid = facts.uid.as_str().into();
        let mut inner = self.lock();
        // One that is known stays a worker, also when somebody takes its label or its owner away.
        let known = inner.workers.workers.get(&uid).map(|known| known.pool.clone());
        let Some(pool) = known.or_else(|| inner.workers.pool_of(pod, &facts)) else { return vec![] };
        let template = pod.annotations().get(names::ANNOTATION_TEMPLATE).cloned().unwrap_or_default();
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

    /// The pools that there are.
    pub fn pools(&self) -> Vec<Key> {
        self.lock().workers.pools.keys().cloned().collect()
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
    fn note(&mut self, now: Timestamp) {
        self.in_a_row += 1;
        self.last = Some(now);
        self.uncounted += 1;
    }
}

impl super::Workers {
    /// The pool of a worker that is seen first: not a later one of the same name.
    fn pool_of(&self, pod: &Pod, facts: &PodFacts) -> Option<Key> {
        let (name, uid) = pool_of(pod)?;
        let key: Key = (facts.namespace.as_str().into(), name.into());
        let is_another = |known: &KnownPool| known.pool.metadata.uid.as_deref() != Some(uid.as_str());
        (!self.pools.get(&key).is_some_and(is_another)).then_some(key)
    }

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
                    at_work_when_it_ended: None,
                };
                // Leases that were seen before their worker was.
                for (task, lease) in self.leases.iter().filter(|(_, lease)| lease.worker == *uid) {
                    let state = known.slots.entry(lease.slot).or_insert_with(|| Slot::new(lease.admitted_at));
                    (state.task, state.beats) = (Some(task.clone()), lease.beats);
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
        if self.workers.workers.get(uid).is_some_and(|known| known.has_ended()) {
            self.workers.note_end(uid);
        }
        let Some(known) = self.workers.workers.get_mut(uid) else { return vec![] };
        let slots: Vec<u8> = known.slots.keys().copied().collect();
        let tasks: Vec<Uid> = known.slots.values().filter_map(|slot| slot.task.clone()).collect();
        let has_ended = known.has_ended();
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
            uncounted: known.faults.uncounted,
            refused: known.faults.refused.clone(),
        }
    }
}

/// Namespace and name of a pool.
pub fn key_of(pool: &WorkerPool) -> Key {
    key(&pool.metadata)
}
