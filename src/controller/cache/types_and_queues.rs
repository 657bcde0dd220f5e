//! What surrounds tasks: types, queues and namespaces, and whom a change of them concerns. Never waits for one to appear.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kube::runtime::reflector::ObjectRef;

use super::{Cache, Inner, is_queued, key_beside, namespace_of};
use crate::api::{Task, TaskQueue, TaskType};
use crate::core::ParsedType;
use crate::core::launch::policy;
use crate::core::queue::{Key, QueueCounts, Quota};

fn is_final(task: &Task) -> bool {
    task.status.as_ref().is_some_and(|status| status.state.is_final())
}

impl Cache {
    /// Takes in a type as it is now; returns the tasks to look at for it. A change of its status alone
    /// concerns nobody.
    pub fn type_changed(&self, key: Key, kind: Option<&TaskType>) -> Vec<ObjectRef<Task>> {
        let mut inner = self.lock();
        let read = kind.map(|kind| Arc::new(ParsedType::of(kind)));
        let before = match (&read, kind) {
            (Some(read), Some(kind)) => {
                inner.types.insert(key.clone(), Arc::new(kind.clone()));
                inner.parsed_types.insert(key.clone(), read.clone())
            }
            _ => {
                inner.types.remove(&key);
                inner.parsed_types.remove(&key)
            }
        };
        if before == read {
            return vec![];
        }
        let bounds = read.as_ref().map(|kind| (kind.spec.max_concurrent, kind.spec.max_concurrent_per_kb_id));
        let (most, most_per_key) = bounds.unwrap_or_default();
        inner.admission.set_type_limits(key.clone(), most, most_per_key);
        self.place_concerned(&mut inner, |task| key == key_beside(task, &task.spec.type_))
    }

    /// Takes in a queue as it is now; returns the tasks to look at for it.
    pub fn queue_changed(&self, key: Key, queue: Option<&TaskQueue>) -> Vec<ObjectRef<Task>> {
        let mut inner = self.lock();
        match queue {
            Some(queue) => inner.queues.insert(key.clone(), Arc::new(queue.clone())),
            None => inner.queues.remove(&key),
        };
        let before = inner.admission.quota(&key).cloned();
        inner.admission.set_quota(key.clone(), queue.map(|queue| Quota::of(&queue.spec)));
        if inner.admission.quota(&key) == before.as_ref() {
            return vec![];
        }
        self.place_concerned(&mut inner, |task| key == key_beside(task, &task.spec.queue))
    }

    /// Takes in that a namespace is being deleted, or is gone.
    pub fn namespace_changed(&self, name: String, ends: bool) {
        let mut inner = self.lock();
        let changed = if ends { inner.ending.insert(name.clone()) } else { inner.ending.remove(&name) };
        if changed {
            tracing::info!(
                namespace = name,
                ends,
                "a namespace is being deleted, or gone: nothing is begun while it ends"
            );
            self.place_concerned(&mut inner, |task| namespace_of(task) == name);
        }
    }

    /// The list of namespaces is complete, and these of them are being deleted.
    pub fn namespaces_listed(&self, ending: &HashSet<String>) {
        let known: Vec<_> = self.lock().ending.difference(ending).cloned().collect();
        known.into_iter().for_each(|name| self.namespace_changed(name, false));
        ending.iter().for_each(|name| self.namespace_changed(name.clone(), true));
    }

    /// A whole list of types was shown: what is not on it is gone.
    pub fn types_listed(&self, listed: &HashSet<Key>) -> Vec<ObjectRef<Task>> {
        let known: Vec<Key> = self.lock().parsed_types.keys().cloned().collect();
        let gone = known.into_iter().filter(|key| !listed.contains(key));
        gone.flat_map(|key| self.type_changed(key, None)).collect()
    }

    pub fn queues_listed(&self, listed: &HashSet<Key>) -> Vec<ObjectRef<Task>> {
        let known: Vec<Key> = self.lock().queues.keys().cloned().collect();
        let gone = known.into_iter().filter(|key| !listed.contains(key));
        gone.flat_map(|key| self.queue_changed(key, None)).collect()
    }

    pub fn types(&self) -> Vec<Arc<TaskType>> {
        self.lock().types.values().cloned().collect()
    }

    /// Each queue with what waits in it and what holds a slot of it, whether there is still a task to show for that
    /// or not.
    pub fn queues(&self) -> Vec<(Arc<TaskQueue>, QueueCounts)> {
        let inner = self.lock();
        let of_admitted = |key: &Key| (key.clone(), QueueCounts::of_admitted(inner.admission.admitted_in(key)));
        let mut summaries: HashMap<Key, QueueCounts> = inner.queues.keys().map(of_admitted).collect();
        // What got a slot a moment ago may still be shown as one that waits.
        let waits = |task: &Task| {
            is_queued(task) && !inner.admission.is_admitted(task.metadata.uid.as_deref().unwrap_or_default())
        };
        for task in self.tasks.state().iter().filter(|task| !inner.queues.is_empty() && waits(task)) {
            let kind = inner.parsed_types.get(&key_beside(task, &task.spec.type_)).map(|kind| &kind.spec);
            if let Some(counts) = summaries.get_mut(&key_beside(task, &task.spec.queue)) {
                counts.count(task, policy::priority(&task.spec, kind));
            }
        }
        let queues = inner.queues.iter();
        queues.map(|(key, queue)| (queue.clone(), summaries.remove(key).unwrap_or_default())).collect()
    }

    pub fn type_of(&self, task: &Task) -> Option<Arc<ParsedType>> {
        self.lock().parsed_types.get(&key_beside(task, &task.spec.type_)).cloned()
    }

    /// Places anew all unfinished tasks that something they depend on has changed for.
    fn place_concerned(&self, inner: &mut Inner, concerned: impl Fn(&Task) -> bool) -> Vec<ObjectRef<Task>> {
        let tasks = self.tasks.state();
        let concerned: Vec<_> = tasks.iter().filter(|task| !is_final(task) && concerned(task)).collect();
        concerned.iter().for_each(|task| self.place_if_current(inner, task));
        self.ring_admission();
        concerned.into_iter().map(|task| ObjectRef::from_obj(task.as_ref())).collect()
    }
}
