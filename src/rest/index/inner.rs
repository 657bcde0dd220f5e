//! The content of the index, and how a task comes into it and leaves it: all that leads to a task changes with it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use super::Uid;
use super::entry::IndexedTask;
use super::remembered::Remembered;
use crate::api::{Task, TaskTypeSpec};
use crate::core::queue::{Key, Order};

#[derive(Default)]
pub(super) struct Inner {
    pub(super) tasks: HashMap<Uid, Arc<IndexedTask>>,
    pub(super) names: HashMap<Key, Uid>,
    /// By creation, which never changes: pages are cut along it.
    pub(super) ages: BTreeSet<(Timestamp, Uid)>,
    /// The tasks that wait in each queue, in the one order.
    pub(super) lines: HashMap<Key, Vec<Order>>,
    /// Tasks that join such a line at some time. They are let in when somebody asks for a place.
    pub(super) later: BTreeSet<(Timestamp, Uid)>,
    pub(super) types: HashMap<Key, Arc<TaskTypeSpec>>,
    /// Uids that were there and are not: a late answer to a call of ours does not bring them back.
    pub(super) gone: Remembered,
    /// Tasks that are there and cannot be read, with their namespace and the version in which that was found.
    pub(super) unread: HashMap<Uid, (Arc<str>, u64)>,
    /// Uids that were asked for and not shown in time: there may be such a task all the same.
    pub(super) in_vain: Remembered,
    /// The namespaces of which the watch has yet to show what is there, because it broke or has just begun; and the
    /// tasks that the API server told us of meanwhile, which its list may be too old to show.
    pub(super) behind: HashMap<Arc<str>, HashSet<Uid>>,
    pub(super) readers: HashMap<Uid, watch::Sender<()>>,
}

pub(super) fn namespace_of(task: &Task) -> Arc<str> {
    task.metadata.namespace.as_deref().unwrap_or_default().into()
}

impl Inner {
    /// A write of ours is known before the watch shows it, so what is older than what is known changes nothing.
    pub(super) fn see(&mut self, task: &Task) {
        let Some(uid) = task.metadata.uid.as_deref() else { return };
        let before = self.tasks.get(uid).cloned();
        let kind = self.types.get(&(namespace_of(task), task.spec.type_.as_str().into())).cloned();
        let entry = IndexedTask::of(task, kind.as_deref(), before.as_deref());
        if before.is_none_or(|before| before.version <= entry.version) {
            self.put(entry);
        }
    }

    pub(super) fn forget(&mut self, uid: Uid) {
        self.remove(&uid);
        self.gone.insert(uid.clone());
        self.tell(&uid);
    }

    pub(super) fn put(&mut self, entry: IndexedTask) {
        self.remove(&entry.uid);
        let uid = entry.uid.clone();
        self.names.insert((entry.namespace.clone(), entry.name.clone()), uid.clone());
        self.ages.insert((entry.created_at, uid.clone()));
        match entry.ready_at {
            Some(time) if entry.waits => drop(self.later.insert((time, uid.clone()))),
            None if entry.waits => self.join_line(&entry),
            _ => {}
        }
        self.in_vain.remove(&uid);
        self.tasks.insert(uid.clone(), Arc::new(entry));
        self.tell(&uid);
    }

    pub(super) fn remove(&mut self, uid: &str) {
        let Some(entry) = self.tasks.remove(uid) else { return };
        let name = (entry.namespace.clone(), entry.name.clone());
        // A task of the same name may have been seen before this one's deletion.
        if self.names.get(&name).is_some_and(|named| **named == *uid) {
            self.names.remove(&name);
        }
        self.ages.remove(&(entry.created_at, entry.uid.clone()));
        self.leave_line(&entry);
    }

    /// Those join their lines whose time has come.
    pub(super) fn let_in(&mut self, now: Timestamp) {
        while self.later.first().is_some_and(|(time, _)| *time <= now) {
            let Some((_, uid)) = self.later.pop_first() else { return };
            if let Some(entry) = self.tasks.get(&uid).cloned() {
                self.join_line(&entry);
            }
        }
    }

    fn join_line(&mut self, entry: &IndexedTask) {
        let line = self.lines.entry(entry.queue_key()).or_default();
        if let Err(place) = line.binary_search(&entry.order()) {
            line.insert(place, entry.order());
        }
    }

    fn leave_line(&mut self, entry: &IndexedTask) {
        if let Some(time) = entry.ready_at {
            self.later.remove(&(time, entry.uid.clone()));
        }
        let queue = entry.queue_key();
        let Some(line) = self.lines.get_mut(&queue) else { return };
        if let Ok(place) = line.binary_search(&entry.order()) {
            line.remove(place);
        }
        // Anybody may name a queue that there is not.
        if line.is_empty() {
            self.lines.remove(&queue);
        }
    }

    pub(super) fn tell(&self, uid: &str) {
        if let Some(reader) = self.readers.get(uid) {
            reader.send_replace(());
        }
    }
}
