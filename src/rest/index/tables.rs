//! The tables of the index. A task comes into all of them and leaves all of them at once.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use super::task::{IndexedTask, Uid};
use crate::api::{Task, TaskTypeSpec};
use crate::bounded::Bounded;
use crate::core::queue::{Key, Order};

/// So many uids are remembered of which there is no task.
const REMEMBERED: usize = 10_000;

#[derive(Default)]
pub(super) struct Tables {
    pub(super) tasks: HashMap<Uid, Arc<IndexedTask>>,
    pub(super) names: HashMap<Key, Uid>,
    /// By creation, which never changes: pages are cut along it.
    pub(super) ages: BTreeSet<(Timestamp, Uid)>,
    /// The tasks that wait in each queue, in the one order.
    pub(super) lines: HashMap<Key, Vec<Order>>,
    /// The tasks that join such a line at some time. They are let in when somebody asks for a place.
    pub(super) later: BTreeSet<(Timestamp, Uid)>,
    pub(super) types: HashMap<Key, Arc<TaskTypeSpec>>,
    /// Uids of tasks that are gone: a late answer to a call of ours does not bring them back.
    pub(super) gone: Bounded<Uid, (), REMEMBERED>,
    /// Tasks that are there and cannot be read, with their namespace and the version in which that was found.
    pub(super) unread: HashMap<Uid, (Arc<str>, u64)>,
    /// Uids that were asked for and not shown in time: there may be such a task all the same.
    pub(super) in_vain: Bounded<Uid, (), REMEMBERED>,
    /// The namespaces of which the watch has yet to show what is there, because it broke or has just begun; and the
    /// tasks that the API server told us of meanwhile, which its list may be too old to show.
    pub(super) behind: HashMap<Arc<str>, HashSet<Uid>>,
    pub(super) readers: HashMap<Uid, watch::Sender<()>>,
}

pub(super) fn namespace_of(task: &Task) -> Arc<str> {
    task.metadata.namespace.as_deref().unwrap_or_default().into()
}

impl Tables {
    /// A write of ours is known before the watch shows it, so what is older than what is known changes nothing.
    pub(super) fn see(&mut self, task: &Task) {
        let Some(uid) = task.metadata.uid.as_deref() else { return };
        let before = self.tasks.get(uid).cloned();
        let kind = self.types.get(&(namespace_of(task), task.spec.type_.as_str().into())).cloned();
        let known = IndexedTask::of(task, kind.as_deref(), before.as_deref());
        if before.is_none_or(|before| before.version <= known.version) {
            self.put(known);
        }
    }

    pub(super) fn forget(&mut self, uid: Uid) {
        self.remove(&uid);
        self.gone.insert(uid.clone(), ());
        self.tell(&uid);
    }

    pub(super) fn put(&mut self, known: IndexedTask) {
        self.remove(&known.uid);
        let uid = known.uid.clone();
        self.names.insert(known.name_key(), uid.clone());
        self.ages.insert((known.created_at, uid.clone()));
        match known.ready_at {
            Some(time) if known.waits => drop(self.later.insert((time, uid.clone()))),
            None if known.waits => self.join_line(&known),
            _ => {}
        }
        self.in_vain.remove(&uid);
        self.tasks.insert(uid.clone(), Arc::new(known));
        self.tell(&uid);
    }

    pub(super) fn remove(&mut self, uid: &str) {
        let Some(known) = self.tasks.remove(uid) else { return };
        // A task of the same name may have been seen before this one's deletion.
        let name = known.name_key();
        if self.names.get(&name).is_some_and(|named| **named == *uid) {
            self.names.remove(&name);
        }
        self.ages.remove(&(known.created_at, known.uid.clone()));
        self.leave_line(&known);
    }

    /// Those join their lines whose time has come.
    pub(super) fn join_due_lines(&mut self, now: Timestamp) {
        while self.later.first().is_some_and(|(time, _)| *time <= now) {
            let Some((_, uid)) = self.later.pop_first() else { return };
            if let Some(known) = self.tasks.get(&uid).cloned() {
                self.join_line(&known);
            }
        }
    }

    fn join_line(&mut self, known: &IndexedTask) {
        let line = self.lines.entry(known.queue_key()).or_default();
        if let Err(place) = line.binary_search(known.order()) {
            line.insert(place, known.order().clone());
        }
    }

    fn leave_line(&mut self, known: &IndexedTask) {
        if let Some(time) = known.ready_at {
            self.later.remove(&(time, known.uid.clone()));
        }
        let queue = known.queue_key();
        let Some(line) = self.lines.get_mut(&queue) else { return };
        if let Ok(place) = line.binary_search(known.order()) {
            line.remove(place);
        }
        // Anybody may name a queue that does not exist.
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
