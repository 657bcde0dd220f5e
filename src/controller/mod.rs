//! Does what `core` decides: watches, gathers, carries out, writes. Decides nothing about a task.
//!
//! ```text
//! watch ──► cache ──► reconcile: gather → decide → carry out     one per task at a time
//!             └─────► admission: admit → write                   one pass at a time
//! ```

mod admission;
mod cache;
mod context;
mod events;
mod reconcile;
pub mod record;
pub mod reports;
mod status;
pub mod upkeep;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::{FutureExt, StreamExt};
use kube::Client;
use kube::runtime::controller::{self, applier};
use kube::runtime::reflector::{self, ObjectRef, Store};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::{Priority, Task};
use crate::archive::Guard;
use crate::cluster::lease::Leadership;
use crate::core::Settings;
use crate::live::Live;
use crate::metrics::Metrics;
use context::Context;

pub use record::deleted_tasks::DeletedTasks;
pub use record::retention::Retention;

/// How many tasks are reconciled, and how many admissions written, at once. More gains the API server nothing
/// and makes everyone wait longer.
const CONCURRENCY: u16 = 32;
/// How long what has begun may go on after the operator was asked to stop.
const DRAIN: Duration = Duration::from_secs(10);
/// Reconcile requests that may wait to be taken up before the watches are slowed down.
const WAKES: usize = 1024;

/// Where the controller looks.
#[derive(Clone)]
pub struct Scope {
    pub client: Client,
    /// Where the records of finished tasks are kept.
    pub archive: Arc<Guard>,
    /// Deleted tasks whose records are still to be written.
    pub deleted_tasks: Arc<DeletedTasks>,
    pub retention: Retention,
    /// Where what the work says is kept while it runs.
    pub live: Arc<Live>,
    /// This namespace alone; `None` for all.
    pub namespace: Option<String>,
}

/// Runs the controller until `shutdown`, which it cancels itself if a part of it fails; then drains it. `ready` is told
/// whether the caches hold everything.
pub async fn run(
    scope: Scope,
    settings: Settings,
    leadership: Leadership,
    metrics: Arc<Metrics>,
    ready: tokio::sync::watch::Sender<bool>,
    shutdown: CancellationToken,
) {
    ready.send_replace(false);
    // Not the same: one who waits for the lease is ready too, and knows nothing.
    let (knows_all, knows) = tokio::sync::watch::channel(false);
    let (tasks, writer) = reflector::store();
    let (wake, wakes) = mpsc::channel(WAKES);
    let retention = scope.retention;
    let (context, event_writer) = Context::new(scope, settings, leadership, metrics.clone(), tasks.clone(), knows);
    let reconciler = reconciler(context.clone(), tasks, wakes);

    let stop = shutdown.clone();
    let mut parts = JoinSet::new();
    let mut look = |looking| drop(parts.spawn(drop_output(stop.clone().run_until_cancelled_owned(looking)).boxed()));
    look(record::retention::run(context.clone(), retention).boxed());
    look(record::run(context.clone(), wake.clone()).boxed());
    look(watch::run(context.clone(), writer, wake.clone(), knows_all).boxed());
    look(tell_when_ready(context.clone(), ready).boxed());
    look(reports::run(context.clone(), wake, shutdown.clone()).boxed());
    look(upkeep::orphans::run(context.clone()).boxed());
    look(upkeep::types::run(context.clone()).boxed());
    look(upkeep::queues::run(context.clone()).boxed());
    look(watch::classes::run(context.clone()).boxed());
    look(watch::namespaces::run(context.clone()).boxed());
    parts.spawn(admission::run(context, shutdown.clone()).boxed());
    parts.spawn(reconciler.boxed());
    parts.spawn(event_writer.run().boxed());
    until_over(&mut parts, &shutdown).await;
    drain(parts).await;
    // Whoever leads next tells what waits and what runs.
    metrics.depth([0; Priority::COUNT], 0);
}

async fn tell_when_ready(context: Arc<Context>, ready: tokio::sync::watch::Sender<bool>) {
    if context.is_ready().await {
        ready.send_replace(true);
    }
    std::future::pending().await
}

fn reconciler(
    context: Arc<Context>,
    tasks: Store<Task>,
    wakes: mpsc::Receiver<ObjectRef<Task>>,
) -> impl Future<Output = ()> {
    applier(
        |task, context| reconcile::reconcile(task, context).boxed(),
        reconcile::on_error,
        context,
        tasks,
        wakes.map(Ok::<_, std::convert::Infallible>),
        controller::Config::default().concurrency(CONCURRENCY),
    )
    .for_each(|_| std::future::ready(()))
}

/// None of the parts ends by itself: one that does has failed, and the others must not go on without it.
async fn until_over(parts: &mut JoinSet<()>, shutdown: &CancellationToken) {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => {}
        ended = parts.join_next() => {
            let why = ended.and_then(Result::err).map_or_else(|| "nobody asked it to".into(), |error| error.to_string());
            tracing::error!(why, "a part of the controller ended; all begin anew");
            shutdown.cancel();
        }
    }
}

/// The watches end first: with them the reconciler's queue closes, and what has begun is finished.
async fn drain(mut parts: JoinSet<()>) {
    let drained = async { while parts.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!(seconds = DRAIN.as_secs(), "stopped before all that had begun was finished");
    }
    parts.shutdown().await;
}

async fn drop_output<T>(future: impl Future<Output = T>) {
    future.await;
}

#[cfg(test)]
mod tests;
