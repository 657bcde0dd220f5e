//! The watches of the process: those that more than one part uses, the controller while it leads and REST, and where the
//! others begin.

use std::fmt::Debug;
use std::sync::Arc;

use futures::stream::BoxStream;
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::{Parts, Scope, Selected, SharedWatch, Shown, Sight};
use crate::api::{Task, TaskQueue, TaskType};
use crate::metrics::Metrics;

pub struct Watches {
    pub tasks: Arc<SharedWatch<Task>>,
    pub types: Arc<SharedWatch<TaskType>>,
    pub queues: Arc<SharedWatch<TaskQueue>>,
    parts: Parts,
}

impl Watches {
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        let parts = Parts::new(client, metrics);
        Self {
            tasks: SharedWatch::new(parts.clone(), slim),
            types: SharedWatch::new(parts.clone(), |_| {}),
            queues: SharedWatch::new(parts.clone(), |_| {}),
            parts,
        }
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
    pub fn sight(&self) -> &Sight {
        &self.parts.sight
    }

    /// Watches for whoever subscribes. Never ends.
    pub async fn run(&self) {
        tokio::join!(self.tasks.run(), self.types.run(), self.queues.run());
    }

    /// The cluster was restored from a backup. A watch that goes on from a version which lies ahead would stay silent.
    pub fn begin_anew(&self) {
        self.tasks.begin_anew();
        self.types.begin_anew();
        self.queues.begin_anew();
    }
}

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Drops what no decision needs: the payload's content (its size stays), and two further copies of it.
fn slim(task: &mut Task) {
    task.metadata.managed_fields = None;
    if let Some(status) = &mut task.status {
        // Room for four was made when the first one was read.
        status.conditions.shrink_to_fit();
        status.attempts.shrink_to_fit();
    }
    task.annotations_mut().remove(LAST_APPLIED);
    task.spec.payload = task.spec.payload.take().map(|payload| payload.measured());
}
