//! What every part of the controller shares. Does nothing by itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::runtime::reflector::Store;
use kube::{Api, Client};
use tokio::sync::watch;

use super::cache::Cache;
use super::cache::just_admitted::JustAdmitted;
use super::record::Records;
use super::status::StatusWriter;
use super::{Scope, events};
use crate::api::Task;
use crate::cluster::calls::Calls;
use crate::cluster::lease::Leadership;
use crate::core::Settings;
use crate::live::Live;
use crate::metrics::Metrics;

pub struct Context {
    pub(super) client: Client,
    pub(super) namespace: Option<String>,
    pub(super) calls: Arc<Calls>,
    pub(super) records: Records,
    pub(super) live: Arc<Live>,
    pub(super) cache: Cache,
    pub(super) just_admitted: JustAdmitted,
    pub(super) status: StatusWriter,
    pub(super) settings: Settings,
    pub(super) metrics: Arc<Metrics>,
    /// The PriorityClasses that the cluster has; `None` before the first look.
    pub(super) classes: watch::Sender<Option<BTreeSet<String>>>,
    /// True once the caches hold everything.
    ready: watch::Receiver<bool>,
}

impl Context {
    /// With it comes who writes the events that are told in it.
    pub(super) fn new(
        scope: Scope,
        settings: Settings,
        leadership: Leadership,
        metrics: Arc<Metrics>,
        tasks: Store<Task>,
        ready: watch::Receiver<bool>,
    ) -> (Arc<Self>, events::Writer) {
        let calls = Arc::new(Calls::new(leadership, metrics.clone()));
        let (events, event_writer) = events::channel(scope.client.clone(), calls.clone(), metrics.clone());
        let context = Self {
            cache: Cache::new(tasks, settings.clone()),
            just_admitted: JustAdmitted::default(),
            status: StatusWriter::new(scope.client.clone(), calls.clone(), events, metrics.clone()),
            calls,
            records: Records::new(scope.archive, scope.deleted_tasks, metrics.clone()),
            live: scope.live,
            classes: watch::Sender::default(),
            ready,
            client: scope.client,
            namespace: scope.namespace,
            settings,
            metrics,
        };
        (Arc::new(context), event_writer)
    }

    /// Waits until the caches hold everything; false when that will never be.
    pub(super) async fn is_ready(&self) -> bool {
        self.ready.clone().wait_for(|ready| *ready).await.is_ok()
    }

    /// The PriorityClasses that the cluster has, once they were looked at.
    pub(super) async fn priority_classes(&self) -> BTreeSet<String> {
        let mut classes = self.classes.subscribe();
        // It fails only where nobody looks any more.
        classes.wait_for(Option::is_some).await.ok().and_then(|known| known.clone()).unwrap_or_default()
    }

    pub(super) fn all_tasks(&self) -> Api<Task> {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }
}
