//! Knows which namespaces are being deleted: nothing is begun in them.
//!
//! Nothing waits for this. Where namespaces may not be watched, the API server's refusal of anything new in
//! them does instead, one task after another.

use std::collections::HashSet;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};

use crate::cluster::endless::{endless, when_too_old};
use crate::controller::cache::Cache;

/// Runs for ever.
pub async fn run(client: Client, namespace: Option<String>, cache: Arc<Cache>) {
    let all = watcher::Config::default();
    let watched = match &namespace {
        Some(namespace) => all.fields(&format!("metadata.name={namespace}")),
        None => all,
    };
    let namespaces = Api::<PartialObjectMeta<Namespace>>::all(client);
    let mut changes = endless(namespaces, watched, when_too_old).default_backoff().boxed();
    let mut listed = HashSet::new();
    while let Some(change) = changes.next().await {
        match change {
            Ok(change) => take(change, &mut listed, &cache),
            Err(error) => tracing::debug!(%error, "failed to watch the namespaces; begins anew"),
        }
    }
}

fn take(change: Event<PartialObjectMeta<Namespace>>, listed: &mut HashSet<String>, cache: &Cache) {
    match change {
        Event::Apply(namespace) => cache.namespace_changed(namespace.name_any(), ends(&namespace)),
        Event::Delete(namespace) => cache.namespace_changed(namespace.name_any(), false),
        Event::Init => listed.clear(),
        Event::InitApply(namespace) if ends(&namespace) => drop(listed.insert(namespace.name_any())),
        Event::InitApply(_) => {}
        Event::InitDone => cache.namespaces_listed(listed),
    }
}

fn ends(namespace: &PartialObjectMeta<Namespace>) -> bool {
    namespace.metadata.deletion_timestamp.is_some()
}
