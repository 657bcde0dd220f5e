//! The namespaces that are being deleted: nothing is begun in them.

use std::collections::HashSet;

use super::{Cache, namespace_of};

impl Cache {
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
}
