//! Does what `core` decides: watches, gathers, carries out, writes. Decides nothing about a task.
//!
//! ```text
//! watch ──► cache ──► reconcile: gather → decide → carry out     one per task at a time
//!             └─────► admission: admit → write                   one pass at a time
//! ```

mod admission;
mod batches;
mod cache;
mod context;
mod events;
mod leased_task;
mod next;
mod pools;
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
use kube::runtime::reflector::{self, ObjectRef, Store, store};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::Task;
use crate::archive::Guard;
use crate::cluster::calls::{Calls, Reads};
use crate::cluster::lease::Leadership;
use crate::cluster::watch::{Scope, Watches};
use crate::core::Settings;
use crate::live::Live;
use crate::metrics::Metrics;
use admission::Admitting;
use batches::Batches;
use cache::Cache;
use cache::just_admitted::JustAdmitted;
use context::{Context, LARGE_AT_ONCE, Ready};
use record::Records;
use status::StatusWriter;
use upkeep::finished_jobs::FinishedJobs;
use upkeep::types::Checks;
use watch::classes::PriorityClasses;
use watch::{Intake, Sources};

pub use record::deleted_tasks::DeletedTasks;
pub use record::retention::Retention;

/// How many tasks are reconciled, and how many admissions written, at once. More gains the API server nothing
/// and makes everyone wait longer.
const CONCURRENCY: u16 = 32;
/// How long what has begun may go on after the operator was asked to stop.
const DRAIN: Duration = Duration::from_secs(10);
/// Reconcile requests that may wait to be taken up before the watches are slowed down.
const WAKES: usize = 1024;

/// The things around the controller, which outlive its terms.
#[derive(Clone)]
pub struct Environment {
    pub client: Client,
    /// Where the records of finished tasks are kept.
    pub archive: Arc<Guard>,
    /// Deleted tasks whose records are still to be written.
    pub deleted_tasks: Arc<DeletedTasks>,
    pub retention: Retention,
    /// The reports of work that runs.
    pub live: Arc<Live>,
    /// Tasks and types, as the whole process watches them.
    pub watches: Arc<Watches>,
    /// The namespaces that are looked after.
    pub scope: Scope,
}

/// Runs the controller until `shutdown`, which it cancels itself if a part of it fails; then drains it. `ready` is told
/// whether the caches hold everything.
pub async fn run(
    environment: Environment,
    settings: Settings,
    leadership: Leadership,
    metrics: Arc<Metrics>,
    ready: tokio::sync::watch::Sender<bool>,
    shutdown: CancellationToken,
) {
    // A replica that waits for the lease is ready too, and its caches are empty.
    ready.send_replace(false);
    let term = Term::new(environment, settings, leadership, metrics.clone());
    metrics.leads(true);
    let mut parts = term.begin(ready, &shutdown);
    until_over(&mut parts, &shutdown).await;
    drain(parts).await;
    metrics.leads(false);
}

/// The values of one term. No part sees this: each is handed what it uses.
struct Term {
    environment: Environment,
    settings: Settings,
    metrics: Arc<Metrics>,
    calls: Calls,
    status: Arc<StatusWriter>,
    events: events::Writer,
    tasks: (Store<Task>, store::Writer<Task>),
    cache: Arc<Cache>,
    records: Arc<Records>,
    just_admitted: Arc<JustAdmitted>,
    finished_jobs: Arc<FinishedJobs>,
    classes: PriorityClasses,
}

impl Term {
    fn new(environment: Environment, settings: Settings, leadership: Leadership, metrics: Arc<Metrics>) -> Self {
        let calls = Calls::new(Reads::new(environment.client.clone()), leadership, metrics.clone());
        let (told, events) = events::channel(calls.clone(), metrics.clone());
        let tasks = reflector::store();
        let cache = Arc::new(Cache::new(tasks.0.clone(), settings.clone()));
        let (archive, deleted) = (environment.archive.clone(), environment.deleted_tasks.clone());
        let records = Arc::new(Records::new(archive, deleted, metrics.clone()));
        Self {
            status: Arc::new(StatusWriter::new(calls.clone(), told, metrics.clone())),
            finished_jobs: Arc::new(FinishedJobs::new(cache.clone(), records.clone(), calls.clone())),
            cache,
            records,
            just_admitted: Arc::default(),
            classes: PriorityClasses::default(),
            environment,
            settings,
            metrics,
            calls,
            events,
            tasks,
        }
    }

    /// Begins all parts.
    fn begin(self, ready: tokio::sync::watch::Sender<bool>, shutdown: &CancellationToken) -> JoinSet<()> {
        let (knows_all, known) = tokio::sync::watch::channel(false);
        let known = Ready(known);
        let (wake, wakes) = mpsc::channel(WAKES);
        let (context, admitting) = (self.context(known.clone()), self.admitting(known.clone(), wake.clone()));
        let (checks, reporting, pools) = (self.checks(), self.reporting(), self.pools());
        let Self {
            environment,
            metrics,
            calls,
            status,
            events,
            tasks: (tasks, writer),
            cache,
            records,
            classes,
            finished_jobs,
            settings,
            ..
        } = self;
        let Environment { client, scope, watches, archive, retention, .. } = environment;
        let sources = Sources { scope: scope.clone(), watches: watches.clone() };
        let (cache_, wake_) = (cache.clone(), wake.clone());
        let intake = Intake { cache: cache_, records: records.clone(), store: writer, wake: wake_, ready: knows_all };

        let mut parts = Parts { running: JoinSet::new(), known, shutdown: shutdown.clone() };
        parts.until_shutdown(watch::run(sources, intake));
        parts.until_shutdown(watch::blindness::run(watches));
        let rights = calls.reads.rights.clone();
        parts.until_shutdown(watch::namespaces::run(client, scope, cache.clone(), rights, wake.clone()));
        parts.until_shutdown(watch::classes::run(calls.reads.clone(), classes));
        parts.until_shutdown(record::wake_when_back::run(records, cache.clone(), wake.clone()));
        parts.once_known(tell(ready));
        parts.once_known(record::retention::run(archive.archive().clone(), retention));
        parts.once_known(reports::run(reporting, wake.clone(), shutdown.clone()));
        parts.once_known(pools::run(pools));
        parts.once_known(upkeep::orphans::run(cache.clone(), calls));
        parts.once_known(upkeep::finished_jobs::run(finished_jobs, settings.keep_finished));
        parts.once_known(upkeep::types::run(cache.clone(), checks, wake.clone()));
        parts.once_known(upkeep::waits::run(cache.clone(), wake));
        parts.once_known(upkeep::load::run(cache.clone(), metrics));
        parts.once_known(upkeep::queues::run(cache, status));
        parts.until_drained(admission::run(admitting, shutdown.clone()));
        parts.until_drained(reconciler(context, tasks, wakes));
        parts.until_drained(events.run());
        parts.running
    }

    fn context(&self, ready: Ready) -> Context {
        Context {
            client: self.environment.client.clone(),
            calls: self.calls.clone(),
            status: self.status.clone(),
            records: self.records.clone(),
            live: self.environment.live.clone(),
            cache: self.cache.clone(),
            just_admitted: self.just_admitted.clone(),
            finished_jobs: self.finished_jobs.clone(),
            batches: Batches::default(),
            classes: self.classes.clone(),
            settings: self.settings.clone(),
            metrics: self.metrics.clone(),
            ready,
            large: Semaphore::new(LARGE_AT_ONCE),
        }
    }

    fn admitting(&self, ready: Ready, wake: watch::Wake) -> Admitting {
        let client = self.environment.client.clone();
        Admitting {
            tasks: self.environment.scope.api(client),
            reads: self.calls.reads.clone(),
            cache: self.cache.clone(),
            just_admitted: self.just_admitted.clone(),
            status: self.status.clone(),
            metrics: self.metrics.clone(),
            sight: self.environment.watches.sight().clone(),
            ready,
            wake,
        }
    }

    fn checks(&self) -> Checks {
        Checks { calls: self.calls.clone(), status: self.status.clone(), settings: self.settings.clone() }
    }

    fn pools(&self) -> pools::Pools {
        pools::Pools {
            calls: self.calls.clone(),
            cache: self.cache.clone(),
            status: self.status.clone(),
            settings: self.settings.clone(),
            metrics: self.metrics.clone(),
        }
    }

    fn reporting(&self) -> reports::Context {
        reports::Context {
            reads: self.calls.reads.clone(),
            scope: self.environment.scope.clone(),
            cache: self.cache.clone(),
            live: self.environment.live.clone(),
            records: self.records.clone(),
        }
    }
}

/// The parts that run. None of them ends by itself but those that are drained.
struct Parts {
    running: JoinSet<()>,
    known: Ready,
    shutdown: CancellationToken,
}

impl Parts {
    /// Runs a part until the shutdown begins.
    fn until_shutdown(&mut self, part: impl Future<Output = ()> + Send + 'static) {
        let until = self.shutdown.clone().run_until_cancelled_owned(part);
        self.running.spawn(until.map(Option::unwrap_or_default).boxed());
    }

    /// Runs a part from when the caches hold everything until the shutdown begins.
    fn once_known(&mut self, part: impl Future<Output = ()> + Send + 'static) {
        let known = self.known.clone();
        self.until_shutdown(async move {
            if known.wait().await {
                part.await;
            }
            std::future::pending().await
        });
    }

    /// Runs a part that ends by itself when the shutdown has begun: it finishes its work first.
    fn until_drained(&mut self, part: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn(part.boxed());
    }
}

async fn tell(ready: tokio::sync::watch::Sender<bool>) {
    ready.send_replace(true);
}

fn reconciler(
    context: Context,
    tasks: Store<Task>,
    wakes: mpsc::Receiver<ObjectRef<Task>>,
) -> impl Future<Output = ()> {
    applier(
        |task, context| reconcile::reconcile(task, context).boxed(),
        reconcile::on_error,
        Arc::new(context),
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

#[cfg(test)]
mod tests;
