//! Which tasks are chunks of which batch.

use std::sync::Arc;

use kube::runtime::reflector::ObjectRef;

use super::{Cache, Inner, Uid, uid_of};
use crate::api::Task;

impl Cache {
    /// The chunks of this batch, as the watch shows them, in the order of their numbers.
    pub fn chunks_of(&self, batch: &Task) -> Vec<Arc<Task>> {
        let uid = uid_of(batch);
        let references: Vec<_> = self.lock().chunks.get(&uid).into_iter().flatten().cloned().collect();
        let number = |task: &Arc<Task>| task.spec.chunk.as_ref().map(|chunk| chunk.number);
        let is_of_it = |task: &Arc<Task>| task.spec.chunk.as_ref().is_some_and(|chunk| *chunk.uid == *uid);
        let mut chunks: Vec<_> = references.iter().filter_map(|chunk| self.task(chunk)).filter(is_of_it).collect();
        chunks.sort_by_key(number);
        chunks
    }

    /// Whether a slot is held for the task of this uid, which may be gone.
    pub fn holds_a_slot(&self, uid: &str) -> bool {
        self.lock().admission.is_admitted(&Uid::from(uid))
    }
}

impl Inner {
    pub(super) fn chunk_seen(&mut self, task: &Task) {
        if let Some(chunk) = &task.spec.chunk {
            let reference = ObjectRef::new(task.metadata.name.as_deref().unwrap_or_default());
            let reference = reference.within(task.metadata.namespace.as_deref().unwrap_or_default());
            self.chunks.entry(chunk.uid.as_str().into()).or_default().insert(reference);
        }
    }

    pub(super) fn chunk_gone(&mut self, batch: &str, reference: &ObjectRef<Task>) {
        if let Some(chunks) = self.chunks.get_mut(batch) {
            chunks.remove(reference);
            if chunks.is_empty() {
                self.chunks.remove(batch);
            }
        }
    }
}

/// The batch that a task is a chunk of.
pub fn batch_of(task: &Task) -> Option<ObjectRef<Task>> {
    let chunk = task.spec.chunk.as_ref()?;
    Some(ObjectRef::new(&chunk.batch).within(task.metadata.namespace.as_deref().unwrap_or_default()))
}
