//! The watches of the process: those that more than one part uses, the controller while it leads and REST, and where the
//! others begin.

use std::fmt::Debug;
use std::sync::Arc;

use futures::stream::BoxStream;
use kube::api::ObjectMeta;
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::bound::Bound;
use super::{Parts, Scope, Selected, SharedWatch, Shown, Sight};
use crate::api::{ANNOTATION_BODY_DIGEST, ANNOTATION_REPLAY_OF, Task, TaskQueue, TaskType, WorkerPool};
use crate::cluster::identity;
use crate::metrics::Metrics;

pub struct Watches {
    pub tasks: Arc<SharedWatch<Task>>,
    pub types: Arc<SharedWatch<TaskType>>,
    pub queues: Arc<SharedWatch<TaskQueue>>,
    pub pools: Arc<SharedWatch<WorkerPool>>,
    bound: Arc<Bound>,
    parts: Parts,
}

impl Watches {
    /// So many tasks are shown whole at most.
    pub fn new(client: Client, metrics: Arc<Metrics>, most_tasks: usize) -> Self {
        let bound = Arc::new(Bound::new(most_tasks, metrics.clone()));
        let parts = Parts::new(client, metrics);
        Self {
            tasks: SharedWatch::passing(parts.clone(), slim, bound.clone()),
            types: SharedWatch::new(parts.clone(), |_| {}),
            queues: SharedWatch::new(parts.clone(), |_| {}),
            pools: SharedWatch::new(parts.clone(), |_| {}),
            bound,
            parts,
        }
    }

    /// How many tasks are not looked at, in words, because they are too many.
    pub fn tasks_beyond(&self) -> watch::Receiver<Option<String>> {
        self.bound.beyond()
    }

    /// Watches one more kind of object, for one part alone.
    pub fn watch<K>(&self, scope: &Scope, selected: Selected) -> BoxStream<'static, Shown<K>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        self.parts.watch(scope, selected, |_| {})
    }

    /// Which of the watches see nothing at present.
    pub fn sight(&self) -> &Arc<Sight> {
        &self.parts.sight
    }

    /// Watches for whoever subscribes. Never ends.
    pub async fn run(&self) {
        tokio::join!(self.tasks.run(), self.types.run(), self.queues.run(), self.pools.run());
    }

    /// The cluster was restored from a backup. A watch that goes on from a version which lies ahead would stay silent.
    pub fn begin_anew(&self) {
        self.tasks.begin_anew();
        self.types.begin_anew();
        self.queues.begin_anew();
        self.pools.begin_anew();
    }
}

/// The annotations of a task that something is decided by.
const ANNOTATIONS: [&str; 2] = [ANNOTATION_REPLAY_OF, ANNOTATION_BODY_DIGEST];
/// Ours are shorter; somebody else may write what they like.
const LONGEST: usize = 256;

/// Drops what no decision needs, which may be large: the content of payload and items (their size stays), the items of a chunk, and
/// of the metadata what others put there.
fn slim(task: &mut Task) {
    if let Some(status) = &mut task.status {
        // Room for four was made when the first one was read.
        status.conditions.shrink_to_fit();
        status.attempts.shrink_to_fit();
    }
    task.spec.payload = task.spec.payload.take().map(|payload| payload.measured());
    if let Some(batch) = &mut task.spec.batch {
        batch.items = batch.items.take().map(|items| items.measured());
    }
    // Whoever launches a chunk reads it whole.
    if let Some(chunk) = &mut task.spec.chunk {
        chunk.items = None;
    }
    let mut annotations = task.metadata.annotations.take().unwrap_or_default();
    annotations.retain(|key, value| ANNOTATIONS.contains(&key.as_str()) && value.len() <= LONGEST);
    task.metadata = ObjectMeta {
        annotations: (!annotations.is_empty()).then_some(annotations),
        creation_timestamp: task.metadata.creation_timestamp.take(),
        deletion_timestamp: task.metadata.deletion_timestamp.take(),
        generation: task.metadata.generation,
        ..identity(&task.metadata)
    };
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_the_items_of_batches_and_chunks_none_stay_in_memory() {
        let chunk = json!({"batch": "b", "uid": "u", "runId": "1", "began": "0", "number": 1, "indexes": "0-2", "items": [1, 2, 3]});
        let mut task: Task = serde_json::from_value(json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task",
            "metadata": {"name": "t"}, "spec": {"type": "work", "batch": {"items": [1, 2, 3]}, "chunk": chunk}}))
        .expect("a task");
        slim(&mut task);
        assert_eq!(task.spec.batch.as_ref().map(|batch| (batch.total(), batch.items.is_some())), Some((3, true)));
        assert!(!task.spec.is_whole());
        assert_eq!(task.spec.chunk.map(|chunk| (chunk.indexes, chunk.items)), Some(("0-2".into(), None)));
    }
}
