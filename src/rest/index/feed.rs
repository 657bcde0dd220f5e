//! Keeps the index up to date by the watches of tasks, types and queues, on every replica, whether it leads or not.

mod elsewhere;
mod named;

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt, pending};
use futures::stream::StreamExt;
use kube::Api;
use kube::api::{ListParams, ObjectMeta};
use kube::runtime::watcher::Event;
use tokio::sync::watch::Sender;

use super::Index;
use crate::api::Task;
use crate::cluster::calls::Reads;
use crate::cluster::watch::{Scope, Seen, Shown, Sight, Waiting, Watches, caught_up};
use crate::core::queue::Key;
use elsewhere::Elsewhere;
use named::Named;

/// Runs for ever. `ready` is told when all that was there at the beginning is known.
/// Where all tasks together are limited, `holders` are where any of them may run.
pub async fn run(
    reads: Reads,
    watches: Arc<Watches>,
    namespaces: Vec<String>,
    holders: Option<Scope>,
    index: Arc<Index>,
    ready: Sender<bool>,
) {
    let scopes = || namespaces.iter().map(|namespace| Scope::of(Some(namespace))).collect::<Vec<_>>();
    let mut tasks = watches.tasks.subscribe(holders.map_or_else(scopes, |holders| vec![holders]));
    let mut types = watches.types.subscribe(scopes());
    let mut queues = watches.queues.subscribe(scopes());
    let mut intake = Intake::new(&namespaces, index.clone());
    let mut catching_up: BoxFuture<'static, ()> = pending().boxed();
    loop {
        tokio::select! {
            Some((source, shown)) = tasks.next() => {
                if intake.tasks(&source, shown) {
                    catching_up = catch_up(reads.clone(), index.clone(), watches.sight().clone(), intake.resumed()).boxed();
                }
            }
            Some((source, shown)) = types.next() => intake.named(&source, shown),
            Some((source, shown)) = queues.next() => intake.named(&source, shown),
            () = &mut catching_up => {
                intake.caught_up();
                catching_up = pending().boxed();
            }
        }
        if !*ready.borrow() && intake.is_complete() {
            tracing::info!("knows the tasks that are served over REST");
            ready.send_replace(true);
        }
    }
}

/// Returns when the index has all that is in these namespaces now. Never, where there are none.
async fn catch_up(reads: Reads, index: Arc<Index>, sight: Arc<Sight>, namespaces: Vec<Arc<str>>) {
    for namespace in &namespaces {
        let tasks = Api::<Task>::namespaced(reads.client(), namespace);
        let has_reached = |task: &ObjectMeta| index.has_reached(task);
        let waiting = Waiting { what_for: "REST", eye: sight.eye() };
        caught_up(&reads, &tasks, &ListParams::default(), waiting, has_reached).await;
    }
    if namespaces.is_empty() {
        pending().await
    }
}

/// Brings changes into the index. Tasks that cannot be read stay as they were known.
struct Intake {
    index: Arc<Index>,
    namespaces: Vec<Namespace>,
    /// Tasks of other namespaces, which count as long as they hold a slot.
    elsewhere: Elsewhere,
}

/// One served namespace.
struct Namespace {
    name: Arc<str>,
    state: WatchState,
    /// The tasks that the present initial list has shown so far.
    tasks: HashSet<Arc<str>>,
    tasks_listed: bool,
    types: Listing,
    queues: Listing,
}

/// How far the list of one kind of a namespace's objects is.
#[derive(Default)]
struct Listing {
    /// The names that the present initial list has shown so far.
    names: HashSet<Arc<str>>,
    is_whole: bool,
}

/// The state of the watch of a namespace's tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WatchState {
    Watches,
    Lists,
    Broke,
    /// It broke, and goes on from where it was: it has yet to show what happened meanwhile.
    Resumed,
}

impl Namespace {
    fn new(name: &str) -> Self {
        let (tasks, tasks_listed, types, queues) = Default::default();
        Self { name: name.into(), state: WatchState::Lists, tasks, tasks_listed, types, queues }
    }
}

impl Intake {
    fn new(namespaces: &[String], index: Arc<Index>) -> Self {
        let namespaces = namespaces.iter().map(|name| Namespace::new(name)).collect();
        Self { index, namespaces, elsewhere: Elsewhere::default() }
    }

    fn is_complete(&self) -> bool {
        let is_whole =
            |namespace: &Namespace| namespace.tasks_listed && namespace.types.is_whole && namespace.queues.is_whole;
        self.namespaces.iter().all(is_whole)
    }

    /// The namespaces whose watch goes on, and has to catch up.
    fn resumed(&self) -> Vec<Arc<str>> {
        let resumed = self.namespaces.iter().filter(|namespace| namespace.state == WatchState::Resumed);
        resumed.map(|namespace| namespace.name.clone()).collect()
    }

    /// They have caught up.
    fn caught_up(&mut self) {
        for namespace in self.namespaces.iter_mut().filter(|namespace| namespace.state == WatchState::Resumed) {
            namespace.state = WatchState::Watches;
            self.index.catches_up(&namespace.name);
        }
    }

    /// True where the watch itself broke, goes on, or begins or ends a list.
    fn tasks(&mut self, source: &Scope, shown: Shown<Task>) -> bool {
        if let Shown::Event(Event::Apply(task) | Event::Delete(task) | Event::InitApply(task)) = &shown
            && !self.serves(task.meta())
        {
            self.elsewhere.take_in(&shown, &self.index);
            return false;
        }
        match shown {
            Shown::Event(Event::Apply(Seen::Whole(task))) => self.index.task_shown(&task),
            Shown::Event(Event::Apply(Seen::InPart(metadata))) => self.index.task_unread(&metadata),
            Shown::Event(Event::Delete(task)) => self.index.task_gone(task.meta()),
            Shown::Event(Event::InitApply(task)) => self.task_listed(&task),
            Shown::Event(Event::Init) => {
                self.elsewhere.list_begins();
                return self.each(source, Namespace::list_begins);
            }
            Shown::Event(Event::InitDone) => {
                self.elsewhere.listed(&self.index);
                return self.each(source, Namespace::tasks_listed);
            }
            Shown::Broke => return self.each(source, Namespace::breaks),
            Shown::Resumed => return self.each(source, Namespace::goes_on),
        }
        false
    }

    fn serves(&self, metadata: &ObjectMeta) -> bool {
        self.namespaces.iter().any(|namespace| metadata.namespace.as_deref() == Some(&namespace.name))
    }

    /// The watch of the tasks of these namespaces does something else.
    fn each(&mut self, source: &Scope, does: fn(&mut Namespace, &Index)) -> bool {
        let index = self.index.clone();
        self.covered(source).for_each(|namespace| does(namespace, &index));
        true
    }

    fn task_listed(&mut self, task: &Seen<Task>) {
        let metadata = task.meta();
        let of = |namespace: &&mut Namespace| metadata.namespace.as_deref() == Some(&namespace.name);
        if let Some(namespace) = self.namespaces.iter_mut().find(of) {
            // Whether it can be read or not.
            namespace.tasks.extend(metadata.uid.as_deref().map(Arc::from));
        }
        match task {
            Seen::Whole(task) => self.index.task_listed(task),
            Seen::InPart(metadata) => self.index.task_unread(metadata),
        }
    }

    /// A type or a queue.
    fn named<K: Named>(&mut self, source: &Scope, shown: Shown<K>) {
        let index = self.index.clone();
        match shown {
            Shown::Event(Event::Apply(Seen::Whole(object))) => K::changed(&index, key(object.meta()), Some(&object)),
            Shown::Event(Event::Delete(object)) => K::changed(&index, key(object.meta()), None),
            Shown::Event(Event::InitApply(object)) => self.named_listed(&object),
            Shown::Event(Event::Init) => {
                self.covered(source).for_each(|namespace| K::listing(namespace).names.clear());
            }
            Shown::Event(Event::InitDone) => {
                for namespace in self.covered(source) {
                    let name = namespace.name.clone();
                    let listing = K::listing(namespace);
                    listing.is_whole = true;
                    K::listed(&index, &name, &std::mem::take(&mut listing.names));
                }
            }
            Shown::Event(Event::Apply(Seen::InPart(_))) | Shown::Broke | Shown::Resumed => {}
        }
    }

    fn named_listed<K: Named>(&mut self, object: &Seen<K>) {
        let key = key(object.meta());
        if let Some(namespace) = self.namespaces.iter_mut().find(|namespace| namespace.name == key.0) {
            K::listing(namespace).names.insert(key.1.clone());
        }
        if let Seen::Whole(object) = object {
            K::changed(&self.index, key, Some(object));
        }
    }

    fn covered(&mut self, source: &Scope) -> impl Iterator<Item = &mut Namespace> {
        self.namespaces.iter_mut().filter(|namespace| source.covers(&namespace.name))
    }
}

impl Namespace {
    fn breaks(&mut self, index: &Index) {
        self.state = WatchState::Broke;
        index.falls_behind(&self.name);
    }

    fn goes_on(&mut self, _: &Index) {
        if self.state == WatchState::Broke {
            self.state = WatchState::Resumed;
        }
    }

    fn list_begins(&mut self, index: &Index) {
        self.state = WatchState::Lists;
        self.tasks.clear();
        index.list_begins(&self.name);
    }

    fn tasks_listed(&mut self, index: &Index) {
        self.state = WatchState::Watches;
        self.tasks_listed = true;
        index.tasks_listed(&self.name, &std::mem::take(&mut self.tasks));
    }
}

fn key(metadata: &ObjectMeta) -> Key {
    let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
    (text(&metadata.namespace), text(&metadata.name))
}

#[cfg(test)]
mod tests;
