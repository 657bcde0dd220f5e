//! The kinds of object that more than one part of the process watches: the controller while it leads, and REST.

use std::sync::Arc;

use kube::{Client, ResourceExt};

use super::SharedWatch;
use crate::api::{Task, TaskQueue, TaskType};
use crate::metrics::Metrics;

pub struct Watches {
    pub tasks: Arc<SharedWatch<Task>>,
    pub types: Arc<SharedWatch<TaskType>>,
    pub queues: Arc<SharedWatch<TaskQueue>>,
}

impl Watches {
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self {
            tasks: SharedWatch::new(client.clone(), metrics.clone(), slim),
            types: SharedWatch::new(client.clone(), metrics.clone(), |_| {}),
            queues: SharedWatch::new(client, metrics, |_| {}),
        }
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
