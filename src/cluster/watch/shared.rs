//! One watch of one kind of object, for everybody in this process who wants to see it. It runs while somebody does,
//! over the namespaces that all of them together want.
//!
//! Each subscriber is shown a whole list first, which was asked for after it subscribed, and then each change, in order.
//! So each new subscriber makes the watch begin anew, for all. Nothing is kept here.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use futures::future::{BoxFuture, FutureExt, pending};
use futures::stream::{StreamExt, select_all};
use kube::Resource;
use kube::core::NamespaceResourceScope;
use kube::runtime::watcher::Event;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, mpsc};

use super::{Parts, Scope, Seen, Selected, Shown};

/// Changes that may wait for a subscriber. When they are too many, the watch waits: nothing is lost.
const WAITING: usize = 64;

/// Changes what a shared watch shows, before anybody sees it.
pub trait Passing<K>: Send + Sync {
    /// These scopes are watched from now on.
    fn watched(&self, scopes: &[Scope]);

    fn pass(&self, source: &Scope, shown: Shown<K>) -> Shown<K>;

    /// Returns when the watch is to begin anew.
    fn wants_a_list(&self) -> BoxFuture<'_, ()>;
}

/// All is shown as it is.
struct AsItIs;

impl<K: 'static> Passing<K> for AsItIs {
    fn watched(&self, _: &[Scope]) {}

    fn pass(&self, _: &Scope, shown: Shown<K>) -> Shown<K> {
        shown
    }

    fn wants_a_list(&self) -> BoxFuture<'_, ()> {
        pending().boxed()
    }
}

pub struct SharedWatch<K> {
    parts: Parts,
    prepare: fn(&mut K),
    passing: Arc<dyn Passing<K>>,
    subscribers: Mutex<Subscribers<K>>,
    /// Rung when the watch is to begin anew.
    anew: Notify,
}

struct Subscribers<K> {
    number: u64,
    /// They are shown nothing before the watch begins anew.
    new: Vec<Subscriber<K>>,
    present: Vec<Subscriber<K>>,
}

struct Subscriber<K> {
    number: u64,
    scopes: Vec<Scope>,
    changes: mpsc::Sender<(Scope, Shown<K>)>,
}

/// The changes that one subscriber is shown, each with the scope of the watch that it comes from: a whole list speaks for
/// that scope alone.
pub struct Subscription<K> {
    number: u64,
    watch: Arc<SharedWatch<K>>,
    changes: mpsc::Receiver<(Scope, Shown<K>)>,
}

impl<K> Stream for Subscription<K> {
    type Item = (Scope, Shown<K>);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.changes.poll_recv(cx)
    }
}

impl<K> Drop for Subscription<K> {
    fn drop(&mut self) {
        let mut subscribers = self.watch.subscribers.lock();
        let before = subscribers.scopes();
        subscribers.new.retain(|subscriber| subscriber.number != self.number);
        subscribers.present.retain(|subscriber| subscriber.number != self.number);
        if subscribers.scopes() != before {
            self.watch.anew.notify_one();
        }
    }
}

impl<K> Subscribers<K> {
    /// The namespaces that are watched, each once.
    fn scopes(&self) -> Vec<Scope> {
        let mut wanted: Vec<Scope> = vec![];
        for scope in self.present.iter().chain(&self.new).flat_map(|subscriber| &subscriber.scopes) {
            if *scope == Scope::All {
                return vec![Scope::All];
            }
            if !wanted.contains(scope) {
                wanted.push(scope.clone());
            }
        }
        wanted
    }
}

impl<K: Resource<DynamicType = ()>> Subscriber<K> {
    fn wants(&self, source: &Scope, shown: &Shown<K>) -> bool {
        let covers = |object: &Seen<K>| {
            let namespace = object.meta().namespace.as_deref().unwrap_or_default();
            self.scopes.iter().any(|scope| scope.covers(namespace))
        };
        match shown {
            Shown::Event(Event::Apply(object) | Event::Delete(object) | Event::InitApply(object)) => covers(object),
            _ => *source == Scope::All || self.scopes.contains(source) || self.scopes.contains(&Scope::All),
        }
    }
}

impl<K> SharedWatch<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    /// `prepare` changes each object that is there before anybody sees it.
    pub fn new(parts: Parts, prepare: fn(&mut K)) -> Arc<Self> {
        Self::passing(parts, prepare, Arc::new(AsItIs))
    }

    /// The same, where all passes something else on its way.
    pub fn passing(parts: Parts, prepare: fn(&mut K), passing: Arc<dyn Passing<K>>) -> Arc<Self> {
        let subscribers = Mutex::new(Subscribers { number: 0, new: vec![], present: vec![] });
        Arc::new(Self { parts, prepare, passing, subscribers, anew: Notify::new() })
    }

    pub fn subscribe(self: &Arc<Self>, scopes: Vec<Scope>) -> Subscription<K> {
        let (sender, changes) = mpsc::channel(WAITING);
        let mut subscribers = self.subscribers.lock();
        subscribers.number += 1;
        let number = subscribers.number;
        subscribers.new.push(Subscriber { number, scopes, changes: sender });
        self.anew.notify_one();
        Subscription { number, watch: self.clone(), changes }
    }

    /// Makes the watch begin anew, with a list: things that were shown may never have been.
    pub fn begin_anew(&self) {
        self.anew.notify_one();
    }

    /// Watches for the subscribers. Never ends.
    pub async fn run(&self) {
        loop {
            let scopes = self.admit_subscribers();
            self.passing.watched(&scopes);
            tokio::select! {
                biased;
                () = self.anew.notified() => {}
                () = self.passing.wants_a_list() => {}
                () = self.watch(&scopes) => {}
            }
        }
    }

    /// From now on, the new subscribers are shown everything.
    fn admit_subscribers(&self) -> Vec<Scope> {
        let mut subscribers = self.subscribers.lock();
        let new = std::mem::take(&mut subscribers.new);
        subscribers.present.extend(new);
        subscribers.scopes()
    }

    async fn watch(&self, scopes: &[Scope]) {
        let watches = scopes.iter().map(|scope| {
            let source = scope.clone();
            let shown = self.parts.watch(scope, Selected::default(), self.prepare);
            shown.map(move |shown| (source.clone(), shown))
        });
        let mut changes = select_all(watches);
        while let Some((source, shown)) = changes.next().await {
            let shown = self.passing.pass(&source, shown);
            self.show(source, shown).await;
        }
        // Nobody wants to see anything.
        std::future::pending().await
    }

    async fn show(&self, source: Scope, shown: Shown<K>) {
        let to: Vec<_> = {
            let subscribers = self.subscribers.lock();
            let wants = |subscriber: &&Subscriber<K>| subscriber.wants(&source, &shown);
            subscribers.present.iter().filter(wants).map(|subscriber| subscriber.changes.clone()).collect()
        };
        for subscriber in to {
            // Fails only for one that has just left.
            let _ = subscriber.send((source.clone(), shown.clone())).await;
        }
    }
}

#[cfg(test)]
mod tests;
