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

type Record<K> = Arc<Mutex<Vec<Seen<K>>>>;

pub struct Recorder<K> {
    seen: Record<K>,
    watching: JoinHandle<()>,
}

/// One version of an object.
#[derive(Clone, Debug)]
pub struct Seen<K> {
    pub object: K,
    /// The version with which it was deleted.
    pub deleted: bool,
    /// When the watch delivered it.
    pub at: Timestamp,
}

impl<K> Seen<K> {
    fn new(object: K, deleted: bool) -> Self {
        Self { object, deleted, at: Timestamp::now() }
    }
}

/// The longest that a watch may last.
const LONGEST: u32 = 290;
/// The status 410 of a watch that starts at a version the API server no longer knows.
const EXPIRED: u16 = 410;
const BETWEEN_WATCHES: Duration = Duration::from_millis(100);

impl<K> Recorder<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    pub(crate) async fn start(api: Api<K>) -> Self {
        let seen = Arc::default();
        let version = list(&api, &seen).await.expect("a list");
        let watching = tokio::spawn(watch(api, seen.clone(), version));
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

    /// Looks at all versions so far without copying them.
    pub fn look<T>(&self, look: impl FnOnce(&[Seen<K>]) -> T) -> T {
        look(&self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Records all objects of a list that were not seen in this version, and the end of those that are gone; returns the
/// list's version.
async fn list<K>(api: &Api<K>, record: &Record<K>) -> kube::Result<String>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let list = api.list(&ListParams::default()).await?;
    let mut seen = record.lock().unwrap_or_else(PoisonError::into_inner);
    let last: HashMap<_, _> = seen.iter().map(|seen| (seen.object.uid(), seen.clone())).collect();
    let listed: HashSet<_> = list.items.iter().map(ResourceExt::uid).collect();
    let gone = last.values().filter(|last| !last.deleted && !listed.contains(&last.object.uid()));
    seen.extend(gone.map(|last| Seen::new(last.object.clone(), true)));
    let is_news = |object: &K| {
        last.get(&object.uid()).is_none_or(|last| last.object.resource_version() != object.resource_version())
    };
    seen.extend(list.items.into_iter().filter(is_news).map(|object| Seen::new(object, false)));
    Ok(list.metadata.resource_version.unwrap_or_default())
}

/// Runs for ever. The API server ends the watch of a reader that is slow for a moment: it goes on where it ended.
/// One that was started anew may not know that place any more: then what there is is listed again.
async fn watch<K>(api: Api<K>, record: Record<K>, mut version: String)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    loop {
        let params = WatchParams::default().timeout(LONGEST);
        let mut is_expired = false;
        match api.watch(&params, &version).await {
            Ok(events) => {
                let mut events = events.boxed();
                while let Some(Ok(event)) = events.next().await {
                    let seen = match event {
                        WatchEvent::Added(object) | WatchEvent::Modified(object) => Seen::new(object, false),
                        WatchEvent::Deleted(object) => Seen::new(object, true),
                        WatchEvent::Bookmark(_) => continue,
                        WatchEvent::Error(error) => {
                            is_expired = error.code == EXPIRED;
                            break;
                        }
                    };
                    version = seen.object.resource_version().unwrap_or(version);
                    record.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
                }
            }
            Err(error) => {
                is_expired = matches!(error, kube::Error::Api(status) if status.code == EXPIRED);
            }
        }
        tokio::time::sleep(BETWEEN_WATCHES).await;
        if is_expired && let Ok(listed) = list(&api, &record).await {
            version = listed;
        }
    }
}

impl<K> Drop for Recorder<K> {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// The most objects at one moment for which `is_so` holds.
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
