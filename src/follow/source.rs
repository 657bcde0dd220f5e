//! Watches the tasks to follow, and what they may wait for, and drops at once what is not shown.

use std::fmt::Debug;
use std::time::Duration;

use futures::{
    Stream, StreamExt,
    stream::{BoxStream, select_all},
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Resource, ResourceExt,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};

use serde::de::DeserializeOwned;

use super::options::{FollowOptions, Scope};
use super::waits::Beside;
use crate::api::{Task, TaskQueue, TaskType};

/// How many seconds a watch lasts before the next one goes on from there: so one that went silent is noticed soon.
const TERM: u32 = 20;
/// The time for which is waited to know whether the namespace exists.
const NAMESPACE_ASKED_FOR: Duration = Duration::from_secs(5);

/// Never ends by itself; an error is followed by another try, after a pause that grows.
pub fn watch(
    client: Client,
    scope: &Scope,
    options: &FollowOptions,
) -> impl Stream<Item = watcher::Result<Event<Task>>> + use<> {
    watcher(api::<Task>(client, scope), config(options)).default_backoff().modify(slim)
}

/// Watches beside the tasks that are followed: types, queues, and all tasks where only some are followed. Whoever may not
/// see them is not told: then the statuses alone say why a task waits.
pub fn beside(client: &Client, scope: &Scope, options: &FollowOptions) -> impl Stream<Item = Beside> + use<> {
    let types = all(api::<TaskType>(client.clone(), scope)).map(Beside::Type).boxed();
    let queues = all(api::<TaskQueue>(client.clone(), scope)).map(Beside::Queue).boxed();
    let tasks = || all(api::<Task>(client.clone(), scope)).map(Beside::Task).boxed();
    select_all([types, queues].into_iter().chain(options.follows_some().then(tasks)))
}

fn all<K>(objects: Api<K>) -> BoxStream<'static, Event<K>>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let shown = watcher(objects, watcher::Config::default().timeout(TERM)).default_backoff();
    shown.filter_map(|shown| std::future::ready(shown.ok())).boxed()
}

fn api<K>(client: Client, scope: &Scope) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match scope {
        Scope::One(namespace) => Api::namespaced(client, namespace),
        Scope::All => Api::all(client),
    }
}

fn config(options: &FollowOptions) -> watcher::Config {
    let mut config = watcher::Config::default().timeout(TERM);
    config.label_selector.clone_from(&options.selector);
    if let [name] = &options.names[..] {
        config = config.fields(&format!("metadata.name={name}"));
    }
    config
}

fn slim(task: &mut Task) {
    task.spec.payload = None;
    task.managed_fields_mut().clear();
    task.annotations_mut().clear();
}

/// The namespace is known not to exist. Who may not read it, or gets no answer, knows nothing.
pub async fn is_missing(client: Client, namespace: &str) -> bool {
    let namespaces = Api::<Namespace>::all(client);
    let asked = tokio::time::timeout(NAMESPACE_ASKED_FOR, namespaces.get_metadata_opt(namespace)).await;
    matches!(asked, Ok(Ok(None)))
}

/// The code of a list that the API server refused and will refuse again.
pub fn refusal(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) if (400..429).contains(&status.code) => {
            Some(status.code)
        }
        _ => None,
    }
}
