//! Watches the tasks of one namespace, and drops at once what is not shown.

use futures::Stream;
use kube::{
    Api, Client, ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};

use super::FollowOptions;
use crate::api::Task;

/// Never ends by itself; an error is followed by another try, after a pause that grows.
pub fn watch(client: Client, options: &FollowOptions) -> impl Stream<Item = watcher::Result<Event<Task>>> + use<> {
    let tasks: Api<Task> = Api::namespaced(client, &options.namespace);
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

/// The code of a list that the API server refused and will refuse again.
pub fn refusal(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) if (400..429).contains(&status.code) => {
            Some(status.code)
        }
        _ => None,
    }
}

/// The error for a person: the API server's own sentence, else the innermost cause.
pub fn told(error: &watcher::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    loop {
        if let Some(kube::Error::Api(status)) = cause.downcast_ref::<kube::Error>() {
            return status.message.clone();
        }
        match cause.source() {
            Some(inner) => cause = inner,
            None => return cause.to_string(),
        }
    }
}
