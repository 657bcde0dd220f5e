//! The types, queues and worker pools of the served namespaces with their statuses, kept up to date by their watches. Knows no task.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures::StreamExt;
use kube::Resource;
use kube::runtime::watcher::Event;
use parking_lot::Mutex;

use crate::api::{TaskQueue, TaskType, WorkerPool};
use crate::cluster::watch::{Scope, Seen, Shown, Watches};
use crate::core::queue::Key;
use crate::serving::problem::{Problem, ProblemType};

pub struct Catalog {
    /// The capacity in tasks of a queue named default that nobody created.
    pub default_queue_tasks: i32,
    types: Mutex<Table<TaskType>>,
    queues: Mutex<Table<TaskQueue>>,
    pools: Mutex<Table<WorkerPool>>,
}

struct Table<K> {
    objects: BTreeMap<Key, Arc<K>>,
    /// Those that the present initial lists have shown so far.
    listing: HashSet<Key>,
    /// The namespaces of which a whole list was shown.
    listed: HashSet<Arc<str>>,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), listing: HashSet::new(), listed: HashSet::new() }
    }
}

impl Catalog {
    pub fn new(default_queue_tasks: i32) -> Self {
        Self { default_queue_tasks, types: Mutex::default(), queues: Mutex::default(), pools: Mutex::default() }
    }

    /// Keeps it up to date. Runs for ever.
    pub async fn run(self: Arc<Self>, watches: Arc<Watches>, namespaces: Vec<String>) {
        let scopes = || namespaces.iter().map(|namespace| Scope::of(Some(namespace))).collect();
        let mut types = watches.types.subscribe(scopes());
        let mut queues = watches.queues.subscribe(scopes());
        let mut pools = watches.pools.subscribe(scopes());
        loop {
            tokio::select! {
                Some((source, shown)) = types.next() => self.types.lock().take_in(&source, shown, &namespaces),
                Some((source, shown)) = queues.next() => self.queues.lock().take_in(&source, shown, &namespaces),
                Some((source, shown)) = pools.next() => self.pools.lock().take_in(&source, shown, &namespaces),
                else => return,
            }
        }
    }

    /// The types of these namespaces, by namespace and name.
    pub fn types(&self, namespaces: &[String]) -> Result<Vec<(Key, Arc<TaskType>)>, Problem> {
        self.types.lock().all(namespaces)
    }

    /// The queues of these namespaces that somebody created, by namespace and name.
    pub fn queues(&self, namespaces: &[String]) -> Result<Vec<(Key, Arc<TaskQueue>)>, Problem> {
        self.queues.lock().all(namespaces)
    }

    /// The worker pools of these namespaces, by namespace and name.
    pub fn pools(&self, namespaces: &[String]) -> Result<Vec<(Key, Arc<WorkerPool>)>, Problem> {
        self.pools.lock().all(namespaces)
    }
}

impl<K: Resource<DynamicType = ()>> Table<K> {
    fn take_in(&mut self, source: &Scope, shown: Shown<K>, namespaces: &[String]) {
        match shown {
            Shown::Event(Event::Apply(object)) => self.put(object),
            Shown::Event(Event::Delete(object)) => drop(self.objects.remove(&key(&object))),
            Shown::Event(Event::Init) => self.listing.retain(|key| !source.covers(&key.0)),
            Shown::Event(Event::InitApply(object)) => {
                self.listing.insert(key(&object));
                self.put(object);
            }
            Shown::Event(Event::InitDone) => {
                let listing = &self.listing;
                self.objects.retain(|key, _| !source.covers(&key.0) || listing.contains(key));
                let covered = namespaces.iter().filter(|namespace| source.covers(namespace));
                self.listed.extend(covered.map(|namespace| Arc::from(namespace.as_str())));
            }
            // What happened meanwhile is shown when it goes on.
            Shown::Broke | Shown::Resumed => {}
        }
    }

    /// One that cannot be read stays as it was known.
    fn put(&mut self, object: Seen<K>) {
        let key = key(&object);
        if let Seen::Whole(object) = object {
            self.objects.insert(key, object);
        }
    }

    fn all(&self, namespaces: &[String]) -> Result<Vec<(Key, Arc<K>)>, Problem> {
        if !namespaces.iter().all(|namespace| self.listed.contains(namespace.as_str())) {
            return Err(
                ProblemType::NotReady.because("types, queues and pools are still being read; ask again in a moment")
            );
        }
        let is_meant = |key: &Key| namespaces.iter().any(|namespace| **namespace == *key.0);
        let objects = self.objects.iter().filter(|(key, _)| is_meant(key));
        Ok(objects.map(|(key, object)| (key.clone(), object.clone())).collect())
    }
}

fn key<K: Resource<DynamicType = ()>>(object: &Seen<K>) -> Key {
    let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
    let metadata = object.meta();
    (text(&metadata.namespace), text(&metadata.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::TaskQueueSpec;

    fn queue(namespace: &str, name: &str) -> Seen<TaskQueue> {
        let mut queue = TaskQueue::new(name, TaskQueueSpec::default());
        queue.metadata.namespace = Some(namespace.into());
        Seen::Whole(Arc::new(queue))
    }

    #[test]
    fn a_list_speaks_for_its_own_namespaces_and_nothing_is_told_before_it() {
        let namespaces = ["a".to_owned(), "b".to_owned()];
        let names = |table: &Table<TaskQueue>| {
            let all = table.all(&namespaces).ok()?;
            Some(all.into_iter().map(|((namespace, name), _)| format!("{namespace}/{name}")).collect::<Vec<_>>())
        };
        let mut table = Table::default();
        let mut show = |namespace: &str, event| {
            table.take_in(&Scope::of(Some(namespace)), Shown::Event(event), &namespaces);
            names(&table)
        };
        show("a", Event::Init);
        show("a", Event::InitApply(queue("a", "one")));
        show("a", Event::InitApply(queue("a", "two")));
        assert_eq!(show("a", Event::InitDone), None, "of b nothing is known");
        show("b", Event::Init);
        assert_eq!(show("b", Event::InitDone), Some(vec!["a/one".into(), "a/two".into()]));
        show("b", Event::Apply(queue("b", "three")));
        show("a", Event::Init);
        show("a", Event::InitApply(queue("a", "two")));
        assert_eq!(show("a", Event::InitDone), Some(vec!["a/two".into(), "b/three".into()]));
        assert_eq!(show("a", Event::Delete(queue("a", "two"))), Some(vec!["b/three".into()]));
    }
}
