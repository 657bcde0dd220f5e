//! The namespaces that are being deleted: nothing is begun in them.

use std::collections::HashSet;

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;

use super::{Cache, namespace_of};
use crate::api::Task;

impl Cache {
    /// Takes in that a namespace is being deleted, or is gone; returns the tasks that this concerns.
    pub fn namespace_changed(&self, name: String, ends: bool, now: Timestamp) -> Vec<ObjectRef<Task>> {
        let mut inner = self.lock();
        if ends == inner.ending.contains_key(&name) {
            return vec![];
        }
        match ends {
            true => inner.ending.insert(name.clone(), now),
            false => inner.ending.remove(&name),
        };
        tracing::info!(namespace = name, ends, "a namespace is being deleted, or gone: nothing is begun while it ends");
        self.place_concerned(&mut inner, |task| namespace_of(task) == name)
    }

    /// The list of namespaces is complete, and these of them are being deleted.
    pub fn namespaces_listed(&self, ending: &HashSet<String>, now: Timestamp) -> Vec<ObjectRef<Task>> {
        let known: Vec<_> = self.lock().ending.keys().filter(|name| !ending.contains(*name)).cloned().collect();
        let gone = known.into_iter().map(|name| (name, false));
        let changes = gone.chain(ending.iter().map(|name| (name.clone(), true)));
        changes.flat_map(|(name, ends)| self.namespace_changed(name, ends, now)).collect()
    }
}
