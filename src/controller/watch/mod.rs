//! Takes in what the watches show, one change after another, and wakes the tasks that it concerns. Another kind of object
//! is one more line in [`run`] and its `Watched` in [`kinds`]. Never asks the API server for anything else.

pub mod blindness;
pub mod classes;
mod kinds;
pub mod namespaces;
mod tasks;
mod workers;

use std::sync::Arc;

use futures::channel::mpsc;
use futures::stream::{BoxStream, StreamExt, select_all};
use futures::{SinkExt, Stream};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;

use super::cache::Cache;
use super::record::Records;
use crate::api::Task;
use crate::cluster::watch::{Scope, Seen, Selected, Shown, Watches};
use crate::core::launch::names;
use kinds::ByList;
use tasks::Tasks;
use workers::Workers;

pub type Wake = mpsc::Sender<ObjectRef<Task>>;

/// The tasks that a change concerns.
type Woken = Vec<ObjectRef<Task>>;

/// Where a term watches.
pub struct Sources {
    pub scope: Scope,
    pub watches: Arc<Watches>,
}

/// Where a term takes in what it sees.
pub struct Intake {
    pub cache: Arc<Cache>,
    pub records: Arc<Records>,
    pub store: Writer<Task>,
    pub wake: Wake,
    /// Told when all initial lists are complete.
    pub ready: tokio::sync::watch::Sender<bool>,
}

/// Takes in what is shown of one kind of object.
trait TakeIn<K> {
    fn take_in(&mut self, event: Event<Seen<K>>) -> Woken;
}

/// The outcome of a change.
struct TakenIn {
    woken: Woken,
    /// A whole list of its kind was shown with it.
    is_whole: bool,
}

/// Runs for ever.
pub async fn run(sources: Sources, intake: Intake) {
    let Sources { scope, watches } = sources;
    let Intake { cache, records, store, mut wake, ready } = intake;
    let ours = Selected { labels: Some(names::LABEL_TASK_UID.into()), ..Selected::default() };
    // The lists of the shared watches are asked for after this, so after the lease was taken.
    let tasks = watches.tasks.subscribe(vec![scope.clone()]).map(|(_, shown)| shown);
    let types = watches.types.subscribe(vec![scope.clone()]).map(|(_, shown)| shown);
    let queues = watches.queues.subscribe(vec![scope.clone()]).map(|(_, shown)| shown);
    let pools = watches.pools.subscribe(vec![scope.clone()]).map(|(_, shown)| shown);
    let jobs = watches.watch::<Job>(&scope, ours.clone());
    let pods = watches.watch::<Pod>(&scope, ours);
    let of_pools = Selected { labels: Some(names::LABEL_POOL.into()), ..Selected::default() };
    let workers = watches.watch::<Pod>(&scope, of_pools);
    let kinds = [
        taken_in(tasks, Tasks::new(cache.clone(), records, store)),
        taken_in(types, ByList::new(cache.clone())),
        taken_in(queues, ByList::new(cache.clone())),
        taken_in(jobs, ByList::new(cache.clone())),
        taken_in(pods, ByList::new(cache.clone())),
        taken_in(pools, ByList::new(cache.clone())),
        taken_in(workers, Workers::new(cache.clone())),
    ];
    let mut unlisted: Vec<usize> = (0..kinds.len()).collect();
    let numbered = kinds.into_iter().enumerate().map(|(kind, taken)| taken.map(move |taken| (kind, taken)));
    let mut changes = select_all(numbered);
    while let Some((kind, taken)) = changes.next().await {
        if taken.is_whole && !unlisted.is_empty() {
            unlisted.retain(|unlisted| *unlisted != kind);
            if unlisted.is_empty() {
                tracing::info!("the caches are complete");
                ready.send_replace(true);
                cache.ring_admission();
            }
        }
        for task in taken.woken {
            // Fails only when the reconciler has ended, and then nobody need be woken.
            let _ = wake.send(task).await;
        }
    }
}

/// Takes in each event. That a watch broke needs nothing: it tells later what happened meanwhile, or shows a list.
fn taken_in<K: Send + Sync + 'static>(
    shown: impl Stream<Item = Shown<K>> + Send + 'static,
    mut intake: impl TakeIn<K> + Send + 'static,
) -> BoxStream<'static, TakenIn> {
    let taken = move |shown| {
        let taken = match shown {
            Shown::Event(event) => {
                let is_whole = matches!(event, Event::InitDone);
                Some(TakenIn { woken: intake.take_in(event), is_whole })
            }
            Shown::Broke | Shown::Resumed => None,
        };
        std::future::ready(taken)
    };
    shown.filter_map(taken).boxed()
}
