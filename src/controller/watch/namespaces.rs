//! Knows which namespaces are being deleted: nothing is begun in them.
//!
//! Nothing waits for this. Where namespaces may not be watched, the API server's refusal of anything new in
//! them does instead, one task after another.

use std::collections::HashSet;
use std::sync::Arc;

use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::runtime::watcher::Event;
use kube::{Api, Client, ResourceExt};

use crate::api::Task;
use crate::cluster::calls::CallError;
use crate::cluster::rights::{Right, Rights};
use crate::cluster::watch::{Change, Scope, Selected, changes};
use crate::controller::cache::Cache;
use crate::errors::chain;

/// Runs for ever.
pub async fn run(
    client: Client,
    scope: Scope,
    cache: Arc<Cache>,
    rights: Rights,
    mut wake: mpsc::Sender<ObjectRef<Task>>,
) {
    let fields = match scope {
        Scope::Only(namespace) => Some(format!("metadata.name={namespace}")),
        Scope::All => None,
    };
    let namespaces = Api::<PartialObjectMeta<Namespace>>::all(client);
    let mut told = changes(namespaces, Selected { fields, ..Selected::default() }).boxed();
    let mut listed = HashSet::new();
    while let Some(change) = told.next().await {
        match change {
            Ok(Change::Resumed) => {}
            Ok(Change::Event(event)) => {
                // A list that begins has no answer yet.
                if !matches!(event, Event::Init) {
                    rights.note(Right::WatchNamespaces, "", &Ok(()));
                }
                for task in take(event, &mut listed, &cache) {
                    // It is closed only when all ends.
                    let _ = wake.send(task).await;
                }
            }
            Err(error) => {
                tracing::debug!(error = chain(&error), "failed to watch the namespaces; tries again");
                if let Some(answer) = answer(error) {
                    rights.note::<()>(Right::WatchNamespaces, "", &Err(answer));
                }
            }
        }
    }
}

/// The API server's answer to a watch that failed.
fn answer(error: watcher::Error) -> Option<CallError> {
    Some(match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => error.into(),
        watcher::Error::WatchError(status) => status.into(),
        watcher::Error::NoResourceVersion => return None,
    })
}

/// Returns the tasks that are to be looked at.
fn take(
    event: Event<PartialObjectMeta<Namespace>>,
    listed: &mut HashSet<String>,
    cache: &Cache,
) -> Vec<ObjectRef<Task>> {
    let now = Timestamp::now();
    match event {
        Event::Apply(namespace) => return cache.namespace_changed(namespace.name_any(), ends(&namespace), now),
        Event::Delete(namespace) => return cache.namespace_changed(namespace.name_any(), false, now),
        Event::Init => listed.clear(),
        Event::InitApply(namespace) if ends(&namespace) => drop(listed.insert(namespace.name_any())),
        Event::InitApply(_) => {}
        Event::InitDone => return cache.namespaces_listed(listed, now),
    }
    vec![]
}

fn ends(namespace: &PartialObjectMeta<Namespace>) -> bool {
    namespace.metadata.deletion_timestamp.is_some()
}
