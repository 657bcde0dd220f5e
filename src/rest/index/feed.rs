//! Keeps the index up to date: a watch over the tasks and types of each served namespace, on every replica,
//! whether it leads or not.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt, select_all};
use kube::core::NamespaceResourceScope;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch::Sender;

use super::Index;
use crate::api::{Task, TaskType};
use crate::cluster::endless::{always, endless};
use crate::cluster::readable::Readable;
use crate::cluster::restored::Clock;
use crate::metrics::Metrics;

#[allow(clippy::large_enum_variant, reason = "one exists at a time, and only until it is taken in")]
enum Change {
    Task(Event<Readable<Task>>),
    Type(Event<Readable<TaskType>>),
    /// The watch of the tasks broke.
    TasksBroke,
    TypesBroke,
}

/// Runs for ever. `ready` is told when all that was there at the beginning is known.
pub async fn run(
    client: Client,
    namespaces: Vec<String>,
    index: Arc<Index>,
    metrics: Arc<Metrics>,
    ready: Sender<bool>,
) {
    let clock = Clock::default();
    loop {
        let looking = clock.goes_back(&client, &namespaces);
        let watching = keep(&client, &namespaces, &index, &metrics, &ready, &clock);
        tokio::select! {
            () = looking => tracing::warn!("the cluster went back: it was restored; REST begins anew"),
            () = watching => return,
        }
        // Nothing is known for sure until the lists are read again.
        namespaces.iter().for_each(|namespace| index.falls_behind(namespace));
    }
}

/// Keeps the index up to date without end.
async fn keep(
    client: &Client,
    namespaces: &[String],
    index: &Arc<Index>,
    metrics: &Arc<Metrics>,
    ready: &Sender<bool>,
    clock: &Clock,
) {
    let watched = namespaces.iter().enumerate().flat_map(|(number, namespace)| {
        [
            watch::<Task>(client, namespace, metrics, move |event| {
                (number, event.map_or(Change::TasksBroke, Change::Task))
            }),
            watch::<TaskType>(client, namespace, metrics, move |event| {
                (number, event.map_or(Change::TypesBroke, Change::Type))
            }),
        ]
    });
    let mut changes = select_all(watched.collect::<Vec<_>>());
    let mut intakes: Vec<Intake> = namespaces.iter().map(|namespace| Intake::new(namespace, index.clone())).collect();
    while let Some((number, change)) = changes.next().await {
        let Some(intake) = intakes.get_mut(number) else { continue };
        match change {
            Change::Task(event) => {
                clock.shows(&event);
                intake.task(event);
            }
            Change::Type(event) => intake.kind(event),
            Change::TasksBroke => index.falls_behind(&intake.namespace),
            Change::TypesBroke => {}
        }
        if !*ready.borrow() && intakes.iter().all(Intake::is_complete) {
            tracing::info!("knows the tasks that are served over REST");
            ready.send_replace(true);
        }
    }
}

/// Watched without end. After an error the watch begins anew with a list, after a pause, so that it shows when all is
/// known again.
fn watch<K>(
    client: &Client,
    namespace: &str,
    metrics: &Arc<Metrics>,
    change: impl Fn(Option<Event<Readable<K>>>) -> (usize, Change) + Send + 'static,
) -> BoxStream<'static, (usize, Change)>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let api = Api::<Readable<K>>::namespaced(client.clone(), namespace);
    let metrics = metrics.clone();
    // Listed as things are now: what a list does not show is taken to be gone.
    endless(api, watcher::Config::default(), always)
        .default_backoff()
        .map(move |event| {
            let event = event.inspect_err(|error| {
                metrics.watch_failed(&K::kind(&()));
                tracing::warn!(kind = %K::kind(&()), %error, "watch for REST failed; begins anew");
            });
            change(event.ok())
        })
        .boxed()
}

/// Brings the changes of one namespace into the index. The controller tells of what cannot be read: here it is passed
/// over, and stays as it was known.
struct Intake {
    namespace: String,
    index: Arc<Index>,
    /// What the present initial lists have shown so far.
    tasks: HashSet<Arc<str>>,
    types: HashSet<Arc<str>>,
    tasks_listed: bool,
    types_listed: bool,
}

impl Intake {
    fn new(namespace: &str, index: Arc<Index>) -> Self {
        let (tasks, types) = Default::default();
        Self { namespace: namespace.into(), index, tasks, types, tasks_listed: false, types_listed: false }
    }

    fn is_complete(&self) -> bool {
        self.tasks_listed && self.types_listed
    }

    fn task(&mut self, event: Event<Readable<Task>>) {
        match event {
            Event::Apply(task) => task.0.iter().for_each(|task| self.index.task_shown(task)),
            Event::Delete(task) => self.index.task_gone(task.meta()),
            Event::Init => {
                self.tasks.clear();
                self.index.list_begins(&self.namespace);
            }
            Event::InitApply(task) => {
                // Whether it can be read or not.
                self.tasks.extend(task.uid().map(Arc::from));
                task.0.iter().for_each(|task| self.index.task_listed(task));
            }
            Event::InitDone => {
                self.index.tasks_listed(&self.namespace, &std::mem::take(&mut self.tasks));
                self.tasks_listed = true;
            }
        }
    }

    fn kind(&mut self, event: Event<Readable<TaskType>>) {
        let key = |kind: &Readable<TaskType>| (Arc::from(self.namespace.as_str()), Arc::from(kind.name_any()));
        match event {
            Event::Apply(kind) => kind.0.iter().for_each(|read| self.index.type_changed(key(&kind), Some(read))),
            Event::Delete(kind) => self.index.type_changed(key(&kind), None),
            Event::Init => self.types.clear(),
            Event::InitApply(kind) => {
                self.types.insert(kind.name_any().into());
                kind.0.iter().for_each(|read| self.index.type_changed(key(&kind), Some(read)));
            }
            Event::InitDone => {
                self.index.types_listed(&self.namespace, &std::mem::take(&mut self.types));
                self.types_listed = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::State;

    fn shown(name: &str, spec: serde_json::Value) -> Readable<Task> {
        let manifest = json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task",
            "metadata": {"name": name, "namespace": "docs", "uid": name, "resourceVersion": "1"}, "spec": spec});
        serde_json::from_str(&manifest.to_string()).expect("its metadata can be read")
    }

    /// The same, as nobody can read it.
    fn unread(name: &str) -> Readable<Task> {
        let task = shown(name, json!({"type": 7}));
        assert!(task.0.is_err());
        task
    }

    fn knowing(names: &[&str]) -> Intake {
        let mut intake = Intake::new("docs", Arc::new(Index::default()));
        names.iter().for_each(|name| intake.task(Event::Apply(shown(name, json!({"type": "work"})))));
        intake
    }

    #[test]
    fn what_cannot_be_read_stays_as_it_was_known() {
        let mut intake = knowing(&["a", "gone"]);
        intake.task(Event::Apply(unread("a")));
        for event in [Event::Init, Event::InitApply(unread("a")), Event::InitDone] {
            intake.task(event);
        }
        assert_eq!(intake.index.get("a").map(|entry| entry.state), Some(State::Queued));
        assert!(intake.index.is_gone("gone"));
    }

    #[test]
    fn what_cannot_be_read_is_gone_when_it_is_deleted() {
        let mut intake = knowing(&["a"]);
        intake.task(Event::Delete(unread("a")));
        assert!(intake.index.get("a").is_none() && intake.index.is_gone("a"));
    }
}
