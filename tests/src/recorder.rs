//! Keeps every version of the objects of one kind in a namespace, in the order in which the API server made
//! them: for what must hold at every moment, and for showing that nothing is written.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

pub struct Recorder<K> {
    seen: Arc<Mutex<Vec<Seen<K>>>>,
    watching: JoinHandle<()>,
}

/// One version of an object.
#[derive(Clone, Debug)]
pub struct Seen<K> {
    pub object: K,
    /// The version with which it was deleted.
    pub deleted: bool,
    /// When the watch showed it.
    pub at: Timestamp,
}

impl<K> Seen<K> {
    fn new(object: K, deleted: bool) -> Self {
        Self { object, deleted, at: Timestamp::now() }
    }
}

/// The longest that a watch may last.
const LONGEST: u32 = 290;
const BETWEEN_WATCHES: Duration = Duration::from_millis(100);

impl<K> Recorder<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    pub(crate) async fn start(api: Api<K>) -> Self {
        let list = api.list(&ListParams::default()).await.expect("a list");
        let version = list.metadata.resource_version.clone().unwrap_or_default();
        let there: Vec<_> = list.items.into_iter().map(|object| Seen::new(object, false)).collect();
        let seen = Arc::new(Mutex::new(there));
        let record = seen.clone();
        let watching = tokio::spawn(async move {
            let mut version = version;
            // The API server ends the watch of a reader that is slow for a moment: it goes on where it ended.
            loop {
                let params = WatchParams::default().timeout(LONGEST);
                let Ok(events) = api.watch(&params, &version).await else {
                    tokio::time::sleep(BETWEEN_WATCHES).await;
                    continue;
                };
                let mut events = events.boxed();
                while let Some(Ok(event)) = events.next().await {
                    let seen = match event {
                        WatchEvent::Added(object) | WatchEvent::Modified(object) => Seen::new(object, false),
                        WatchEvent::Deleted(object) => Seen::new(object, true),
                        WatchEvent::Bookmark(_) => continue,
                        WatchEvent::Error(_) => break,
                    };
                    version = seen.object.resource_version().unwrap_or(version);
                    record.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
                }
            }
        });
        Self { seen, watching }
    }

    /// All versions so far, oldest first.
    pub fn seen(&self) -> Vec<Seen<K>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The versions of the object of this name so far.
    pub fn seen_of(&self, name: &str) -> Vec<K> {
        self.seen().into_iter().filter(|seen| seen.object.name_any() == name).map(|seen| seen.object).collect()
    }

    pub fn count(&self) -> usize {
        self.look(<[_]>::len)
    }

    /// Looks at the objects that are there, as they were last seen.
    pub fn look_at_present<T>(&self, look: impl FnOnce(&[&K]) -> T) -> T {
        self.look(|seen| {
            let mut present = HashMap::new();
            for Seen { object, deleted, .. } in seen {
                let uid = object.meta().uid.as_deref();
                if *deleted {
                    present.remove(&uid)
                } else {
                    present.insert(uid, object)
                };
            }
            look(&present.into_values().collect::<Vec<_>>())
        })
    }

    /// Looks at all versions so far where they lie.
    pub fn look<T>(&self, look: impl FnOnce(&[Seen<K>]) -> T) -> T {
        look(&self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K> Drop for Recorder<K> {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// How many objects at most were there at one moment for which `is_so`.
pub fn most_at_once<K: ResourceExt>(seen: &[Seen<K>], is_so: impl Fn(&K) -> bool) -> usize {
    let mut now = HashSet::new();
    let mut most = 0;
    for version in seen {
        let uid = version.object.uid().unwrap_or_default();
        if !version.deleted && is_so(&version.object) {
            now.insert(uid);
        } else {
            now.remove(&uid);
        }
        most = most.max(now.len());
    }
    most
}
