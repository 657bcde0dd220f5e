//! Watches the tasks to follow, and what they may wait for, and drops at once what is not shown.

use std::fmt::Debug;
use std::time::Duration;

use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream, select_all},
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Resource, ResourceExt,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt,
        utils::Backoff,
        watcher::{self, DefaultBackoff, Event, watcher},
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
    pausing(watcher(api::<Task>(client, scope), config(options))).modify(slim)
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
    let shown = pausing(watcher(objects, watcher::Config::default().timeout(TERM)));
    shown.filter_map(|shown| std::future::ready(shown.ok())).boxed()
}

/// After errors it pauses, the longer the more came in a row. kube's own pauses begin anew with each list, also one that fails.
fn pausing<K>(
    shown: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
) -> BoxStream<'static, watcher::Result<Event<K>>>
where
    K: Send + 'static,
{
    let begin = (shown.boxed(), DefaultBackoff::default(), None);
    stream::unfold(begin, |(mut shown, mut pauses, due)| async move {
        if let Some(pause) = due {
            tokio::time::sleep(pause).await;
        }
        let told = shown.next().await?;
        let due = match &told {
            Err(_) => pauses.next(),
            Ok(Event::Init | Event::InitApply(_)) => None,
            Ok(_) => {
                pauses.reset();
                None
            }
        };
        Some((told, (shown, pauses, due)))
    })
    .boxed()
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;
    use tower::service_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_may_not_list_asks_less_and_less_often() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let server = service_fn(move |_: Request<Body>| {
            count.fetch_add(1, Ordering::Relaxed);
            let refusal = json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403});
            let response = Response::builder().status(403).body(Body::from(refusal.to_string().into_bytes()));
            async move { Ok::<_, Infallible>(response.expect("a response")) }
        });
        let told = all(Api::<TaskQueue>::all(Client::new(server, "docs")));
        let _ = tokio::time::timeout(Duration::from_secs(120), told.collect::<Vec<_>>()).await;
        let asked = asked.load(Ordering::Relaxed);
        assert!((3..15).contains(&asked), "{asked} lists within two minutes");
    }
}
