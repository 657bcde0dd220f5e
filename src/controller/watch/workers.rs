//! The pods of workers. They belong to no task for long, so they are not kept with the pods of tasks.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::Event;

use super::{TakeIn, Woken};
use crate::cluster::watch::Seen;
use crate::controller::cache::Cache;

pub struct Workers {
    cache: Arc<Cache>,
    /// The uids of those on the present list, so far.
    list: HashSet<String>,
}

impl Workers {
    pub fn new(cache: Arc<Cache>) -> Self {
        Self { cache, list: HashSet::new() }
    }

    /// One that cannot be read is there all the same, as it was seen last.
    fn is_there(&self, pod: &Seen<Pod>) -> Woken {
        match pod {
            Seen::Whole(pod) => self.cache.worker_seen(pod),
            Seen::InPart(_) => vec![],
        }
    }
}

impl TakeIn<Pod> for Workers {
    fn take_in(&mut self, event: Event<Seen<Pod>>) -> Woken {
        match event {
            Event::Apply(pod) => self.is_there(&pod),
            Event::Delete(Seen::Whole(pod)) => self.cache.worker_gone(&pod),
            Event::Delete(Seen::InPart(metadata)) => {
                self.cache.worker_is_not_there(metadata.uid.as_deref().unwrap_or_default())
            }
            Event::Init => {
                self.list.clear();
                vec![]
            }
            Event::InitApply(pod) => {
                self.list.extend(pod.meta().uid.clone());
                self.is_there(&pod)
            }
            Event::InitDone => self.cache.workers_listed(&std::mem::take(&mut self.list)),
        }
    }
}
