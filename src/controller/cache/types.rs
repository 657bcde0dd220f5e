//! The types, and the tasks that a change of one concerns. Never waits for one to appear.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;

use super::{Cache, key_beside};
use crate::api::{Task, TaskType};
use crate::core::ParsedType;
use crate::core::queue::{Key, TypeLimits};

impl Cache {
    /// Takes in a type as it is now; returns the tasks to look at for it. A change of its status alone
    /// concerns nobody.
    pub fn type_changed(&self, key: Key, kind: Option<&Arc<TaskType>>) -> Vec<ObjectRef<Task>> {
        self.take_in_type(key, kind, false)
    }

    /// The same; `anew` places the type's tasks though it reads as before.
    pub(super) fn take_in_type(&self, key: Key, kind: Option<&Arc<TaskType>>, anew: bool) -> Vec<ObjectRef<Task>> {
        let mut inner = self.lock();
        if kind.is_some_and(|kind| inner.dry_runs.see(kind, Timestamp::now())) {
            self.untried.notify_one();
        }
        let read = kind.map(|kind| Arc::new(inner.dry_runs.parsed(kind)));
        let before = match (&read, kind) {
            (Some(read), Some(kind)) => {
                inner.types.insert(key.clone(), kind.clone());
                inner.parsed_types.insert(key.clone(), read.clone())
            }
            _ => {
                inner.types.remove(&key);
                inner.dry_runs.forget(&key);
                inner.parsed_types.remove(&key)
            }
        };
        if before == read && !anew {
            return vec![];
        }
        let limits = read.as_ref().map(|kind| TypeLimits::of(&key.0, &kind.spec));
        inner.admission.set_type_limits(key.clone(), limits.unwrap_or_default());
        self.place_concerned(&mut inner, |task| key == key_beside(task, &task.spec.type_))
    }

    /// A whole list of types was shown: a type that is not on it is gone.
    pub fn types_listed(&self, listed: &HashSet<Key>) -> Vec<ObjectRef<Task>> {
        let known: Vec<Key> = self.lock().parsed_types.keys().cloned().collect();
        let gone = known.into_iter().filter(|key| !listed.contains(key));
        gone.flat_map(|key| self.type_changed(key, None)).collect()
    }

    pub fn types(&self) -> Vec<Arc<TaskType>> {
        self.lock().types.values().cloned().collect()
    }

    pub fn type_of(&self, task: &Task) -> Option<Arc<ParsedType>> {
        self.lock().parsed_types.get(&key_beside(task, &task.spec.type_)).cloned()
    }
}
