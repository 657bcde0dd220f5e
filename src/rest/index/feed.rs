//! Keeps the index up to date by the watches of tasks and types, on every replica, whether it leads or not.

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt, pending};
use futures::stream::StreamExt;
use kube::Api;
use kube::api::{ListParams, ObjectMeta};
use kube::runtime::watcher::Event;
use tokio::sync::watch::Sender;

use super::Index;
use crate::api::{Task, TaskType};
use crate::cluster::calls::Reads;
use crate::cluster::watch::{Scope, Seen, Shown, Watches, caught_up};
use crate::core::queue::Key;

/// Runs for ever. `ready` is told when all that was there at the beginning is known.
pub async fn run(reads: Reads, watches: Arc<Watches>, namespaces: Vec<String>, index: Arc<Index>, ready: Sender<bool>) {
    let scopes = || namespaces.iter().map(|namespace| Scope::of(Some(namespace))).collect();
    let mut tasks = watches.tasks.subscribe(scopes());
    let mut types = watches.types.subscribe(scopes());
    let mut intake = Intake::new(&namespaces, index.clone());
    let mut catching_up: BoxFuture<'static, ()> = pending().boxed();
    loop {
        tokio::select! {
            Some((source, shown)) = tasks.next() => {
                if intake.tasks(&source, shown) {
                    catching_up = catch_up(reads.clone(), index.clone(), intake.resumed()).boxed();
                }
            }
            Some((source, shown)) = types.next() => intake.types(&source, shown),
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
async fn catch_up(reads: Reads, index: Arc<Index>, namespaces: Vec<Arc<str>>) {
    for namespace in &namespaces {
        let tasks = Api::<Task>::namespaced(reads.client(), namespace);
        let has_reached = |task: &ObjectMeta| index.has_reached(task);
        caught_up(&reads, &tasks, &ListParams::default(), "REST", has_reached).await;
    }
    if namespaces.is_empty() {
        pending().await
    }
}

/// Brings changes into the index. Tasks that cannot be read stay as they were known.
struct Intake {
    index: Arc<Index>,
    namespaces: Vec<Namespace>,
}

/// One served namespace.
struct Namespace {
    name: Arc<str>,
    state: WatchState,
    /// The tasks and types that the present initial lists have shown so far.
    tasks: HashSet<Arc<str>>,
    types: HashSet<Arc<str>>,
    tasks_listed: bool,
    types_listed: bool,
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
        let (tasks, types) = Default::default();
        Self { name: name.into(), state: WatchState::Lists, tasks, types, tasks_listed: false, types_listed: false }
    }
}

impl Intake {
    fn new(namespaces: &[String], index: Arc<Index>) -> Self {
        Self { index, namespaces: namespaces.iter().map(|name| Namespace::new(name)).collect() }
    }

    fn is_complete(&self) -> bool {
        self.namespaces.iter().all(|namespace| namespace.tasks_listed && namespace.types_listed)
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
        match shown {
            Shown::Event(Event::Apply(Seen::Whole(task))) => self.index.task_shown(&task),
            Shown::Event(Event::Apply(Seen::InPart(metadata))) => self.index.task_unread(&metadata),
            Shown::Event(Event::Delete(task)) => self.index.task_gone(task.meta()),
            Shown::Event(Event::InitApply(task)) => self.task_listed(&task),
            Shown::Event(Event::Init) => return self.each(source, Namespace::list_begins),
            Shown::Event(Event::InitDone) => return self.each(source, Namespace::tasks_listed),
            Shown::Broke => return self.each(source, Namespace::breaks),
            Shown::Resumed => return self.each(source, Namespace::goes_on),
        }
        false
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

    fn types(&mut self, source: &Scope, shown: Shown<TaskType>) {
        match shown {
            Shown::Event(Event::Apply(Seen::Whole(kind))) => self.index.type_changed(key(&kind.metadata), Some(&kind)),
            Shown::Event(Event::Delete(kind)) => self.index.type_changed(key(kind.meta()), None),
            Shown::Event(Event::InitApply(kind)) => self.type_listed(&kind),
            Shown::Event(Event::Init) => self.covered(source).for_each(|namespace| namespace.types.clear()),
            Shown::Event(Event::InitDone) => {
                let index = self.index.clone();
                self.covered(source).for_each(|namespace| namespace.types_listed(&index));
            }
            Shown::Event(Event::Apply(Seen::InPart(_))) | Shown::Broke | Shown::Resumed => {}
        }
    }

    fn type_listed(&mut self, kind: &Seen<TaskType>) {
        let key = key(kind.meta());
        if let Some(namespace) = self.namespaces.iter_mut().find(|namespace| namespace.name == key.0) {
            namespace.types.insert(key.1.clone());
        }
        if let Seen::Whole(kind) = kind {
            self.index.type_changed(key, Some(kind));
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

    fn types_listed(&mut self, index: &Index) {
        self.types_listed = true;
        index.types_listed(&self.name, &std::mem::take(&mut self.types));
    }
}

fn key(metadata: &ObjectMeta) -> Key {
    let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
    (text(&metadata.namespace), text(&metadata.name))
}

#[cfg(test)]
mod tests;
