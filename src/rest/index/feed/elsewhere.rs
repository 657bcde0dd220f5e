//! Tasks of namespaces that are not served. They count while they hold a slot, where all tasks together are limited.

use std::collections::HashSet;
use std::sync::Arc;

use kube::runtime::watcher::Event;

use crate::api::{State, Task};
use crate::cluster::watch::{Seen, Shown};
use crate::rest::index::Index;

#[derive(Default)]
pub(super) struct Elsewhere {
    known: HashSet<Arc<str>>,
    /// Those that the present initial list has shown so far.
    listed: HashSet<Arc<str>>,
}

impl Elsewhere {
    pub(super) fn take_in(&mut self, shown: &Shown<Task>, index: &Index) {
        let Shown::Event(event) = shown else { return };
        let (Event::Apply(task) | Event::Delete(task) | Event::InitApply(task)) = event else { return };
        let uid: Arc<str> = task.meta().uid.as_deref().unwrap_or_default().into();
        match (event, task) {
            (Event::Delete(_), _) => {
                self.known.remove(&uid);
                index.gone_elsewhere(&uid);
            }
            (_, Seen::Whole(task)) if task.status_or_default().state == State::Processing => {
                self.known.insert(uid.clone());
                self.listed.extend(matches!(event, Event::InitApply(_)).then_some(uid));
                index.task_elsewhere(task);
            }
            (_, Seen::Whole(_)) => {
                self.known.remove(&uid);
                index.gone_elsewhere(&uid);
            }
            (_, Seen::InPart(_)) => self.listed.extend(self.known.get(&uid).cloned()),
        }
    }

    /// The list before it may have broken off.
    pub(super) fn list_begins(&mut self) {
        self.listed.clear();
    }

    /// A list is whole: what is not on it is gone.
    pub(super) fn listed(&mut self, index: &Index) {
        let listed = std::mem::take(&mut self.listed);
        for uid in self.known.extract_if(|uid| !listed.contains(uid)) {
            index.gone_elsewhere(&uid);
        }
    }
}
