//! The values that a reconcile uses. The other parts of a term are handed theirs one by one.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::Client;
use tokio::sync::{Semaphore, SemaphorePermit, TryAcquireError};

use super::batches::Batches;
use super::cache::Cache;
use super::cache::just_admitted::JustAdmitted;
use super::record::Records;
use super::status::StatusWriter;
use super::upkeep::finished_jobs::FinishedJobs;
use super::watch::classes::PriorityClasses;
use crate::api::{Payload, Task};
use crate::cluster::calls::Calls;
use crate::core::Settings;
use crate::live::Live;
use crate::metrics::Metrics;

pub struct Context {
    pub(super) client: Client,
    pub(super) calls: Calls,
    pub(super) status: Arc<StatusWriter>,
    pub(super) records: Arc<Records>,
    pub(super) live: Arc<Live>,
    pub(super) cache: Arc<Cache>,
    pub(super) just_admitted: Arc<JustAdmitted>,
    pub(super) finished_jobs: Arc<FinishedJobs>,
    pub(super) batches: Batches,
    pub(super) classes: PriorityClasses,
    pub(super) settings: Settings,
    pub(super) metrics: Arc<Metrics>,
    pub(super) ready: Ready,
    /// Turns for tasks whose payload is too large to run.
    pub(super) large: Semaphore,
}

/// So many tasks with a payload that is too large to run are written to at once. Each costs the API server many times what
/// another costs, and more of them at once would only be given up before they are answered.
pub(super) const LARGE_AT_ONCE: usize = 4;

/// Whether the caches hold everything.
#[derive(Clone)]
pub struct Ready(pub(super) tokio::sync::watch::Receiver<bool>);

impl Ready {
    /// Waits until the caches hold everything; false when that will never be.
    pub(super) async fn wait(&self) -> bool {
        self.0.clone().wait_for(|ready| *ready).await.is_ok()
    }
}

impl Context {
    /// The turn of a task whose payload is too large to run; an error where it has to come again. Others need none.
    pub(super) fn turn_of(&self, task: &Task) -> Result<Option<SemaphorePermit<'_>>, TryAcquireError> {
        let is_large = task.spec.payload.as_ref().is_some_and(Payload::is_too_large);
        is_large.then(|| self.large.try_acquire()).transpose()
    }

    pub(super) async fn is_ready(&self) -> bool {
        self.ready.wait().await
    }

    /// The PriorityClasses that the cluster has, once they were looked at.
    pub(super) async fn priority_classes(&self) -> BTreeSet<String> {
        self.classes.known().await
    }
}
