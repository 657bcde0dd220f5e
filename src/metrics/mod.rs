//! The operator's metrics, in Prometheus' terms. Names of tasks and uids belong in logs, never in labels; names of
//! namespaces, queues and types have labels of their own up to a bound.

mod load;
mod origin;
mod pools;
mod requests;
#[cfg(test)]
mod tests;

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use strum::IntoEnumIterator;

use crate::api::{AttemptOutcome, Priority, State, Task, TaskStatus};
use crate::core::queue::Key;
use load::LastLoad;
use origin::{Counted, OriginLabels};
use pools::Pools;
use requests::Requests;

pub use load::{Amount, Load, QueueLoad, Tasks, UnreadyType};
pub use origin::Origin;
pub use pools::PoolLoad;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Finished {
    #[prometheus(flatten)]
    origin: OriginLabels,
    state: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempt {
    outcome: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GivenBack {
    #[prometheus(flatten)]
    origin: OriginLabels,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByPriority {
    priority: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Write {
    operation: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    error: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Watched {
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ArchiveWrite {
    result: &'static str,
}

pub struct Metrics {
    registry: Registry,
    counted: Counted,
    load: LastLoad,
    requests: Requests,
    pools: Pools,
    finished: Family<Finished, Counter>,
    attempts: Family<Attempt, Counter>,
    given_back: Family<GivenBack, Counter>,
    queued: Family<ByPriority, Gauge>,
    running: Gauge,
    leading: Gauge,
    queue_wait: Family<ByPriority, Histogram, fn() -> Histogram>,
    run_time: Histogram,
    reconcile_time: Histogram,
    reconcile_errors: Family<Failure, Counter>,
    writes: Family<Write, Counter>,
    watch_failures: Family<Watched, Counter>,
    archive_writes: Family<ArchiveWrite, Counter>,
    archive_time: Histogram,
    tasks_beyond: Gauge,
    archive_up: Gauge,
    records_waiting: Gauge,
    records_lost: Counter,
    logs_lost: Counter,
    archive_differs: Gauge,
    watches_broken: Gauge,
}

/// From 10 ms to about 18 h.
fn waits() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 3.0, 15))
}

/// From 0.1 ms to about 1.6 s.
fn looks() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 4.0, 8))
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("task_manager"),
            counted: Counted::default(),
            load: LastLoad::default(),
            requests: Requests::default(),
            pools: Pools::default(),
            finished: Family::default(),
            attempts: Family::default(),
            given_back: Family::default(),
            queued: Family::default(),
            running: Gauge::default(),
            leading: Gauge::default(),
            queue_wait: Family::new_with_constructor(waits),
            run_time: waits(),
            reconcile_time: looks(),
            reconcile_errors: Family::default(),
            writes: Family::default(),
            watch_failures: Family::default(),
            archive_writes: Family::default(),
            archive_time: looks(),
            tasks_beyond: Gauge::default(),
            archive_up: Gauge::default(),
            records_waiting: Gauge::default(),
            records_lost: Counter::default(),
            logs_lost: Counter::default(),
            archive_differs: Gauge::default(),
            watches_broken: Gauge::default(),
        };
        metrics.registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("tasks_finished", "Tasks that reached a final state", self.finished.clone());
        registry.register("attempts_ended", "Attempts that ended", self.attempts.clone());
        registry.register(
            "slots_given_back",
            "Slots that were given back with nothing counted, by what stood in the way",
            self.given_back.clone(),
        );
        registry.register(
            "tasks_queued",
            "Tasks that admission chooses from, by priority: those too whose pause or startAfter is not over; 0 where another replica leads",
            self.queued.clone(),
        );
        registry.register(
            "tasks_running",
            "Tasks that hold a slot; 0 where another replica leads",
            self.running.clone(),
        );
        registry.register("leading", "1 while this replica leads, else 0", self.leading.clone());
        registry.register_with_unit(
            "queue_wait",
            "Time from arrival to the first admission",
            Unit::Seconds,
            self.queue_wait.clone(),
        );
        registry.register_with_unit(
            "attempt_run",
            "Time from a pod's start to the end of its attempt",
            Unit::Seconds,
            self.run_time.clone(),
        );
        registry.register_with_unit(
            "reconcile",
            "Time of one look at one task",
            Unit::Seconds,
            self.reconcile_time.clone(),
        );
        registry.register("reconcile_errors", "Looks that failed, by error", self.reconcile_errors.clone());
        registry.register(
            "api_writes",
            "Mutating requests to the API server, by what became of them",
            self.writes.clone(),
        );
        registry.register(
            "tasks_beyond",
            "Tasks that are not looked at because more than --max-known-tasks exist",
            self.tasks_beyond.clone(),
        );
        registry.register(
            "watches_broken",
            "Watches of this replica that show nothing at present, or lag behind",
            self.watches_broken.clone(),
        );
        registry.register("watch_failures", "Watches that ended with an error", self.watch_failures.clone());
        registry.register_collector(Box::new(self.load.clone()));
        self.requests.register(registry);
        self.pools.register(registry);
        self.archive_registered()
    }

    fn archive_registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register(
            "archive_writes",
            "Records that were to be written to the archive, by what became of that",
            self.archive_writes.clone(),
        );
        registry.register_with_unit(
            "archive_write",
            "Time of one record's way into the archive",
            Unit::Seconds,
            self.archive_time.clone(),
        );
        registry.register("archive_up", "1 while the archive takes records, else 0", self.archive_up.clone());
        registry.register(
            "archive_records_waiting",
            "Tasks whose record is still to be written, deleted ones included",
            self.records_waiting.clone(),
        );
        registry.register(
            "archive_records_lost",
            "Tasks deleted while the archive was down that nobody could remember any longer",
            self.records_lost.clone(),
        );
        registry.register(
            "archive_logs_lost",
            "Attempts that failed and whose log did not come, or was not taken by the archive",
            self.logs_lost.clone(),
        );
        registry.register(
            "archive_differs",
            "1 while this replica has another archive than the one on which all agree, else 0",
            self.archive_differs.clone(),
        );
        self
    }

    /// In the OpenMetrics text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// A term of this replica begins or is over. What waits and what runs is told by the one that leads.
    pub fn leads(&self, leads: bool) {
        self.leading.set(leads.into());
        if !leads {
            self.depth([0; Priority::COUNT], 0);
            self.load(Load::default());
        }
    }

    pub fn depth(&self, queued: [usize; Priority::COUNT], running: usize) {
        for priority in Priority::iter() {
            let label = ByPriority { priority: priority.into() };
            self.queued.get_or_create(&label).set(queued[priority.index()] as i64);
        }
        self.running.set(running as i64);
    }

    /// How full the queues are. Nothing, where another replica leads.
    pub fn load(&self, load: Load) {
        self.load.set(load);
    }

    /// A request to this route of the REST shim was answered with this code.
    pub fn answered(&self, route: &str, method: &str, code: u16, took: Duration) {
        self.requests.answered(route, method, code, took);
    }

    /// A worker of this pool was given a task, so long after the task was admitted; it was idle when the task came, or had to be
    /// waited for.
    pub fn handed_out(&self, pool: &Key, took: Duration, was_free: bool) {
        self.pools.handed_out(pool, took, was_free);
    }

    /// Another worker is to take the place of one of this pool.
    pub fn worker_replaced(&self, pool: &Key, reason: &'static str) {
        self.pools.replaced(pool, reason);
    }

    /// The API server was asked whose a token is.
    pub fn token_reviewed(&self, result: &'static str) {
        self.pools.token_reviewed(result);
    }

    pub fn reconciled(&self, took: Duration, failed: Option<&'static str>) {
        self.reconcile_time.observe(took.as_secs_f64());
        if let Some(error) = failed {
            self.reconcile_errors.get_or_create(&Failure { error }).inc();
        }
    }

    pub fn wrote(&self, operation: &'static str, result: &'static str) {
        self.writes.get_or_create(&Write { operation, result }).inc();
    }

    pub fn watch_failed(&self, kind: &str) {
        self.watch_failures.get_or_create(&Watched { kind: kind.into() }).inc();
    }

    /// A record was put into the archive, or was not.
    pub fn archived(&self, took: Duration, result: &'static str) {
        self.archive_time.observe(took.as_secs_f64());
        self.archive_writes.get_or_create(&ArchiveWrite { result }).inc();
    }

    /// So many tasks are beyond the number that is known.
    pub fn tasks_beyond(&self, tasks: usize) {
        self.tasks_beyond.set(i64::try_from(tasks).unwrap_or(i64::MAX));
    }

    pub fn archive_is_up(&self, up: bool) {
        self.archive_up.set(up.into());
    }

    pub fn archive_differs(&self, differs: bool) {
        self.archive_differs.set(differs.into());
    }

    /// So many watches of this replica are broken.
    pub fn watches_broken(&self, watches: usize) {
        self.watches_broken.set(i64::try_from(watches).unwrap_or(i64::MAX));
    }

    /// So many more records wait to be written, or fewer.
    pub fn records_wait(&self, more: i64) {
        self.records_waiting.inc_by(more);
    }

    pub fn record_lost(&self) {
        self.records_lost.inc();
    }

    pub fn log_lost(&self) {
        self.logs_lost.inc();
    }

    /// Counts what a successful status write says happened.
    pub fn task_moved(&self, before: &Task, after: &Task) {
        let was = before.status.clone().unwrap_or_default();
        let is = after.status.clone().unwrap_or_default();
        if is.state.is_final() && !was.state.is_final() {
            let origin = self.counted.labels(after);
            let finished = Finished { origin, state: is.state.to_string(), reason: is.reason.as_str() };
            self.finished.get_or_create(&finished).inc();
        }
        // A slot that was given back leaves this time, and the number of attempts as if it had never been.
        if is.state == State::Processing && was.state == State::Queued && was.admitted_at.is_none() {
            self.waited(&is);
        }
        if is.attempts.last() != was.attempts.last() {
            self.attempt_ended(&is);
        }
        if is.given_back > was.given_back {
            let given_back = GivenBack { origin: self.counted.labels(after), reason: is.reason.as_str() };
            self.given_back.get_or_create(&given_back).inc();
        }
    }

    fn waited(&self, status: &TaskStatus) {
        let label = ByPriority { priority: status.priority.unwrap_or_default().into() };
        if let Some((queued, admitted)) = status.queued_at.as_ref().zip(status.admitted_at.as_ref()) {
            self.queue_wait.get_or_create(&label).observe(admitted.0.duration_since(queued.0).as_secs_f64().max(0.0));
        }
    }

    fn attempt_ended(&self, status: &TaskStatus) {
        let Some(attempt) = status.attempts.last() else { return };
        let outcome: AttemptOutcome = attempt.outcome;
        self.attempts.get_or_create(&Attempt { outcome: outcome.to_string(), reason: attempt.reason.as_str() }).inc();
        if let Some((started, finished)) = attempt.started_at.as_ref().zip(attempt.finished_at.as_ref()) {
            self.run_time.observe(finished.0.duration_since(started.0).as_secs_f64().max(0.0));
        }
    }
}
