//! The watches of this process. Each begins anew where kube's own would stand still, reads each object for itself, so
//! that one that cannot be read ends no watch, and tells when it broke and when it goes on. Never knows what follows.

mod caught_up;
mod changes;
mod readable;
mod scope;
mod shared;
mod watches;

pub use caught_up::caught_up;
pub use changes::{Change, Selected, changes};
pub use readable::Seen;
pub use scope::Scope;
pub use shared::{SharedWatch, Subscription};
pub use watches::Watches;

use std::fmt::Debug;
use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt};
use kube::core::NamespaceResourceScope;
use kube::runtime::watcher::Event;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;

use crate::errors::chain;
use crate::metrics::Metrics;
use readable::{Readable, seen};

/// A change of one kind of object, as a watch shows it.
#[derive(Clone, Debug)]
pub enum Shown<K> {
    Event(Event<Seen<K>>),
    /// The watch broke: what happens from now on is not shown.
    Broke,
    /// The watch goes on from where it was: what happened meanwhile follows.
    Resumed,
}

/// Watches one kind of object without end. Errors are counted and logged.
pub fn watch<K>(
    client: Client,
    scope: &Scope,
    selected: Selected,
    metrics: Arc<Metrics>,
) -> BoxStream<'static, Shown<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    watch_prepared(client, scope, selected, metrics, |_| {})
}

/// The same, where `prepare` changes each object that is there before anybody sees it.
fn watch_prepared<K>(
    client: Client,
    scope: &Scope,
    selected: Selected,
    metrics: Arc<Metrics>,
    prepare: fn(&mut K),
) -> BoxStream<'static, Shown<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let shown = move |change| match change {
        Ok(Change::Event(event)) => Shown::Event(seen(event, prepare)),
        Ok(Change::Resumed) => Shown::Resumed,
        Err(error) => {
            metrics.watch_failed(&K::kind(&()));
            tracing::warn!(kind = %K::kind(&()), error = chain(&error), "watch failed; tries again");
            Shown::Broke
        }
    };
    changes(scope.api::<Readable<K>>(client), selected).map(shown).boxed()
}
