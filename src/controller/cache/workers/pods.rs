//! The pods of workers, as the watch and answers show them. Judges none.

use std::collections::HashSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};

use super::super::{Cache, Inner, Uid};
use super::{KnownPool, KnownWorker, Slot, Workers};
use crate::api::{Task, WorkerPool};
use crate::core::attempt::facts::PodFacts;
use crate::core::attempt::lease::{Kept, NotKept};
use crate::core::launch::names;
use crate::core::pool::Calls;
use crate::core::queue::Key;
use crate::live::Given;

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
}

impl Workers {
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
                    outlived_oom: false,
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
        let tasks: Vec<Uid> = known.slots.values().filter_map(|slot| slot.task.clone()).collect();
        let has_ended = known.has_ended();
        if known.is_leaving() {
            self.stop_idle_calls(uid);
        }
        self.offer_slots_of(uid);
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
    pub(super) fn stop_idle_calls(&mut self, uid: &Uid) {
        let Some(known) = self.workers.workers.get_mut(uid) else { return };
        let idle = known.slots.values_mut().filter(|slot| slot.task.is_none());
        // Fails where its client has gone.
        idle.filter_map(|slot| slot.call.take()).for_each(|call| drop(call.answer.send(Given::Stop)));
        self.offer_slots_of(uid);
    }
}
