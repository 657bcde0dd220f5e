//! The watches of this process. Each begins anew where kube's own would stand still, reads each object for itself, so
//! that one that cannot be read ends no watch, and tells when it broke and when it goes on. Never knows what follows.
//!
//! From below to above, with what each hands on:
//!
//! ```text
//! list_text ─► page ─► changes ───► Parts::watch ───► SharedWatch ──────────► subscribers: controller, REST
//!  bytes to    one     Change:      Shown: objects    one watch for all;
//!  objects     page    list, watch, read or in part   its Passing (bound) may
//!              of a    pauses       (readable)        show some in part
//!              list                     │
//!                                       └► sight: which watches are broken (an Eye each), for health and blindness
//! caught_up: waits until a watch has shown all that a list has; tells sight of one that stays behind
//! ```

mod bound;
mod caught_up;
mod changes;
mod list_text;
mod page;
mod readable;
mod scope;
mod shared;
mod sight;
mod watches;

pub use caught_up::{Waiting, caught_up};
pub use changes::{Change, Selected, changes};
pub use readable::Seen;
pub use scope::Scope;
pub use shared::{SharedWatch, Subscription};
pub use sight::{Eye, Sight};
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

/// The parts that every watch of this process uses.
#[derive(Clone)]
pub struct Parts {
    pub client: Client,
    pub metrics: Arc<Metrics>,
    pub sight: Arc<Sight>,
}

impl Parts {
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self { client, metrics, sight: Arc::default() }
    }

    /// Watches one kind of object without end. Errors are counted, logged and told to the sight. `prepare` changes each
    /// object that is there before anybody sees it.
    fn watch<K>(&self, scope: &Scope, selected: Selected, prepare: fn(&mut K)) -> BoxStream<'static, Shown<K>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        let (eye, metrics) = (self.sight.eye(), self.metrics.clone());
        let shown = move |change| match change {
            Ok(Change::Event(event)) => {
                // A list that is about to be asked for shows nothing yet.
                if !matches!(event, Event::Init) {
                    eye.sees();
                }
                Shown::Event(seen(event, prepare))
            }
            Ok(Change::Resumed) => {
                eye.sees();
                Shown::Resumed
            }
            Err(error) => {
                let (kind, error) = (K::kind(&()), chain(&error));
                metrics.watch_failed(&kind);
                tracing::warn!(%kind, error, "watch failed; tries again");
                eye.breaks(format!("the watch of {kind} is broken: {error}"));
                Shown::Broke
            }
        };
        changes(scope.api::<Readable<K>>(self.client.clone()), selected).map(shown).boxed()
    }
}
