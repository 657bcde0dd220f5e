//! The operator's writes: as few as possible, and in a converged system none.

use std::fmt::Debug;
use std::time::Duration;

use harness::*;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use serde_json::json;
use task_manager::api::{Reason, State, Task, TaskQueue, TaskType};

use crate::stage::{a_checked_type, set, started, status};

/// The time for which a converged system is watched.
const WATCHED_FOR: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_successful_task_costs_three_writes() {
    in_namespaces("three", async |ns| {
        let (_node, operator) = set(&ns, &[]).await;
        a_checked_type(&ns).await;
        // Work that takes longer than ten seconds to start or run is reported meanwhile, and a machine may be that
        // slow.
        let mut writes = vec![];
        while writes.last() != Some(&60) && writes.len() < 3 {
            let before = operator.writes().await;
            for number in 0..20 {
                ns.create(&task(&format!("t-{}-{number}", writes.len()))).await;
            }
            ns.all_final(SOON).await;
            writes.push(operator.writes().await - before);
        }
        assert_eq!(writes.last(), Some(&60), "admission, Job or bare pod, end: {writes:?}");
        let metrics = operator.metrics().await;
        let count = |operation: &str| metrics.count("task_manager_api_writes_total", &[("operation", operation)]);
        let launches = 20 * writes.len() as u64;
        let launched = count(&format!("create_{}", word(executor())));
        assert_eq!((launched, count("delete"), count("event")), (launches, 0, 0), "{}", metrics.text);
        let in_vain = metrics
            .samples()
            .filter(|(name, labels, _)| *name == "task_manager_api_writes_total" && !labels.contains("result=\"ok\""));
        assert_eq!(in_vain.count(), 0, "and nothing in vain\n{}", metrics.text);
    })
    .await;
}

#[tokio::test]
async fn a_converged_system_writes_nothing() {
    in_namespace("converged", async |ns| {
        ns.create(&task_queue("full", 0)).await;
        let (node, mut operator) = set(&ns, &[]).await;
        node.script("failed", [Outcome::exit(1)]);
        node.script("flaky", [Outcome::exit(1), Outcome::succeed()]);
        node.script("cancelled", [Outcome::Hold]);
        node.script("runs", [Outcome::Hold]);
        let once = serde_json::from_value(json!({"limit": 0})).expect("retry");
        ns.create(&task("failed").with(|spec| spec.retry = Some(once))).await;
        for name in ["done", "flaky", "cancelled", "runs"] {
            ns.create(&task(name)).await;
        }
        ns.create(&task("queued").with(|spec| spec.queue = "full".into())).await;
        ns.create(&task("no-type").with(|spec| spec.type_ = "missing".into())).await;
        ns.create(&task("no-queue").with(|spec| spec.queue = "missing".into())).await;
        ns.create(&task("held").with(|spec| spec.suspend = true)).await;
        started(&node, "cancelled", 1).await;
        ns.patch_task("cancelled", json!({"cancel": true})).await.expect("accepted");
        for (name, state) in [
            ("done", State::Completed),
            ("flaky", State::Completed),
            ("failed", State::Failed),
            ("cancelled", State::Cancelled),
        ] {
            ns.task_in(name, state).await;
        }
        ns.task_when("runs", "says that it runs", |_, status| status.reason == Reason::Running).await;
        for (name, reason) in [
            ("queued", Reason::TooLargeForQueue),
            ("no-type", Reason::TypeMissing),
            ("no-queue", Reason::QueueMissing),
            ("held", Reason::Suspended),
        ] {
            ns.task_when(name, "says why it waits", |_, status| status.reason == reason).await;
        }
        a_checked_type(&ns).await;
        eventually("the queue tells what waits", SOON, async || {
            ns.queues().get("full").await.ok()?.status.filter(|status| status.queued == 1).map(drop)
        })
        .await;
        let quiet = Quiet::begin(&ns).await;
        stays("nothing moves", WATCHED_FOR, async || quiet.is_so()).await;
        operator.crash().await;
        stays("nothing moves after a restart either", WATCHED_FOR, async || quiet.is_so()).await;
        let metrics = operator.metrics().await;
        // The age of the oldest that waits is told when it passes a minute.
        assert!(metrics.count("task_manager_api_writes_total", &[]) <= 1, "not even in vain: {}", metrics.text);
        assert_eq!(status(&ns.task("runs").await).reason, Reason::Running);
    })
    .await;
}

/// All that there is in the namespace, watched.
struct Quiet {
    tasks: Watched<Task>,
    types: Watched<TaskType>,
    queues: Watched<TaskQueue>,
    jobs: Watched<Job>,
    pods: Watched<Pod>,
    events: Watched<Event>,
}

struct Watched<K>(Recorder<K>, usize);

impl<K> Watched<K>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + serde::de::DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    async fn begin(ns: &Namespace) -> Self {
        let recorder = ns.record::<K>().await;
        let there = recorder.count();
        Self(recorder, there)
    }

    fn is_quiet(&self) -> bool {
        self.moved().iter().map(|moved| eprintln!("moved: {moved:?}")).count() == 0
    }

    fn moved(&self) -> Vec<K> {
        self.0.seen().into_iter().skip(self.1).map(|seen| seen.object).collect()
    }
}

impl Watched<TaskQueue> {
    /// Quiet but for the growing age of the oldest that waits.
    fn only_ages(&self) -> bool {
        let without_age = |queue: &TaskQueue| {
            let mut status = queue.status.clone().unwrap_or_default();
            status.oldest_queued_seconds = 0;
            (queue.spec.clone(), status)
        };
        let there = self.0.seen();
        let same =
            |moved: &TaskQueue| there[..self.1].iter().any(|seen| without_age(&seen.object) == without_age(moved));
        self.moved().iter().filter(|moved| !same(moved)).map(|moved| eprintln!("moved: {moved:?}")).count() == 0
    }
}

impl Quiet {
    async fn begin(ns: &Namespace) -> Self {
        Self {
            tasks: Watched::begin(ns).await,
            types: Watched::begin(ns).await,
            queues: Watched::begin(ns).await,
            jobs: Watched::begin(ns).await,
            pods: Watched::begin(ns).await,
            events: Watched::begin(ns).await,
        }
    }

    fn is_so(&self) -> bool {
        self.tasks.is_quiet()
            && self.types.is_quiet()
            && self.queues.only_ages()
            && self.jobs.is_quiet()
            && self.pods.is_quiet()
            && self.events.is_quiet()
    }
}
