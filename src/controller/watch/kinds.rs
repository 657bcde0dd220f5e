//! The kinds of object that are kept beside the tasks, and what the cache does with each. One that cannot be read is there
//! all the same: nothing of it is taken to be gone.

use std::collections::HashSet;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ObjectMeta;
use kube::runtime::watcher::Event;

use super::{TakeIn, Woken};
use crate::api::{TaskQueue, TaskType, WorkerPool};
use crate::cluster::watch::Seen;
use crate::controller::cache::{Cache, key};
use crate::core::queue::Key;

/// A kind of object that is watched.
pub trait Watched: Sized {
    /// By this, a list tells which of them are there.
    type Id: Eq + Hash + Send;

    fn id(metadata: &ObjectMeta) -> Self::Id;

    /// A list is about to be asked for.
    fn list_begins(_: &Cache) {}

    fn changed(object: &Arc<Self>, cache: &Cache) -> Woken;

    fn gone(object: &Self, cache: &Cache) -> Woken;

    /// One that cannot be read is there, or gone.
    fn unread(metadata: &ObjectMeta, is_gone: bool, cache: &Cache) -> Woken;

    /// A whole list was shown: what is not on it is gone.
    fn listed(ids: &HashSet<Self::Id>, cache: &Cache) -> Woken;
}

/// Takes in one such kind.
pub struct ByList<K: Watched> {
    cache: Arc<Cache>,
    /// Those on the present list, so far.
    list: HashSet<K::Id>,
    kind: PhantomData<fn(K)>,
}

impl<K: Watched> ByList<K> {
    pub fn new(cache: Arc<Cache>) -> Self {
        Self { cache, list: HashSet::new(), kind: PhantomData }
    }

    fn is_there(&self, object: &Seen<K>) -> Woken {
        match object {
            Seen::Whole(object) => K::changed(object, &self.cache),
            Seen::InPart(metadata) => K::unread(metadata, false, &self.cache),
        }
    }
}

impl<K: Watched + kube::Resource<DynamicType = ()>> TakeIn<K> for ByList<K> {
    fn take_in(&mut self, event: Event<Seen<K>>) -> Woken {
        match event {
            Event::Apply(object) => self.is_there(&object),
            Event::Delete(Seen::Whole(object)) => K::gone(&object, &self.cache),
            Event::Delete(Seen::InPart(metadata)) => K::unread(&metadata, true, &self.cache),
            Event::Init => {
                self.list.clear();
                K::list_begins(&self.cache);
                vec![]
            }
            Event::InitApply(object) => {
                self.list.insert(K::id(object.meta()));
                self.is_there(&object)
            }
            Event::InitDone => K::listed(&std::mem::take(&mut self.list), &self.cache),
        }
    }
}

impl Watched for TaskType {
    type Id = Key;

    fn id(metadata: &ObjectMeta) -> Key {
        key(metadata)
    }

    fn changed(kind: &Arc<Self>, cache: &Cache) -> Woken {
        cache.type_changed(key(&kind.metadata), Some(kind))
    }

    fn gone(kind: &Self, cache: &Cache) -> Woken {
        cache.type_changed(key(&kind.metadata), None)
    }

    /// Whoever needs it waits, as for one that does not exist.
    fn unread(metadata: &ObjectMeta, _: bool, cache: &Cache) -> Woken {
        cache.type_changed(key(metadata), None)
    }

    fn listed(keys: &HashSet<Key>, cache: &Cache) -> Woken {
        cache.types_listed(keys)
    }
}

impl Watched for TaskQueue {
    type Id = Key;

    fn id(metadata: &ObjectMeta) -> Key {
        key(metadata)
    }

    fn changed(queue: &Arc<Self>, cache: &Cache) -> Woken {
        cache.queue_changed(key(&queue.metadata), Some(queue))
    }

    fn gone(queue: &Self, cache: &Cache) -> Woken {
        cache.queue_changed(key(&queue.metadata), None)
    }

    fn unread(metadata: &ObjectMeta, _: bool, cache: &Cache) -> Woken {
        cache.queue_changed(key(metadata), None)
    }

    fn listed(keys: &HashSet<Key>, cache: &Cache) -> Woken {
        cache.queues_listed(keys)
    }
}

/// No task waits for a pool itself: what its workers ask for has tasks looked at.
impl Watched for WorkerPool {
    type Id = Key;

    fn id(metadata: &ObjectMeta) -> Key {
        key(metadata)
    }

    fn changed(pool: &Arc<Self>, cache: &Cache) -> Woken {
        cache.pool_changed(key(&pool.metadata), Some(pool));
        vec![]
    }

    fn gone(pool: &Self, cache: &Cache) -> Woken {
        cache.pool_changed(key(&pool.metadata), None);
        vec![]
    }

    /// Nothing is made for it, and its workers go on.
    fn unread(metadata: &ObjectMeta, _: bool, cache: &Cache) -> Woken {
        cache.pool_changed(key(metadata), None);
        vec![]
    }

    fn listed(keys: &HashSet<Key>, cache: &Cache) -> Woken {
        cache.pools_listed(keys);
        vec![]
    }
}

impl Watched for Job {
    type Id = String;

    fn id(metadata: &ObjectMeta) -> String {
        metadata.uid.clone().unwrap_or_default()
    }

    fn list_begins(cache: &Cache) {
        cache.jobs_list_begins();
    }

    fn changed(job: &Arc<Self>, cache: &Cache) -> Woken {
        let its_task = cache.job_seen(job);
        its_task.into_iter().chain(cache.job_teaches(job)).collect()
    }

    fn gone(job: &Self, cache: &Cache) -> Woken {
        cache.job_gone(job).into_iter().collect()
    }

    fn unread(metadata: &ObjectMeta, is_gone: bool, cache: &Cache) -> Woken {
        let job = Self { metadata: metadata.clone(), ..Self::default() };
        cache.job_in_part(&job, is_gone).into_iter().collect()
    }

    fn listed(uids: &HashSet<String>, cache: &Cache) -> Woken {
        cache.jobs_listed(uids)
    }
}

impl Watched for Pod {
    type Id = String;

    fn id(metadata: &ObjectMeta) -> String {
        metadata.uid.clone().unwrap_or_default()
    }

    fn list_begins(cache: &Cache) {
        cache.pods_list_begins();
    }

    fn changed(pod: &Arc<Self>, cache: &Cache) -> Woken {
        let its_task = cache.pod_seen(pod);
        its_task.into_iter().chain(cache.pod_teaches(pod)).collect()
    }

    fn gone(pod: &Self, cache: &Cache) -> Woken {
        cache.pod_gone(pod).into_iter().collect()
    }

    fn unread(metadata: &ObjectMeta, is_gone: bool, cache: &Cache) -> Woken {
        let pod = Self { metadata: metadata.clone(), ..Self::default() };
        cache.pod_in_part(&pod, is_gone).into_iter().collect()
    }

    fn listed(uids: &HashSet<String>, cache: &Cache) -> Woken {
        cache.pods_listed(uids)
    }
}
