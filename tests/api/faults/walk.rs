//! Walks one life under one plan of faults, and checks what must hold however it went.

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::faults::{Passed, Wire, WiredOperator};
use harness::{A_MOMENT, FakeNode, Namespace, Recorder, eventually, in_namespace, stays, task};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use task_manager::api::Task;
use task_manager::archive::{Archive, Filter, Options};

use super::checks;
use super::lives::Life;

/// The deadline of a step, which may include time-outs of ten seconds and pauses of thirty.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// A system that has not written anything for so long has come to rest.
const REST: Duration = Duration::from_millis(500);
/// Of the default queue. Whoever waits behind the task that is walked shows that it holds.
const ONE_SLOT: [&str; 2] = ["--default-queue-tasks", "1"];
/// Jobs and bare pods are removed as soon as their task is final, so that in the end nothing may be left.
const KEEP_NOTHING: [&str; 2] = ["--keep-finished-seconds", "0"];

/// Everything that a walk is seen by.
pub struct Walk {
    pub wire: Arc<Wire>,
    pub node: FakeNode,
    pub operator: WiredOperator,
    pub tasks: Recorder<Task>,
    pub jobs: Recorder<Job>,
    pub pods: Recorder<Pod>,
    pub archive: Archive,
}

/// Walks `life` on `wire` and returns what had passed when all was done. Panics when anything is not as it must be.
pub async fn walk(life: &Life, wire: &Arc<Wire>) -> Vec<Passed> {
    let mut passed = vec![];
    in_namespace(&format!("walk-{}", life.name), async |ns| {
        let walk = Walk::begin(&ns, life, wire).await;
        walk.change_while_running(&ns, life).await;
        passed = walk.goes_on_to_its_end(life).await;
    })
    .await;
    passed
}

impl Walk {
    pub async fn begin(ns: &Namespace, life: &Life, wire: &Arc<Wire>) -> Self {
        life.begin(ns).await;
        ns.create(&task("rival")).await;
        Self::watch(ns, life, wire).await
    }

    /// Watches an operator that finds what is there.
    pub async fn watch(ns: &Namespace, life: &Life, wire: &Arc<Wire>) -> Self {
        ns.create(&life.kind()).await;
        let node = ns.fake_node();
        node.script("one", life.outcomes.clone());
        let (tasks, jobs, pods) = (ns.record().await, ns.record().await, ns.record().await);
        let operator = WiredOperator::start(ns, wire, &[ONE_SLOT, KEEP_NOTHING].concat());
        let archive = Archive::at(&ns.archive(), &Options { deadline: PATIENCE, ..Options::default() }).expect("a URL");
        Self { wire: wire.clone(), node, operator, tasks, jobs, pods, archive }
    }

    pub async fn change_while_running(&self, ns: &Namespace, life: &Life) {
        let Some(change) = &life.changed else { return };
        self.becomes("its pod is started", || self.node.starts_of("one") >= 1).await;
        ns.patch_task("one", change.clone()).await.expect("accepted");
    }

    /// Goes on until all is done; then checks everything, and returns what had passed.
    pub async fn goes_on_to_its_end(self, life: &Life) -> Vec<Passed> {
        self.ends(life).await;
        let passed = self.wire.passed();
        self.comes_to_rest().await;
        if !self.wire.has_struck() {
            self.finds_nothing_to_do_after_a_restart().await;
        }
        checks::all(&self, life);
        // A machine that is kept busy by many walks may not answer within the archive's own deadline.
        let listed = async || self.archive.list(&Filter::default(), None, 100).await.ok();
        let records = eventually("the archive answers", PATIENCE, listed).await.items;
        checks::archive(&self, life, &records);
        for record in records {
            let found = async || self.archive.find_run(&record.uid, &record.run_id).await.ok();
            let whole = eventually("the archive answers", PATIENCE, found).await;
            checks::whole(&whole.expect("the record"), self.wire.has_struck());
        }
        passed
    }

    /// Both tasks are final and recorded, and nothing else of them is left.
    async fn ends(&self, life: &Life) {
        for (name, run_id) in [("one", life.end.run_id), ("rival", "1")] {
            let is_final = |task: &&Task| {
                let status = task.status.as_ref().filter(|status| status.state.is_final() && status.is_archived());
                task.name_any() == name && status.is_some_and(|status| status.run_id.as_deref() == Some(run_id))
            };
            let are_final = || self.tasks.look_at_present(|tasks| tasks.iter().any(is_final));
            self.becomes(&format!("{name} is final and recorded"), are_final).await;
        }
        let nothing_is_left = || {
            self.jobs.look_at_present(|there| there.is_empty()) && self.pods.look_at_present(|there| there.is_empty())
        };
        self.becomes("no Job and no pod is left", nothing_is_left).await;
    }

    async fn comes_to_rest(&self) {
        let (mut writes, mut since) = (self.wire.writes(), Instant::now());
        self.becomes("nothing more is written", || {
            if self.wire.writes() != writes {
                (writes, since) = (self.wire.writes(), Instant::now());
            }
            since.elapsed() >= REST
        })
        .await;
    }

    async fn finds_nothing_to_do_after_a_restart(&self) {
        let writes = self.wire.writes();
        self.operator.crash();
        // Once to know them, and once more to know which hold a slot.
        self.becomes("the next operator knows the cluster", || self.wire.passed_of("LIST tasks") >= 2).await;
        stays("a converged system writes nothing, after a restart either", A_MOMENT, async || {
            self.wire.writes() == writes
        })
        .await;
    }

    pub async fn becomes(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        eventually(what, PATIENCE, async || {
            assert!(!self.operator.has_ended(), "the operator has ended by itself");
            is_so().then_some(())
        })
        .await;
    }
}
