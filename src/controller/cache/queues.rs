//! The queues, the tasks that a change of one concerns, and the numbers for their statuses.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;

use super::{Cache, Inner, is_queued, key_beside};
use crate::api::{Task, TaskQueue};
use crate::core::launch::policy;
use crate::core::queue::{Key, QueueCounts, Quota};

impl Cache {
    /// Takes in a queue as it is now; returns the tasks to look at for it.
    pub fn queue_changed(&self, key: Key, queue: Option<&Arc<TaskQueue>>) -> Vec<ObjectRef<Task>> {
        let mut inner = self.lock();
        match queue {
            Some(queue) => inner.queues.insert(key.clone(), queue.clone()),
            None => inner.queues.remove(&key),
        };
        let before = inner.admission.quota(&key).cloned();
        inner.admission.set_quota(key.clone(), queue.map(|queue| Quota::of(&queue.spec)));
        if inner.admission.quota(&key) == before.as_ref() {
            return vec![];
        }
        self.place_concerned(&mut inner, |task| key == key_beside(task, &task.spec.queue))
    }

    /// A whole list of queues was shown: a queue that is not on it is gone.
    pub fn queues_listed(&self, listed: &HashSet<Key>) -> Vec<ObjectRef<Task>> {
        let known: Vec<Key> = self.lock().queues.keys().cloned().collect();
        let gone = known.into_iter().filter(|key| !listed.contains(key));
        gone.flat_map(|key| self.queue_changed(key, None)).collect()
    }

    /// Each queue with the number of tasks that wait in it and of slots that are held in it: by a task, or by the Job or
    /// pod of one that is gone.
    pub fn queues(&self, now: Timestamp) -> Vec<(Arc<TaskQueue>, QueueCounts)> {
        let mut inner = self.lock();
        let admission = &inner.admission;
        let of_admitted = |key: &Key| QueueCounts::of_admitted(admission.admitted_in(key), admission.used_in(key));
        let mut counts: HashMap<Key, QueueCounts> =
            inner.queues.keys().map(|key| (key.clone(), of_admitted(key))).collect();
        self.count_waiting(&inner, &mut counts);
        counts.iter_mut().for_each(|(key, counts)| inner.tell_of_first(key, counts, now));
        let queues = inner.queues.iter();
        queues.map(|(key, queue)| (queue.clone(), counts.remove(key).unwrap_or_default())).collect()
    }

    fn count_waiting(&self, inner: &Inner, counts: &mut HashMap<Key, QueueCounts>) {
        // A task that got a slot a moment ago may still be shown as one that waits.
        let waits = |task: &Task| {
            is_queued(task) && !inner.admission.is_admitted(task.metadata.uid.as_deref().unwrap_or_default())
        };
        for task in self.tasks.state().iter().filter(|task| !inner.queues.is_empty() && waits(task)) {
            let kind = inner.parsed_types.get(&key_beside(task, &task.spec.type_)).map(|kind| &kind.spec);
            if let Some(counts) = counts.get_mut(&key_beside(task, &task.spec.queue)) {
                counts.count(task, policy::priority(&task.spec, kind));
            }
        }
    }
}
