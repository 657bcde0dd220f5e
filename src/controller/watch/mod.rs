//! Watches everything that matters, one change after another, and without end. Never knows what follows from a change:
//! that is the intake's.

pub mod classes;
pub mod intake;
pub mod namespaces;
pub mod unread;

use std::fmt::Debug;
use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt, select_all};
use kube::core::NamespaceResourceScope;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::cluster::endless::{endless, when_too_old};
use crate::cluster::readable::{Readable, read};
use crate::core::launch::names;
use crate::metrics::Metrics;
use intake::{Change, Intake, Watched};

/// Where is watched.
pub struct Watches {
    pub client: Client,
    /// This namespace alone; `None` for all.
    pub namespace: Option<String>,
    pub metrics: Arc<Metrics>,
}

/// Runs for ever. `ready` is told when all initial lists are complete.
pub async fn run(watches: Watches, intake: Intake) {
    // Each list shows what is so when it is asked for. A streamed one may come from the past, out of an API server
    // that lags, and what is not on it yet would be taken to be gone: its attempt for lost, while its pod runs.
    let all = watcher::Config::default();
    let ours = all.clone().labels(names::LABEL_TASK_UID);
    let mut changes = select_all([
        watch(&watches, &all, Change::Task, Watched::Tasks),
        watch(&watches, &all, Change::Type, Watched::Types),
        watch(&watches, &all, Change::Queue, Watched::Queues),
        watch(&watches, &ours, Change::Job, Watched::Jobs),
        watch(&watches, &ours, Change::Pod, Watched::Pods),
    ]);
    let mut intake = intake;
    while let Some(change) = changes.next().await {
        intake.take(change).await;
    }
}

/// One kind of object, watched without end: errors are told and the watch begins anew after a pause.
fn watch<K>(
    watches: &Watches,
    config: &watcher::Config,
    change: fn(Event<K>) -> Change,
    watched: Watched,
) -> BoxStream<'static, Change>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let client = watches.client.clone();
    let api = match &watches.namespace {
        Some(namespace) => Api::<Readable<K>>::namespaced(client, namespace),
        None => Api::all(client),
    };
    let metrics = watches.metrics.clone();
    endless(api, config.clone(), when_too_old)
        .default_backoff()
        .filter_map(move |event| {
            let event = match event {
                Ok(event) => Some(read(event).map_or_else(|unread| Change::Unread(watched, unread), change)),
                Err(error) => {
                    metrics.watch_failed(&K::kind(&()));
                    tracing::warn!(kind = %K::kind(&()), %error, "watch failed; begins anew");
                    None
                }
            };
            std::future::ready(event)
        })
        .boxed()
}
