//! Watches the tasks to follow, and drops at once what is not shown.

use std::time::Duration;

use futures::Stream;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};

use super::options::{FollowOptions, Scope};
use crate::api::Task;

/// The time for which is waited to know whether the namespace exists.
const NAMESPACE_ASKED_FOR: Duration = Duration::from_secs(5);

/// Never ends by itself; an error is followed by another try, after a pause that grows.
pub fn watch(
    client: Client,
    scope: &Scope,
    options: &FollowOptions,
) -> impl Stream<Item = watcher::Result<Event<Task>>> + use<> {
    let tasks: Api<Task> = match scope {
        Scope::One(namespace) => Api::namespaced(client, namespace),
        Scope::All => Api::all(client),
    };
    watcher(tasks, config(options)).default_backoff().modify(slim)
}

fn config(options: &FollowOptions) -> watcher::Config {
    let mut config = watcher::Config::default();
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
