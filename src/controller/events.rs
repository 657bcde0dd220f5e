//! Events for what went wrong or is stuck. They are news, not state: told after the status was written, in the
//! background, and dropped when too many wait.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder};
use tokio::sync::mpsc;

use crate::api::Task;
use crate::cluster::calls::Calls;
use crate::core::telling::warning;
use crate::core::telling::warning::Warning;
use crate::metrics::Metrics;

/// How many events may wait to be written.
const WAITING: usize = 256;
const REPORTER: &str = "task-manager";

/// Where news is handed in.
pub struct Events {
    news: mpsc::Sender<(ObjectReference, Warning)>,
    metrics: Arc<Metrics>,
}

/// Writes what is handed in.
pub struct Writer {
    news: mpsc::Receiver<(ObjectReference, Warning)>,
    recorder: Recorder,
    calls: Calls,
}

pub fn channel(calls: Calls, metrics: Arc<Metrics>) -> (Events, Writer) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let recorder = Recorder::new(calls.reads.client(), REPORTER.into());
    (Events { news: sender, metrics }, Writer { news: receiver, recorder, calls })
}

impl Events {
    /// Hands in what is worth an event about a status that was just written.
    pub fn tell(&self, before: &Task, after: &Task) {
        let was = before.status.clone().unwrap_or_default();
        let is = after.status.clone().unwrap_or_default();
        let Some(warning) = warning::warning(&was, &is) else { return };
        if self.news.try_send((after.object_ref(&()), warning)).is_err() {
            self.metrics.wrote("event", "dropped");
        }
    }
}

impl Writer {
    /// Runs until nobody can hand in anything more.
    pub async fn run(mut self) {
        while let Some((task, warning)) = self.news.recv().await {
            let event = Event {
                type_: EventType::Warning,
                reason: warning.reason.to_string(),
                note: Some(warning.message),
                // Events that differ in their text alone are counted as one; each attempt is to be told.
                action: warning.action,
                secondary: None,
            };
            if let Err(error) = self.calls.write("event", self.recorder.publish(&event, &task)).await {
                tracing::debug!(task = task.name, namespace = task.namespace, %error, "an event could not be written");
            }
        }
    }
}
