//! The tables of the index. A task comes into all of them and leaves all of them at once.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use super::task::{IndexedTask, Uid};
use crate::api::{Task, TaskTypeSpec};
use crate::bounded::Bounded;
use crate::core::Settings;
use crate::core::queue::{Key, Snapshot};

/// So many uids are remembered of which there is no task.
const REMEMBERED: usize = 10_000;

pub(super) struct Tables {
    pub(super) tasks: HashMap<Uid, Arc<IndexedTask>>,
    pub(super) names: HashMap<Key, Uid>,
    /// By creation, which never changes: pages are cut along it.
    pub(super) ages: BTreeSet<(Timestamp, Uid)>,
    /// Why each task waits.
    pub(super) waits: Snapshot,
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
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            tasks: HashMap::new(),
            names: HashMap::new(),
            ages: BTreeSet::new(),
            waits: Snapshot::new(settings),
            types: HashMap::new(),
            gone: Bounded::default(),
            unread: HashMap::new(),
            in_vain: Bounded::default(),
            behind: HashMap::new(),
            readers: HashMap::new(),
        }
    }

    /// A write of ours is known before the watch shows it, so what is older than what is known changes nothing.
    pub(super) fn see(&mut self, task: &Task) {
        let Some(uid) = task.metadata.uid.as_deref() else { return };
        let before = self.tasks.get(uid).cloned();
        let kind = self.types.get(&(namespace_of(task), task.spec.type_.as_str().into())).cloned();
        let known = IndexedTask::of(task, kind.as_deref(), before.as_deref());
        if before.is_none_or(|before| before.version <= known.version) {
            self.waits.set_task(task, known.first_seen);
            self.put(known);
        }
    }

    pub(super) fn forget(&mut self, uid: Uid) {
        self.remove(&uid);
        self.waits.forget_task(&uid);
        self.gone.insert(uid.clone(), ());
        self.tell(&uid);
    }

    pub(super) fn put(&mut self, known: IndexedTask) {
        self.remove(&known.uid);
        let uid = known.uid.clone();
        self.names.insert(known.name_key(), uid.clone());
        self.ages.insert((known.created_at, uid.clone()));
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
    }

    pub(super) fn tell(&self, uid: &str) {
        if let Some(reader) = self.readers.get(uid) {
            reader.send_replace(());
        }
    }
}
