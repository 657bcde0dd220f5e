//! A small cluster that carries out what is decided, and whatever may go wrong in between: pods that end in
//! every way or by a deadline that was lowered, helpers that stay, kubelets that tell late or in other words, Jobs and pods
//! deleted or held back by others, nodes that do not answer, edits, deletions, restarts, lost writes; under an operator whose clock
//! is not the cluster's.
//!
//! Jobs run the attempts, or bare pods, or the warm workers of a pool.
//!
//! The checks hold at every moment: see `World::check` and `World::write`.

mod acting;
mod calm;
mod checks;
mod cluster;
mod leases;
mod moves;
mod observing;
mod pod;
mod strangers;
mod workers;

use std::collections::{HashMap, HashSet};

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use super::scene::*;
use crate::attempt::Child;
use crate::attempt::HAND_OUTS;
use crate::attempt::clocks;
use crate::attempt::ended;
use crate::attempt::facts::container::{Beside, OutOfMemory};
use crate::attempt::facts::worker::{HandedOut, Outcome, ToldToStop, Word, WorkerFacts};
use crate::attempt::facts::{BarePod, JobEnd, JobFacts, NodeState, Phase, PodEvent, PodFacts, Unanswered, Why, Work};
use crate::attempt::id::{AttemptId, next_attempt};
use crate::attempt::lease::{Kept, NotKept, kept};
use crate::attempt::needs::Needs;
use crate::attempt::others::is_forestalled;
use crate::attempt::reports;
use crate::attempt::reports::{Report, Reports};
use crate::launch::names;
use crate::queue::{QueueState, queue_state};
use crate::task::*;
use crate::time::after;
use jiff::{SignedDuration, Timestamp};
use moves::{End, Move, some_move};
use pod::{Pod, ended_by_deletion};
use task_manager_api::{Admitted, AdmittedWorker, AttemptOutcome, AttemptRecord, Executor, ReportedError};
use workers::{Says, Workers};

/// The result of forged pods.
const FORGED: &str = "forged";
const LIMIT: i32 = 2;
const DISRUPTION_LIMIT: i32 = 3;

struct World {
    scene: Scene,
    executor: Executor,
    /// The second, by the cluster's clock.
    now: i64,
    /// By how much the operator's clock is ahead of that.
    ahead: i64,
    jobs: Vec<JobFacts>,
    pods: Vec<Pod>,
    pods_made: i32,
    /// The uids of Jobs whose one pod was made; and of bare pods that the scheduler has looked at.
    with_pod: Vec<String>,
    /// Jobs and pods that are gone, as the operator remembers them.
    gone_jobs: Vec<JobFacts>,
    gone_pods: Vec<PodFacts>,
    /// And of what it has seen, by uid.
    seen_jobs: HashMap<String, JobFacts>,
    seen_pods: HashMap<String, PodFacts>,
    reports: Option<Reports>,
    refused: Option<Why>,
    refuse_next: bool,
    /// The API server will not have the next pod ended by its deadline; and the uids of those of which that is known.
    refuse_next_end: bool,
    not_ended: HashSet<String>,
    hold_next_job: bool,
    /// Jobs whose pods were deleted because somebody held them back.
    held_back: HashSet<String>,
    /// The uids of pods of which it was said that their node does not answer.
    given_up: HashSet<String>,
    /// An autoscaler says so of every pod.
    node_is_coming: bool,
    unanswered: Option<Unanswered>,
    no_answer_next: bool,
    /// A Job that was asked for and may yet be made; or the like of a bare pod.
    on_its_way: Option<JobFacts>,
    /// The uids of Jobs and bare pods that are there, or were, and of which no watch has shown anything, nor of their pods.
    unshown: HashSet<String>,
    /// The uids of pods that were asked for.
    found: HashSet<String>,
    lose_next: bool,
    archive_takes: bool,
    /// The archive: how each run ended, as it was last recorded.
    archive: Vec<TaskStatus>,
    /// Jobs or bare pods of this name were created, ever.
    launched: Vec<String>,
    /// With a pool.
    workers: Workers,
}

/// Carrying this out for a task that holds a slot frees it.
fn gives_the_slot_back(decision: &Decision) -> bool {
    match &decision.action {
        Action::Write(status) => status.state != State::Processing,
        Action::Record(_) => true,
        _ => false,
    }
}

fn gone_at(now: Timestamp, pod: PodFacts) -> PodFacts {
    PodFacts { gone_at: Some(now), ..pod }
}

type Checked = Result<(), TestCaseError>;

impl World {
    fn new(executor: Executor, deadline: Option<i32>, ahead: i64) -> Self {
        Self {
            scene: Scene { kind: Some(kind_of(executor)), ..queued(json!({"deadlineSeconds": deadline})) },
            executor,
            now: 0,
            ahead,
            jobs: vec![],
            pods: vec![],
            pods_made: 0,
            with_pod: vec![],
            gone_jobs: vec![],
            gone_pods: vec![],
            seen_jobs: HashMap::new(),
            seen_pods: HashMap::new(),
            reports: None,
            refused: None,
            refuse_next: false,
            refuse_next_end: false,
            not_ended: HashSet::new(),
            hold_next_job: false,
            held_back: HashSet::new(),
            given_up: HashSet::new(),
            node_is_coming: false,
            unanswered: None,
            no_answer_next: false,
            on_its_way: None,
            unshown: HashSet::new(),
            found: HashSet::new(),
            lose_next: false,
            archive_takes: true,
            archive: vec![],
            launched: vec![],
            workers: Workers::default(),
        }
    }

    fn take(&mut self, step: Move) -> Checked {
        match step {
            Move::Wait(seconds) => self.wait(seconds.into()),
            Move::Decide => drop(self.decide()?),
            Move::Admit => self.admit()?,
            Move::PodComes { waits, helped, killed } => self.pod_comes(waits, helped, killed),
            Move::PodStarts { told_late } => self.pod_starts(told_late),
            Move::NodeRefuses { for_good } => self.node_refuses(for_good),
            Move::HelpersEnd => self.helpers_end(),
            Move::StatusesCatchUp => self.statuses_catch_up(),
            Move::KubeletRestarts => self.kubelet_restarts(),
            Move::RefuseNextEnd => self.refuse_next_end = true,
            Move::HoldJob(held) => self.hold_job(held),
            Move::HoldNextJob => self.hold_next_job = true,
            Move::PodEnds(end) => self.pod_ends(end),
            Move::NodesAnswer => self.nodes_answer(),
            Move::NodeIsComing(coming) => self.node_is_coming = coming,
            Move::JobIsCounted => self.count_jobs(),
            Move::Reports { pod, report } => self.report(pod, report),
            Move::Restart => self.forget()?,
            Move::LoseNextWrite => self.lose_next = true,
            Move::Refuse => self.refuse_next = true,
            Move::NoAnswer => self.no_answer_next = true,
            Move::TakePlaceLate => self.take_place_late(),
            Move::WatchesCatchUp => self.watches_catch_up(),
            Move::DeleteJob { in_foreground } => {
                // Nobody else is faster than the watches.
                let shown = self.jobs.first().filter(|job| !self.unshown.contains(&job.uid));
                if let Some(job) = shown.cloned() {
                    self.delete_job(&job.uid, in_foreground);
                }
            }
            Move::DeletePod => {
                if let Some(pod) = self.pods.first().cloned() {
                    self.delete_pod(&pod.facts.uid);
                }
            }
            Move::WorkerComes => self.worker_comes(),
            Move::WorkerEndsItsWork { place, says } => self.worker_ends_its_work(place, says),
            Move::WorkerAsks { place, begins_anew } => self.worker_asks(place, begins_anew)?,
            Move::WorkerBeats { place, obeys } => self.worker_beats(place, obeys),
            Move::WorkerPodEnds { place, end } => self.worker_pod_ends(place, end),
            Move::WorkerIsReplaced(place) => self.worker_is_replaced(place),
            Move::WorkerHasOthers(place, holds) => self.worker_has_others(place, holds),
            Move::DeleteWorker(place) => {
                if let Some(place) = self.worker_at(place) {
                    self.delete_worker(place);
                }
            }
            Move::ForgePod => self.forge_pod(),
            Move::ForgeLaunch => self.forge_launch(),
            Move::CollectGarbage => self.collect_garbage(),
            Move::Cancel => self.edit(|spec| spec.cancel = true),
            Move::DeleteTask => {
                let asked = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(self.now));
                self.scene.task.metadata.deletion_timestamp.get_or_insert(asked);
                self.scene.touch();
            }
            Move::RunId(number) => self.edit(|spec| {
                let run_id = number.to_string();
                spec.cancel = spec.cancel && spec.run_id == run_id;
                spec.run_id = run_id;
            }),
            Move::Suspend(suspend) => self.edit(|spec| spec.suspend = suspend),
            Move::AskFor(count) => self.edit(|spec| {
                spec.resources =
                    Some(task_manager_api::Resources { requests: cpu(&count.to_string()), ..Default::default() });
            }),
            Move::TypeGoes => self.scene.kind = None,
            Move::TypeComes => self.scene.kind = Some(kind_of(self.executor)),
            Move::QueueGoes => self.scene.queue = None,
            Move::QueueComes => self.scene.queue = Some(Quota::of_tasks(1)),
            Move::ArchiveGoes => self.archive_takes = false,
            Move::ArchiveComes => self.archive_takes = true,
        }
        self.see();
        self.check()
    }

    /// A person changes the spec.
    fn edit(&mut self, change: impl FnOnce(&mut task_manager_api::TaskSpec)) {
        let before = self.scene.task.spec.clone();
        change(&mut self.scene.task.spec);
        if self.scene.task.spec != before {
            let generation = self.scene.task.metadata.generation.unwrap_or_default();
            self.scene.task.metadata.generation = Some(generation + 1);
            self.scene.touch();
        }
    }
}

/// A type of this executor.
fn kind_of(executor: Executor) -> crate::ParsedType {
    match executor {
        Executor::Pool => kind(json!({"executor": executor, "workerPool": "warm", "template": null})),
        executor => kind(json!({ "executor": executor })),
    }
}

fn some_executor() -> impl Strategy<Value = Executor> {
    prop_oneof![Just(Executor::Job), Just(Executor::Pod), Just(Executor::Pool)]
}

/// An executor, and up to so many steps.
fn some_story(steps: usize) -> impl Strategy<Value = (Executor, Vec<Move>)> {
    some_executor().prop_flat_map(move |executor| (Just(executor), vec(some_move(executor), 1..steps)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::cases(600), max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_rules_hold_and_no_task_is_stuck(
        (executor, moves) in some_story(120),
        deadline in prop::option::weighted(0.2, 50..2000i32),
        ahead in -100..100i64,
    ) {
        let mut world = World::new(executor, deadline, ahead);
        for step in moves {
            world.take(step)?;
        }
        prop_assert!(world.calm()?, "stuck: {:?}, next {:?}", world.scene.status(), world.scene.decide(world.clock()));
        let status = world.scene.status().clone();
        let said = status.conditions.iter().any(|condition| condition.reason == status.reason.as_str());
        prop_assert!(said, "no condition names {}", status.reason);
    }

    #[test]
    fn a_finished_task_leaves_nothing_behind_and_is_not_written_again(
        (executor, moves) in some_story(80),
        ahead in -100..100i64,
    ) {
        let mut world = World::new(executor, None, ahead);
        for step in moves {
            world.take(step)?;
        }
        world.edit(|spec| spec.suspend = false);
        world.scene.kind = Some(kind_of(executor));
        world.scene.queue = Some(Quota::of_tasks(1));
        prop_assert!(world.calm()?);
        prop_assert!(world.scene.status().state.is_final());
        let version = world.scene.task.metadata.resource_version.clone();
        world.taint_lost_nodes();
        world.nodes_answer();
        for _ in 0..10 {
            world.wait(400);
            world.settle()?;
            world.collect_garbage();
        }
        prop_assert_eq!(&world.scene.task.metadata.resource_version, &version, "written though nothing changed");
        prop_assert!(world.launches().next().is_none(), "litter: {:?}, {:?}", world.jobs, world.pods);
        prop_assert!(world.running().count() == 0, "still runs: {:?}", world.pods);
    }
}
