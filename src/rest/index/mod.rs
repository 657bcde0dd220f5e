//! The index of the tasks, types and queues of the served namespaces: all that a status answer needs, and no payload, result
//! or list of attempts.
//!
//! Filled by the watches, and by what the API server answered to our own writes, whichever is newer. Every method
//! is short and none waits, so one plain lock is enough.

pub mod feed;
mod subscription;
mod tables;
mod task;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use kube::api::ObjectMeta;
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;

use crate::api::{Progress, Quantity, State, Task, TaskQueue, TaskType, TaskTypeSpec};
use crate::cluster::version;
use crate::core::Settings;
use crate::core::queue::{Key, Told};
use crate::live::Live;
use tables::{Tables, namespace_of};

pub use subscription::Subscription;
pub use task::{IndexedTask, Uid};

pub struct Index {
    tables: Arc<Mutex<Tables>>,
    live: Arc<Live>,
}

impl Default for Index {
    fn default() -> Self {
        Self::new(Arc::default(), Settings::default())
    }
}

/// How full a queue is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueUse {
    /// Tasks that hold a slot.
    pub tasks: i64,
    /// The resources that they request together.
    pub resources: BTreeMap<String, Quantity>,
    /// Why the first task that waits does not start.
    pub waiting_for: Option<String>,
}

impl Index {
    pub fn new(live: Arc<Live>, settings: Settings) -> Self {
        Self { tables: Arc::new(Mutex::new(Tables::new(settings))), live }
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock()
    }

    /// Somebody who waits for changes of this task, which need not be known yet.
    pub fn subscribe(&self, uid: &str) -> Subscription {
        Subscription::of(&self.tables, uid)
    }

    pub fn get(&self, uid: &str) -> Option<Arc<IndexedTask>> {
        self.lock().tasks.get(uid).cloned()
    }

    pub fn named(&self, namespace: &str, name: &str) -> Option<Arc<IndexedTask>> {
        let tables = self.lock();
        let uid = tables.names.get(&(namespace.into(), name.into()))?;
        tables.tasks.get(uid).cloned()
    }

    /// It is known that this task is gone.
    pub fn is_gone(&self, uid: &str) -> bool {
        self.lock().gone.contains(uid)
    }

    /// The task need not be waited for: it is gone, or was waited for before.
    pub fn is_not_awaited(&self, uid: &str) -> bool {
        let tables = self.lock();
        tables.gone.contains(uid) || tables.in_vain.contains(uid)
    }

    /// The client named this uid, and the watch did not show it in time: later requests do not wait for it.
    pub fn sought_in_vain(&self, uid: &str) {
        self.lock().in_vain.insert(uid.into(), ());
    }

    /// Some namespace may have tasks that are not known here, however long they are waited for.
    pub fn is_behind(&self) -> bool {
        !self.lock().behind.is_empty()
    }

    /// The watch broke: what is there now is not known until a whole list was read.
    pub fn falls_behind(&self, namespace: &str) {
        self.lock().behind.entry(namespace.into()).or_default();
    }

    /// The watch has caught up with what happened while it was broken.
    pub fn catches_up(&self, namespace: &str) {
        self.lock().behind.remove(namespace);
    }

    /// This task is known in this version, or a later one, or to be gone.
    pub fn has_reached(&self, task: &ObjectMeta) -> bool {
        let inner = self.lock();
        let uid = task.uid.as_deref().unwrap_or_default();
        let unread = inner.unread.get(uid).map(|(_, version)| *version);
        let known = inner.tasks.get(uid).map(|known| known.version).max(unread);
        known >= Some(version(task)) || inner.gone.contains(uid)
    }

    /// A whole list is about to be read.
    pub fn list_begins(&self, namespace: &str) {
        self.lock().behind.insert(namespace.into(), HashSet::new());
    }

    pub fn kind(&self, namespace: &str, name: &str) -> Option<Arc<TaskTypeSpec>> {
        self.lock().types.get(&(namespace.into(), name.into())).cloned()
    }

    /// How far the work is: by its own last word while it runs, else as its task says.
    pub fn progress(&self, known: &IndexedTask) -> Option<Progress> {
        let runs = known.state == State::Processing;
        let attempt = known.head.attempt;
        let live = runs.then(|| self.live.progress(&known.uid, &known.run_id, known.began(), attempt)).flatten();
        live.or_else(|| known.progress.as_deref().cloned())
    }

    /// Wakes those who follow this task: something may have changed that the watch does not show.
    pub fn tell(&self, uid: &str) {
        self.lock().tell(uid);
    }

    pub fn tell_all(&self) {
        self.lock().readers.values().for_each(|reader| reader.send_replace(()));
    }

    /// What a queued task waits for now, where that is more than its status says.
    pub fn waits_for(&self, known: &IndexedTask) -> Option<Told> {
        self.waits_for_at(known, Timestamp::now())
    }

    fn waits_for_at(&self, known: &IndexedTask, now: Timestamp) -> Option<Told> {
        if known.state != State::Queued || !known.is_in_cluster() {
            return None;
        }
        let mut tables = self.lock();
        let explanation = tables.waits.explain(&known.uid, now)?;
        let first = explanation.turn.as_ref().and_then(|turn| tables.tasks.get(&turn.first));
        let first = first.map(|first| first.head.name.clone());
        explanation.told(known.head.reason, known.head.message.as_deref(), first.as_deref())
    }

    /// How full a queue is, whether somebody created it or not.
    pub fn use_of(&self, queue: &Key) -> QueueUse {
        let mut tables = self.lock();
        let (tasks, used, first) = tables.waits.of_queue(queue, Timestamp::now());
        let waiting_for = first.and_then(|(uid, explanation)| {
            let first = tables.tasks.get(&uid)?;
            Some(explanation.of_queue(&first.head.name)).filter(|told| !told.is_empty())
        });
        let resources = used.into_iter().map(|(name, amount)| (name, amount.into())).collect();
        QueueUse { tasks, resources, waiting_for }
    }

    /// Up to `limit` tasks that `wanted` takes, newest first, from behind `after`.
    pub fn page(
        &self,
        after: Option<(Timestamp, Uid)>,
        limit: usize,
        wanted: impl Fn(&IndexedTask) -> bool,
    ) -> Vec<Arc<IndexedTask>> {
        let tables = self.lock();
        let end = after.unwrap_or((Timestamp::MAX, "~".into()));
        let tasks = tables.ages.range(..end).rev().filter_map(|(_, uid)| tables.tasks.get(uid));
        tasks.filter(|known| wanted(known)).take(limit).cloned().collect()
    }

    /// Shows every task, in no order.
    pub fn each(&self, look: impl FnMut(&IndexedTask)) {
        self.lock().tasks.values().map(AsRef::as_ref).for_each(look);
    }

    /// A task as the API server answered a call of ours. The watch may have shown its deletion before.
    pub fn task_seen(&self, task: &Task) {
        let Some(uid) = task.metadata.uid.as_deref() else { return };
        let mut tables = self.lock();
        if tables.gone.contains(uid) {
            return;
        }
        let is_known = tables.tasks.contains_key(uid);
        if let Some(unlisted) = tables.behind.get_mut(&namespace_of(task)).filter(|_| !is_known) {
            unlisted.insert(uid.into());
        }
        tables.see(task);
    }

    /// A task as the watch shows it: it is there, whatever was thought of it.
    pub fn task_shown(&self, task: &Task) {
        let mut tables = self.lock();
        let uid = task.metadata.uid.as_deref().unwrap_or_default();
        tables.gone.remove(uid);
        tables.unread.remove(uid);
        tables.see(task);
    }

    /// A task as a whole list shows it, which goes before all that was known: after a cluster was restored from
    /// a backup, versions are smaller than they were.
    pub fn task_listed(&self, task: &Task) {
        let mut tables = self.lock();
        let uid = task.metadata.uid.as_deref().unwrap_or_default();
        tables.gone.remove(uid);
        tables.unread.remove(uid);
        tables.remove(uid);
        tables.see(task);
    }

    /// A task that is there and cannot be read: it stays as it was known.
    pub fn task_unread(&self, task: &ObjectMeta) {
        let namespace = task.namespace.as_deref().unwrap_or_default().into();
        if let Some(uid) = task.uid.as_deref() {
            self.lock().unread.insert(uid.into(), (namespace, version(task)));
        }
    }

    pub fn task_gone(&self, task: &ObjectMeta) {
        if let Some(uid) = task.uid.as_deref() {
            let mut tables = self.lock();
            tables.unread.remove(uid);
            tables.forget(uid.into());
        }
    }

    /// A whole list was read, as things were after it began: a task that is not on it is gone, except where the API
    /// server told us of it meanwhile.
    pub fn tasks_listed(&self, namespace: &str, listed: &HashSet<Uid>) {
        let mut tables = self.lock();
        let unlisted = tables.behind.remove(namespace).unwrap_or_default();
        tables.unread.retain(|uid, (of, _)| **of != *namespace || listed.contains(uid));
        let missing = tables.tasks.values().filter(|known| {
            &*known.head.namespace == namespace && !listed.contains(&known.uid) && !unlisted.contains(&known.uid)
        });
        let missing: Vec<Uid> = missing.map(|known| known.uid.clone()).collect();
        missing.into_iter().for_each(|uid| tables.forget(uid));
    }

    /// A type as it is now, or `None` where there is none. The priority of a task may follow from it.
    pub fn type_changed(&self, key: Key, kind: Option<&TaskType>) {
        let mut tables = self.lock();
        tables.waits.set_type(&key, kind);
        let spec = kind.map(|kind| Arc::new(TaskTypeSpec { template: Value::Null, ..kind.spec.clone() }));
        let before = match &spec {
            Some(spec) => tables.types.insert(key.clone(), spec.clone()),
            None => tables.types.remove(&key),
        };
        if before == spec {
            return;
        }
        let of_type =
            tables.tasks.values().filter(|known| known.head.namespace == key.0 && known.head.task_type == key.1);
        let changed: Vec<IndexedTask> = of_type.filter_map(|known| known.under(spec.as_deref())).collect();
        for known in changed {
            tables.put(known);
        }
    }

    /// A queue as it is now, or `None` where there is none.
    pub fn queue_changed(&self, key: &Key, queue: Option<&TaskQueue>) {
        self.lock().waits.set_queue(key, queue);
    }

    pub fn queues_listed(&self, namespace: &str, listed: &HashSet<Arc<str>>) {
        self.lock().waits.queues_listed(namespace, listed);
    }

    /// A task of a namespace that is not served: it counts as long as it holds a slot.
    pub fn task_elsewhere(&self, task: &Task) {
        self.lock().waits.set_holder(task);
    }

    /// A task of a namespace that is not served is gone.
    pub fn gone_elsewhere(&self, uid: &str) {
        self.lock().waits.forget_task(uid);
    }

    pub fn types_listed(&self, namespace: &str, listed: &HashSet<Arc<str>>) {
        let known: Vec<Key> = self.lock().types.keys().filter(|key| &*key.0 == namespace).cloned().collect();
        for key in known.into_iter().filter(|key| !listed.contains(&key.1)) {
            self.type_changed(key, None);
        }
    }
}

#[cfg(test)]
mod tests;
