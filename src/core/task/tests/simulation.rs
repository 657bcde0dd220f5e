//! A small cluster that carries out what is decided, and whatever may go wrong in between: pods that end in
//! every way or by a deadline that was lowered, helpers that stay, kubelets that tell late or in other words, Jobs and pods
//! deleted or held back by others, nodes that do not answer, edits, deletions, restarts, lost writes; under an operator whose clock
//! is not the cluster's.
//!
//! Jobs run the attempts, or bare pods.
//!
//! The checks hold at every moment: see `World::check` and `World::write`.

use std::collections::{HashMap, HashSet};

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use super::scene::*;
use crate::attempt::Child;
use crate::attempt::clocks;
use crate::attempt::ended;
use crate::attempt::facts::container::{Beside, OutOfMemory};
use crate::attempt::facts::{BarePod, JobEnd, JobFacts, NodeState, Phase, PodEvent, PodFacts, Unanswered, Why, Work};
use crate::attempt::id::{AttemptId, next_attempt};
use crate::attempt::needs::Needs;
use crate::attempt::others::is_forestalled;
use crate::attempt::reports;
use crate::attempt::reports::{Report, Reports};
use crate::launch::names;
use crate::queue::{QueueState, queue_state};
use crate::task::*;
use crate::time::after;
use jiff::{SignedDuration, Timestamp};
use task_manager_api::{AttemptOutcome, Executor};

/// The result of forged pods.
const FORGED: &str = "forged";
const LIMIT: i32 = 2;
const DISRUPTION_LIMIT: i32 = 3;

#[derive(Clone, Debug)]
enum Move {
    Wait(u16),
    Decide,
    Admit,
    PodComes {
        waits: Option<Reason>,
        /// A container stands beside its work, and does not end by itself.
        helped: bool,
        /// How its work ends after SIGTERM: by itself, or with 137 at the end of its grace.
        killed: i32,
    },
    /// Where it is told late, an event alone says so.
    PodStarts {
        told_late: bool,
    },
    PodEnds(End),
    /// Its node would not have it.
    NodeRefuses {
        for_good: bool,
    },
    /// The helpers beside the work end.
    HelpersEnd,
    /// The status tells what was hidden.
    StatusesCatchUp,
    /// It says of each pod whose deadline is over that this was exceeded.
    KubeletRestarts,
    RefuseNextEnd,
    /// Somebody holds back the Job, or lets it go on; a Job that is made next is held back from the beginning.
    HoldJob(bool),
    HoldNextJob,
    NodesAnswer,
    /// An autoscaler says that it makes a node for the pods that have none, or takes that back.
    NodeIsComing(bool),
    JobIsCounted,
    /// A pod reports, any that ever was.
    Reports {
        pod: u8,
        report: u8,
    },
    Restart,
    LoseNextWrite,
    Refuse,
    /// The next launch is not answered...
    NoAnswer,
    /// ...and takes place now, though no watch shows it yet.
    TakePlaceLate,
    WatchesCatchUp,
    DeleteJob {
        in_foreground: bool,
    },
    DeletePod,
    /// Somebody who may make pods makes one that calls itself the attempt's.
    ForgePod,
    /// Somebody who may make Jobs or pods makes one that calls itself the next attempt's.
    ForgeLaunch,
    CollectGarbage,
    Cancel,
    /// Somebody deletes the task, and somebody else's finalizer keeps it.
    DeleteTask,
    RunId(u8),
    Suspend(bool),
    AskFor(u8),
    TypeGoes,
    TypeComes,
    QueueGoes,
    QueueComes,
    ArchiveGoes,
    ArchiveComes,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Success,
    Exit(i32),
    OutOfMemory,
    Evicted,
    Permanent,
    NodeStopsAnswering,
}

fn some_move() -> impl Strategy<Value = Move> {
    let waits = prop_oneof![
        4 => Just(None),
        1 => Just(Some(Reason::Unschedulable)),
        1 => Just(Some(Reason::ImageUnavailable)),
        1 => Just(Some(Reason::PodGated)),
    ];
    let manner = || (any::<bool>(), prop_oneof![Just(0), Just(143), Just(137)]);
    let end = prop_oneof![
        Just(End::Success),
        (1..4i32).prop_map(End::Exit),
        Just(End::OutOfMemory),
        Just(End::Evicted),
        Just(End::Permanent),
        Just(End::NodeStopsAnswering),
    ];
    prop_oneof![
        8 => (0..90u16).prop_map(Move::Wait),
        1 => (600..4000u16).prop_map(Move::Wait),
        16 => Just(Move::Decide),
        8 => Just(Move::Admit),
        8 => (waits, manner()).prop_map(|(waits, (helped, killed))| Move::PodComes { waits, helped, killed }),
        6 => prop::bool::weighted(0.2).prop_map(|told_late| Move::PodStarts { told_late }),
        1 => any::<bool>().prop_map(|for_good| Move::NodeRefuses { for_good }),
        2 => Just(Move::HelpersEnd),
        2 => Just(Move::StatusesCatchUp),
        1 => Just(Move::KubeletRestarts),
        1 => Just(Move::RefuseNextEnd),
        1 => any::<bool>().prop_map(Move::HoldJob),
        1 => Just(Move::HoldNextJob),
        5 => end.prop_map(Move::PodEnds),
        1 => Just(Move::NodesAnswer),
        1 => any::<bool>().prop_map(Move::NodeIsComing),
        4 => Just(Move::JobIsCounted),
        6 => any::<(u8, u8)>().prop_map(|(pod, report)| Move::Reports { pod, report }),
        2 => Just(Move::Restart),
        2 => Just(Move::LoseNextWrite),
        1 => Just(Move::Refuse),
        3 => Just(Move::NoAnswer),
        3 => Just(Move::TakePlaceLate),
        3 => Just(Move::WatchesCatchUp),
        1 => any::<bool>().prop_map(|in_foreground| Move::DeleteJob { in_foreground }),
        1 => Just(Move::DeletePod),
        2 => Just(Move::ForgePod),
        2 => Just(Move::ForgeLaunch),
        2 => Just(Move::CollectGarbage),
        1 => Just(Move::Cancel),
        1 => Just(Move::DeleteTask),
        2 => (1..4u8).prop_map(Move::RunId),
        1 => any::<bool>().prop_map(Move::Suspend),
        1 => (1..4u8).prop_map(Move::AskFor),
        1 => Just(Move::TypeGoes),
        1 => Just(Move::TypeComes),
        1 => Just(Move::QueueGoes),
        1 => Just(Move::QueueComes),
        2 => Just(Move::ArchiveGoes),
        2 => Just(Move::ArchiveComes),
    ]
}

/// A pod, and what its node knows of it.
#[derive(Clone, Debug)]
struct Pod {
    facts: PodFacts,
    node_answers: bool,
    /// As its work is, where the status does not tell.
    hidden: Option<Work>,
    killed: i32,
    /// When its deadline was last lowered.
    lowered_at: Option<Timestamp>,
    /// The exit code that its work ended with before anybody ended it.
    own_end: Option<i32>,
}

impl Pod {
    fn of(facts: PodFacts) -> Self {
        Self { facts, node_answers: true, hidden: None, killed: 143, lowered_at: None, own_end: None }
    }

    fn work(&self) -> &Work {
        self.hidden.as_ref().unwrap_or(&self.facts.work)
    }

    fn runs_its_work(&self) -> bool {
        matches!(self.work(), Work::Running { .. }) && !self.facts.has_ended()
    }

    /// Its work is over, and so is the pod unless something stands beside that.
    fn work_ends(&mut self, work: Work) {
        let Work::Ended { exit_code, .. } = work else { return };
        if self.hidden.is_some() {
            self.hidden = Some(work);
            return;
        }
        self.facts.work = work;
        if self.facts.beside.is_empty() {
            self.facts.phase = if exit_code == 0 { Phase::Succeeded } else { Phase::Failed };
        }
    }

    /// Its kubelet ends it once its deadline is over, and says so only then.
    fn meets_its_deadline(&mut self, now: Timestamp) {
        let Some(deadline) = clocks::deadline(&self.facts) else { return };
        let begins = self.lowered_at.map_or(deadline, |lowered| lowered.max(deadline));
        let grace = SignedDuration::from_secs(if self.killed == 137 { self.facts.grace_seconds } else { 0 });
        let ends = after(begins, grace);
        if ends > now || self.facts.has_ended() {
            return;
        }
        if let Work::Running { started_at } = *self.work() {
            self.facts.work = Work::Ended { exit_code: self.killed, started_at, at: Some(ends), left: None };
        } else if let Some(work) = self.hidden.take() {
            self.facts.work = work;
        }
        (self.hidden, self.facts.phase) = (None, Phase::Failed);
        self.facts.reason = Some("DeadlineExceeded".into());
        self.facts.beside.clear();
    }
}

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
            Move::Restart => self.forget(),
            Move::LoseNextWrite => self.lose_next = true,
            Move::Refuse => self.refuse_next = true,
            Move::NoAnswer => self.no_answer_next = true,
            Move::TakePlaceLate => self.take_place_late(),
            Move::WatchesCatchUp => self.unshown.clear(),
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

    // The operator.

    /// The second, by its own clock.
    fn clock(&self) -> i64 {
        self.now + self.ahead
    }

    fn observed(&self) -> Observed {
        let jobs = self.jobs.iter().chain(&self.gone_jobs).filter(|job| !self.unshown.contains(&job.uid));
        let pods = self.pods.iter().map(|pod| &pod.facts).chain(&self.gone_pods);
        let is_unshown = |pod: &PodFacts| self.unshown.contains(pod.owner.as_ref().expect("an owner"));
        let pods = pods.filter(|pod| !is_unshown(pod) || self.found.contains(&pod.uid));
        let now = at(self.clock());
        let job = |job: &JobFacts| {
            let fresh = job.clone().first_seen(now);
            self.seen_jobs.get(&job.uid).map_or(fresh.clone(), |before| fresh.after(before))
        };
        let pod = |pod: &PodFacts| {
            let mut fresh = pod.clone().first_seen(now);
            fresh.asked.end_refused = self.not_ended.contains(&pod.uid);
            self.seen_pods.get(&pod.uid).map_or(fresh.clone(), |before| fresh.after(before))
        };
        Observed {
            refused: self.refused.clone(),
            unanswered: self.unanswered.clone(),
            reports: self.reports.clone(),
            ..Observed::of(&self.scene.task, jobs.map(job).collect(), pods.map(pod).collect())
        }
    }

    fn see(&mut self) {
        let Observed { jobs, pods, .. } = self.observed();
        self.seen_jobs.extend(jobs.into_iter().map(|job| (job.uid.clone(), job)));
        self.seen_pods.extend(pods.into_iter().map(|pod| (pod.uid.clone(), pod)));
    }

    /// Reads what the watches have shown, and asks the API server where the core says so.
    fn gather(&mut self) -> Result<Input, TestCaseError> {
        self.forget_what_is_gone();
        self.see();
        self.scene.observed = self.observed();
        let (now, mut input) = (at(self.clock()), self.scene.input());
        let mut asked = vec![];
        loop {
            let question = needs(&input, now);
            if question == Needs::Nothing {
                break;
            }
            self.answer(&question, &mut input, now);
            asked.push(question);
            prop_assert!(asked.len() <= Needs::MOST, "asks again and again: {:?}", asked);
        }
        let name = job_name(&self.scene.task);
        let kind = Child::of(self.executor);
        let was_asked = asked.contains(&Needs::Launched { kind, name: name.clone() });
        let is_there = self.scene.observed.jobs.iter().any(|job| job.name == name && !job.gone);
        let gives_back = self.scene.status().state == State::Processing && gives_the_slot_back(&decide(&input, now));
        prop_assert!(!gives_back || is_there || was_asked, "the slot is given back, and nobody was asked");
        self.scene.observed = self.observed();
        Ok(input)
    }

    /// Answers as the API server does, which knows what no watch has shown; and remembers that.
    fn answer(&mut self, question: &Needs, input: &mut Input, now: Timestamp) {
        match question {
            Needs::PodsOf(job) => {
                let pods: Vec<_> = self.pods.iter().map(|pod| &pod.facts).filter(|pod| pod.job == *job).collect();
                self.found.extend(pods.iter().map(|pod| pod.uid.clone()));
                input.pods_are(pods.into_iter().map(|pod| pod.clone().first_seen(now)).collect());
            }
            Needs::Launched { kind: Child::Pod, name } => {
                let ours = self.pods.iter().map(|pod| &pod.facts).find(|pod| pod.bare.is_some() && pod.name == *name);
                input.bare_pod_is(ours.map(|pod| pod.clone().first_seen(now)));
                self.show(name);
            }
            Needs::Launched { kind: Child::Job, name } => {
                let ours = |job: &&JobFacts| job.name == *name && job.owner == self.scene.task.metadata.uid;
                input.job_is(self.jobs.iter().find(ours).map(|job| job.clone().first_seen(now)));
                self.show(name);
            }
            Needs::Pod { uid, .. } => {
                let there = self.pods.iter().map(|pod| &pod.facts).find(|pod| pod.uid == *uid);
                input.pod_is(there.map(|pod| pod.clone().first_seen(now)));
            }
            Needs::EventsOf(uid) | Needs::EventsOfEnd(uid) => {
                let begun = self.pods.iter().find(|pod| pod.facts.uid == *uid).and_then(|pod| pod.work().started_at());
                let started = |at| PodEvent {
                    reason: "Started".into(),
                    container: Some("work".into()),
                    first_seen: Some(at),
                    last_seen: Some(at),
                    ..PodEvent::default()
                };
                let triggered = PodEvent { reason: "TriggeredScaleUp".into(), ..PodEvent::default() };
                let triggered = self.node_is_coming.then_some(triggered);
                input.events_are(uid, &begun.map(started).into_iter().chain(triggered).collect::<Vec<_>>(), now);
            }
            // All pods are on one node, as they say; each is asked for by itself.
            Needs::Node(name) => {
                let overdue = |pod: &&Pod| !pod.facts.has_ended() && pod.facts.due_gone_at.is_some();
                let silent = self.pods.iter().filter(|pod| overdue(pod) && !pod.node_answers);
                let silent: Vec<_> = silent.map(|pod| pod.facts.uid.clone()).collect();
                let is = if silent.is_empty() { NodeState::Answers } else { NodeState::Silent };
                self.given_up.extend(silent);
                input.node_is(name, is);
            }
            Needs::Worker { .. } | Needs::Nothing => {}
        }
    }

    fn show(&mut self, name: &str) {
        for there in self.launched_as(name) {
            self.unshown.remove(&there.uid);
        }
    }

    /// The Jobs and bare pods that there are.
    fn launches(&self) -> impl Iterator<Item = JobFacts> {
        let bare = self.pods.iter().filter_map(|pod| JobFacts::of_bare_pod(&pod.facts));
        self.jobs.iter().cloned().chain(bare)
    }

    fn launched_as(&self, name: &str) -> Vec<JobFacts> {
        self.launches().filter(|there| there.name == name).collect()
    }

    /// Decides and carries it out; returns what was decided.
    fn decide(&mut self) -> Result<Decision, TestCaseError> {
        let input = self.gather()?;
        let decision = decide(&input, at(self.clock()));
        prop_assert!(decision.wake.is_none_or(|wake| wake > at(self.clock())), "wakes in the past: {:?}", decision);
        match decision.action.clone() {
            Action::Rest => {}
            Action::Write(status) => self.write(*status)?,
            Action::Record(recording) => self.record(*recording)?,
            Action::Launch => self.launch()?,
            Action::MakeRoom(otherwise) => self.write(*otherwise)?,
            Action::EndPod(PodEnd { uid, seconds, ended_for, .. }) => self.end_pod(&uid, seconds, ended_for)?,
            Action::Delete(Deletion { child: Child::Job, uid, why, .. }) => {
                prop_assert!(!self.is_cut_off(&uid), "deleted though its work had begun: {why}");
                prop_assert!(!self.is_early(&uid, why), "given up before its time: {why}");
                prop_assert!(self.jobs.iter().any(|job| job.uid == uid && !job.deleting), "deletes what is not there");
                prop_assert!(self.may_be_deleted(&uid), "deletes what is not recorded");
                self.delete_job(&uid, false);
            }
            Action::Delete(Deletion { child: Child::Pod, uid, why, .. }) => {
                prop_assert!(!self.is_cut_off(&uid), "deleted though its work had begun: {why}");
                prop_assert!(self.may_be_deleted(&uid), "deletes what is not recorded");
                prop_assert!(!self.is_early(&uid, why), "given up before its time: {why}");
                let there = self.pods.iter().any(|pod| pod.facts.uid == uid && pod.facts.due_gone_at.is_none());
                prop_assert!(there, "deletes what is not there");
                self.delete_pod(&uid);
            }
            Action::TellWorker(_) => prop_assert!(false, "no worker runs it"),
            Action::DeleteTask => prop_assert!(false, "nobody gave it a time to live"),
        }
        Ok(decision)
    }

    /// One PATCH: the API server lets a deadline be lowered only, to a second at least.
    fn end_pod(&mut self, uid: &str, seconds: i64, ended_for: Reason) -> Checked {
        if std::mem::take(&mut self.lose_next) {
            return Ok(());
        }
        let now = at(self.now);
        let refused = std::mem::take(&mut self.refuse_next_end);
        let Some(pod) = self.pods.iter_mut().find(|pod| pod.facts.uid == uid) else { return Ok(()) };
        if refused {
            self.not_ended.insert(uid.into());
            return Ok(());
        }
        let started = pod.work().started_at();
        prop_assert!(started.is_some(), "its work had not begun");
        prop_assert!(pod.facts.deadline_seconds.is_none_or(|before| (1..=before).contains(&seconds)), "not lowered");
        if ended_for == Reason::Timeout {
            let [deadline, begun] =
                [clocks::deadline(&PodFacts { deadline_seconds: Some(seconds), ..pod.facts.clone() }), started];
            prop_assert!(deadline >= begun.map(|begun| after(begun, SignedDuration::from_secs(600))), "too short");
        }
        let is_news = pod.facts.ended_for != Some(ended_for) || pod.facts.deadline_seconds != Some(seconds);
        prop_assert!(is_news, "the same is asked twice");
        (pod.facts.deadline_seconds, pod.facts.ended_for, pod.lowered_at) = (Some(seconds), Some(ended_for), Some(now));
        pod.meets_its_deadline(now);
        Ok(())
    }

    /// The work of this Job's pod has begun, and it was neither asked to end nor should it long have ended.
    fn is_cut_off(&self, job: &str) -> bool {
        let is_present = self.launched_as(&job_name(&self.scene.task)).iter().any(|there| there.uid == job);
        let holds = self.scene.status().state == State::Processing;
        let of_job = |pod: &&Pod| pod.facts.owner.as_deref() == Some(job) && pod.facts.due_gone_at.is_none();
        let Some(pod) = self.pods.iter().find(of_job).filter(|pod| pod.runs_its_work() && is_present && holds) else {
            return false;
        };
        let seen = pod.lowered_at.max(clocks::deadline(&pod.facts));
        let long_due = seen.is_some_and(|due| after(due, SignedDuration::from_secs(90)) <= at(self.now));
        !long_due && !self.not_ended.contains(&pod.facts.uid)
    }

    /// By the cluster's own clock it was not yet time to give this child up.
    fn is_early(&self, uid: &str, why: Reason) -> bool {
        let job = self.jobs.iter().find(|job| job.uid == uid && why == Reason::PodNotCreated);
        let pod = self.pods.iter().map(|pod| &pod.facts).find(|pod| pod.uid == uid && why == Reason::Timeout);
        let due = job.map(|job| job.created_at).or_else(|| pod.and_then(clocks::due_to_end));
        due.or_else(|| self.without_a_node(uid, why))
            .is_some_and(|due| after(due, SignedDuration::from_secs(60)) > at(self.now))
    }

    /// From when a minute counts in which the pod of this Job has no node: where one is coming, its start deadline is over
    /// then.
    fn without_a_node(&self, job: &str, why: Reason) -> Option<Timestamp> {
        let of_job = |pod: &&Pod| pod.facts.owner.as_deref() == Some(job) && why == Reason::Unschedulable;
        let pod = &self.pods.iter().find(of_job)?.facts;
        let more = if self.node_is_coming { 60 } else { 0 };
        pod.node.is_none().then(|| after(pod.created_at, SignedDuration::from_secs(more)))
    }

    /// The last attempt's Job of a run that is over goes only after its record, unless it still runs.
    fn may_be_deleted(&self, uid: &str) -> bool {
        let status = self.scene.status();
        // The pod of a Job may go when it is to end.
        let Some(job) = self.launches().find(|there| there.uid == uid) else { return true };
        let is_last = job.name == job_name(&self.scene.task);
        !status.state.is_final() || !is_last || status.is_archived() || self.observed().may_run(&job)
    }

    fn admit(&mut self) -> Checked {
        let Some(kind) = self.scene.kind.clone() else { return Ok(()) };
        let QueueState::Pending(pending) =
            queue_state(&self.scene.task, Some(&kind), self.scene.first_seen, &self.scene.settings)
        else {
            return Ok(());
        };
        self.forget_what_is_gone();
        if is_forestalled(&self.scene.task, &self.observed(), self.scene.first_seen) {
            return Ok(());
        }
        if self.scene.queue.is_none() || pending.ready_at.is_some_and(|ready| ready > at(self.clock())) {
            return Ok(());
        }
        let admission = Admission { arrival: pending.order.place(), holds: pending.admitted(), worker: None };
        self.write(admitted(&self.scene.task, &kind, &admission, at(self.clock())))
    }

    fn record(&mut self, recording: Recording) -> Checked {
        let Recording { ended, then, meanwhile, .. } = recording;
        prop_assert!(ended.state.is_final() && ended.is_archived() && ended.run_id.is_some(), "no end: {:?}", ended);
        if self.archive_takes {
            self.archive.retain(|other| other.run_id != ended.run_id);
            self.archive.push(ended);
            return self.write(then);
        }
        meanwhile.map_or(Ok(()), |meanwhile| self.write(meanwhile))
    }

    /// It matters only while the task holds a slot.
    fn forget_what_is_gone(&mut self) {
        if self.scene.status().state != State::Processing {
            self.gone_jobs.clear();
            self.gone_pods.clear();
        }
    }

    /// Whether the archive has this end.
    fn has(&self, end: &TaskStatus) -> bool {
        let told = |status: &TaskStatus| (status.state, status.reason, status.attempts.clone(), status.result.clone());
        self.archive.iter().any(|kept| kept.run_id == end.run_id && told(kept) == told(end))
    }

    fn write(&mut self, status: TaskStatus) -> Checked {
        if std::mem::take(&mut self.lose_next) {
            return Ok(());
        }
        prop_assert_ne!(status.result.as_ref(), Some(&json!(FORGED)), "a stranger was believed");
        self.check_transition(&status)?;
        self.scene.set(status.clone());
        if status.state != State::Processing {
            (self.refused, self.unanswered) = (None, None);
        }
        let next = decide(&self.gather()?, at(self.clock())).action;
        prop_assert_ne!(next, Action::Write(Box::new(status)), "the same is written twice");
        Ok(())
    }

    fn check_transition(&self, next: &TaskStatus) -> Checked {
        let last = self.scene.status();
        prop_assert!(!next.is_archived() || self.has(next), "says that it is archived: {:?}", next);
        prop_assert_eq!(next.archived.is_some(), next.state.is_final());
        if next.run_id != last.run_id && last.run_id.is_some() {
            prop_assert_eq!((next.state, next.attempt, next.failures, next.attempts.len()), (State::Queued, 0, 0, 0));
            prop_assert!(!self.something_runs(), "a new run begins while the old one runs");
            let is_kept = self.archive.iter().any(|kept| kept.run_id == last.run_id);
            prop_assert!(last.attempt == 0 && !last.state.is_final() || is_kept, "wiped out unrecorded: {:?}", last);
            return Ok(());
        }
        if last.state.is_final() {
            let unchanged = TaskStatus {
                observed_generation: last.observed_generation,
                conditions: last.conditions.clone(),
                archived: last.archived,
                ..next.clone()
            };
            prop_assert_eq!(&unchanged, last, "final is final");
            prop_assert!(next.is_archived() || !last.is_archived(), "what is archived stays so");
        }
        let name = job_name(&self.scene.task);
        let knows_of_a_launch = self.observed().jobs.iter().any(|job| job.name == name && !job.gone);
        let given_back = next.state == State::Queued && next.attempt == last.attempt - 1 && !knows_of_a_launch;
        prop_assert!(next.attempt >= last.attempt || given_back, "attempt {} after {}", next.attempt, last.attempt);
        let count = |outcome| next.attempts.iter().filter(|attempt| attempt.outcome == outcome).count() as i32;
        prop_assert_eq!(next.failures, count(AttemptOutcome::Failed));
        prop_assert_eq!(next.disruptions, count(AttemptOutcome::Disrupted));
        prop_assert!(next.attempts.is_sorted_by(|one, other| one.number < other.number), "an attempt is counted twice");
        let over = i32::from(next.state.is_final());
        prop_assert!(
            next.failures <= LIMIT + over && next.disruptions <= DISRUPTION_LIMIT + over,
            "a limit is not kept"
        );
        let only_progress = TaskStatus { progress: last.progress.clone(), ..next.clone() } == *last;
        if let Some(written) = last.progress.as_ref().and_then(|progress| progress.updated_at.as_ref()) {
            let seconds = at(self.clock()).duration_since(written.0).as_secs();
            prop_assert!(!only_progress || seconds >= 10, "progress is written again after {seconds} s");
        }
        let for_good = next.reported_error.as_ref().and_then(|error| error.retryable) == Some(false);
        prop_assert!(!for_good || next.state == State::Processing, "an error outlives its attempt");
        self.check_judgement(last, next)?;
        self.check_given_back(last, next)?;
        let holds_slot = next.state == State::Processing;
        prop_assert_eq!(next.admitted.is_some(), holds_slot);
        prop_assert!(holds_slot || !self.something_runs(), "the slot is given back while something runs");
        prop_assert!(holds_slot || !self.something_may_begin(), "the slot is given back while a pod may come");
        Ok(())
    }

    /// Who gives its slot back goes to the end of its line, and pauses for as long as it held the slot; whoever does not
    /// keeps its place, and everybody its arrival.
    fn check_given_back(&self, last: &TaskStatus, next: &TaskStatus) -> Checked {
        prop_assert!(last.arrival.is_none() || next.arrival == last.arrival, "arrival never changes within a run");
        if next.line == last.line {
            prop_assert!(next.given_back <= last.given_back.max(1), "given back, and still in its old place");
            return Ok(());
        }
        prop_assert_eq!((last.state, next.state), (State::Processing, State::Queued));
        prop_assert_eq!((next.given_back, next.attempts.len()), (last.given_back + 1, last.attempts.len()));
        let number = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<u64>().ok());
        prop_assert!(number(&next.line) > number(&last.line).max(number(&last.arrival)), "not the end of the line");
        let begins = last.admitted_at.as_ref().expect("it held a slot").0;
        let pause = next.next_attempt_at.as_ref().expect("a pause").0.duration_since(at(self.clock()));
        let least = at(self.clock()).duration_since(begins).min(SignedDuration::from_mins(30));
        prop_assert!(pause >= least, "held for {least}, paused for {pause}");
        Ok(())
    }

    /// The recorded end is true, whatever the kubelet and we did around it.
    fn check_judgement(&self, last: &TaskStatus, next: &TaskStatus) -> Checked {
        let Some(judged) = next.attempts.last().filter(|judged| last.attempts.last() != Some(judged)) else {
            return Ok(());
        };
        let has_failed = matches!(judged.outcome, AttemptOutcome::Failed | AttemptOutcome::Disrupted);
        // A cancel that was taken back, and the like: the pod was ended for it, and is wanted again.
        let was_wanted = matches!(judged.reason, Reason::Cancelled | Reason::Superseded | Reason::DeadlineExceeded);
        let may_be_matched = was_wanted || Reason::FAILURES.contains(&judged.reason);
        prop_assert!(!has_failed || may_be_matched, "no failure rule may name {}", judged.reason);
        let of_it = |pod: &&Pod| Some(&pod.facts.name) == judged.pod.as_ref();
        let Some(pod) = self.pods.iter().find(of_it).filter(|_| judged.outcome != AttemptOutcome::Cancelled) else {
            return Ok(());
        };
        let was_disturbed = pod.facts.disruption.is_some() && pod.own_end.is_none();
        if pod.facts.out_of_memory.is_some() || was_disturbed || !pod.node_answers {
            return Ok(());
        }
        let by_itself = matches!(judged.reason, Reason::ExitCode | Reason::ReportedError);
        match (pod.own_end, &pod.facts.work) {
            (_, Work::Ended { exit_code: 0, .. }) => prop_assert_eq!(judged.reason, Reason::Succeeded),
            (Some(_), _) => prop_assert!(by_itself, "it ended by itself, and {} is said", judged.reason),
            (None, Work::Ended { .. }) => prop_assert!(!by_itself, "it was ended, and {} is said", judged.reason),
            (None, _) => prop_assert!(!by_itself && judged.reason != Reason::Timeout, "its work had not ended"),
        }
        Ok(())
    }

    fn report(&mut self, pod: u8, report: u8) {
        let pods = self.pods.iter().map(|pod| &pod.facts).chain(&self.gone_pods);
        let Some(pod) = pods.cycle().nth(pod.into()).map(|pod| pod.uid.clone()) else { return };
        let report = match report % 8 {
            0 => reports::error(Some("Broken"), None, Some(report > 100)).map(Report::Error),
            1 => Ok(Report::Result(task_manager_api::ResultRef {
                content_type: "text/plain".into(),
                bytes: report.into(),
                uid: None,
            })),
            _ => reports::progress(Some(report.into()), None, None, None).map(Report::Progress),
        };
        let attempt = AttemptId::of(&self.scene.task);
        let before = self.reports.take().filter(|before| before.pod == pod && before.attempt == attempt);
        let mut reports = before.unwrap_or_else(|| Reports::none(attempt, &pod));
        reports.take(report.expect("a clear report"));
        self.reports = Some(reports);
    }

    fn forge_pod(&mut self) {
        let Scene { task, first_seen, .. } = &self.scene;
        let is_at_work = self.scene.status().state == State::Processing;
        let next = || names::job_of(task, &next_attempt(task, *first_seen));
        let name = if is_at_work { job_name(task) } else { next() };
        self.add_forged(name, "made up".into());
    }

    fn forge_launch(&mut self) {
        let name = names::job_of(&self.scene.task, &next_attempt(&self.scene.task, self.scene.first_seen));
        if self.scene.status().state != State::Queued || !self.launched_as(&name).is_empty() {
            return;
        }
        self.pods_made += 1;
        let uid = format!("forged {}", self.pods_made);
        if self.executor == Executor::Pod {
            let facts = exits_leaving(0, Some(FORGED))(self.bare_pod(&name, &uid));
            return self.pods.push(Pod::of(facts));
        }
        let mut job = JobFacts { name: name.clone(), uid: uid.clone(), ..self.scene.job(self.now) };
        finished(true, self.now)(&mut job);
        self.jobs.push(job);
        self.with_pod.push(uid.clone());
        self.add_forged(name, uid);
    }

    /// A pod that has ended well.
    fn add_forged(&mut self, job: String, owner: String) {
        self.pods_made += 1;
        let name = format!("p{}", self.pods_made);
        let pod = exits_leaving(0, Some(FORGED))(self.scene.pod(&name));
        let facts = PodFacts { job, owner: Some(owner), created_at: at(self.now), ..pod };
        self.pods.push(Pod::of(facts));
    }

    fn launch(&mut self) -> Checked {
        if std::mem::take(&mut self.lose_next) {
            return Ok(());
        }
        if std::mem::take(&mut self.refuse_next) {
            self.refused = Some(Why { reason: Reason::LaunchRefused, message: "a webhook said no".into() });
            return Ok(());
        }
        let name = job_name(&self.scene.task);
        prop_assert!(self.scene.task.metadata.deletion_timestamp.is_none(), "launched though it is being deleted");
        prop_assert!(self.observed().jobs.iter().all(|job| job.name != name || job.gone), "launched what is there");
        if !self.launched_as(&name).is_empty() {
            // The name is taken, so it is asked whose it is.
            self.show(&name);
            self.unanswered = None;
            return Ok(());
        }
        prop_assert!(!self.something_runs(), "launched while something runs");
        let admitted_to = crate::attempt::executor(self.scene.status());
        prop_assert_eq!(admitted_to, Some(self.executor));
        let mut job = self.scene.job(self.now);
        job.uid = format!("uid {} of {name}", self.launched.len());
        job.suspended = std::mem::take(&mut self.hold_next_job);
        self.launched.push(name);
        if std::mem::take(&mut self.no_answer_next) {
            let why = Why { reason: Reason::LaunchFailed, message: "no answer in time".into() };
            self.unanswered.get_or_insert(Unanswered { since: at(self.clock()), why });
            self.on_its_way = Some(job);
            return Ok(());
        }
        // Who comes second finds the name taken.
        (self.unanswered, self.on_its_way) = (None, None);
        self.make(job);
        Ok(())
    }

    /// Makes this Job, or a bare pod of its name.
    fn make(&mut self, job: JobFacts) {
        match self.executor {
            Executor::Job => self.jobs.push(job),
            Executor::Pod | Executor::Pool => {
                let pod = waits(Reason::Unschedulable)(self.bare_pod(&job.name, &job.uid));
                self.pods.push(Pod::of(PodFacts { waiting: None, ..pod }));
            }
        }
    }

    /// A bare pod of the task that is made now.
    fn bare_pod(&self, name: &str, uid: &str) -> PodFacts {
        let (job, uid, bare) = (name.to_owned(), uid.to_owned(), BarePod { task: "uid-1".into(), finalizers: vec![] });
        let pod = self.scene.pod(name);
        PodFacts { job, owner: Some(uid.clone()), uid, bare: Some(bare), created_at: at(self.now), ..pod }
    }

    /// A Job whose launch nobody answered is made after all, unless its name is taken. Once the attempt has been given up, it is shown
    /// at once: nobody can ask for what is made later.
    fn take_place_late(&mut self) {
        let Some(job) = self.on_its_way.take().filter(|job| self.launched_as(&job.name).is_empty()) else { return };
        if self.scene.status().state == State::Processing && job.name == job_name(&self.scene.task) {
            self.unshown.insert(job.uid.clone());
        }
        self.make(JobFacts { created_at: at(self.now), ..job });
    }

    /// The operator begins anew, and knows nothing of what is gone.
    fn forget(&mut self) {
        self.reports = None;
        self.gone_jobs.clear();
        self.gone_pods.clear();
        (self.refused, self.unanswered) = (None, None);
        self.seen_jobs.clear();
        self.seen_pods.clear();
        self.not_ended.clear();
        // The lists that it begins with show what is there.
        self.unshown.clear();
    }

    // A person.

    fn edit(&mut self, change: impl FnOnce(&mut task_manager_api::TaskSpec)) {
        let before = self.scene.task.spec.clone();
        change(&mut self.scene.task.spec);
        if self.scene.task.spec != before {
            let generation = self.scene.task.metadata.generation.unwrap_or_default();
            self.scene.task.metadata.generation = Some(generation + 1);
            self.scene.touch();
        }
    }

    // The cluster.

    fn wait(&mut self, seconds: i64) {
        self.now += seconds;
        let now = at(self.now);
        self.pods.iter_mut().filter(|pod| pod.node_answers).for_each(|pod| pod.meets_its_deadline(now));
        let (leave, stay) = std::mem::take(&mut self.pods)
            .into_iter()
            .partition(|pod| pod.node_answers && pod.facts.due_gone_at.is_some_and(|due| due <= now));
        self.pods = stay;
        let leave: Vec<Pod> = leave;
        self.gone_pods.extend(leave.into_iter().map(|pod| gone_at(now, ended_by_deletion(pod, now))));
        self.release_jobs();
    }

    fn pod_comes(&mut self, waiting: Option<Reason>, helped: bool, killed: i32) {
        let is_without =
            |job: &JobFacts| job.is_live() && !job.deleting && !job.suspended && !self.with_pod.contains(&job.uid);
        let Some(job) = self.launches().find(is_without) else { return };
        self.pods_made += 1;
        self.with_pod.push(job.uid.clone());
        let is_gated = waiting == Some(Reason::PodGated);
        let on_a_node = !is_gated && waiting != Some(Reason::Unschedulable);
        let beside = Beside { container: "helper".into(), runs: false };
        let bare = self.pods.iter().position(|pod| pod.facts.uid == job.uid);
        let facts = match bare.map(|place| self.pods.remove(place).facts) {
            // The scheduler looks at a bare pod.
            Some(made) => PodFacts { created_at: made.created_at, ..self.bare_pod(&job.name, &job.uid) },
            None => PodFacts {
                job: job.name.clone(),
                owner: Some(job.uid.clone()),
                uid: format!("pod {} of {}", self.pods_made, job.uid),
                created_at: at(self.now),
                ..self.scene.pod(&format!("p{}", self.pods_made))
            },
        };
        let facts = waits(waiting.unwrap_or(Reason::Starting))(facts);
        let facts = PodFacts {
            waiting: facts.waiting.filter(|_| waiting.is_some() && !is_gated),
            gates: if is_gated { vec!["example.com/quota".into()] } else { vec![] },
            started_at: on_a_node.then(|| at(self.now)),
            beside: if helped { vec![beside] } else { vec![] },
            ..facts
        };
        self.pods.push(Pod { killed, ..Pod::of(facts) });
    }

    fn pod_starts(&mut self, told_late: bool) {
        let now = at(self.now);
        let may_start = |pod: &&mut Pod| {
            *pod.work() == Work::NotStarted && pod.facts.due_gone_at.is_none() && !pod.facts.has_ended()
        };
        let Some(pod) = self.pods.iter_mut().find(may_start) else { return };
        let runs = Work::Running { started_at: Some(now) };
        pod.facts.beside.iter_mut().for_each(|beside| beside.runs = true);
        pod.facts = PodFacts {
            started_at: pod.facts.started_at.or(Some(now)),
            node: Some("node-3".into()),
            gates: vec![],
            waiting: None,
            ..pod.facts.clone()
        };
        pod.hidden = Some(runs);
        if !told_late {
            self.statuses_catch_up();
        }
    }

    fn node_refuses(&mut self, for_good: bool) {
        let is_new = |pod: &&mut Pod| {
            let facts = &pod.facts;
            *pod.work() == Work::NotStarted && facts.node.is_some() && facts.due_gone_at.is_none() && !facts.has_ended()
        };
        let now = at(self.now);
        let Some(pod) = self.pods.iter_mut().find(is_new) else { return };
        let word = if for_good { "SysctlForbidden" } else { "OutOfcpu" };
        pod.facts = PodFacts {
            phase: Phase::Failed,
            lists_no_container: true,
            started_at: pod.facts.started_at.or(Some(now)),
            reason: Some(word.into()),
            beside: vec![],
            ..pod.facts.clone()
        };
    }

    fn helpers_end(&mut self) {
        for pod in self.pods.iter_mut().filter(|pod| pod.node_answers && pod.facts.work_ended()) {
            pod.facts.beside.clear();
            pod.work_ends(pod.facts.work.clone());
        }
    }

    fn statuses_catch_up(&mut self) {
        for pod in self.pods.iter_mut().filter(|pod| pod.node_answers && !pod.facts.has_ended()) {
            let Some(work) = pod.hidden.take() else { continue };
            (pod.facts.work, pod.facts.awaited, pod.facts.phase) = (work.clone(), None, Phase::Running);
            pod.work_ends(work);
        }
    }

    fn kubelet_restarts(&mut self) {
        let now = at(self.now);
        let is_over = |pod: &Pod| clocks::deadline(&pod.facts).is_some_and(|deadline| deadline <= now);
        for pod in self.pods.iter_mut().filter(|pod| pod.facts.has_ended() && is_over(pod)) {
            pod.facts.reason = Some("DeadlineExceeded".into());
        }
    }

    /// The Job controller deletes the pod of a Job that is held back, counts nothing, and makes another when it goes on.
    fn hold_job(&mut self, held: bool) {
        let Some(job) = self.jobs.iter_mut().find(|job| job.is_live() && !job.deleting) else { return };
        let uid = job.uid.clone();
        let pod = self.pods.iter().find(|pod| pod.facts.owner.as_ref() == Some(&uid));
        match pod.map(|pod| (pod.facts.uid.clone(), pod.facts.has_ended())) {
            // A Job that is resumed while its pod still ends is left out here.
            Some(_) if !held => return,
            Some((pod, false)) => {
                self.held_back.insert(uid.clone());
                self.delete_pod(&pod);
            }
            None if !held && self.held_back.remove(&uid) => self.with_pod.retain(|with| *with != uid),
            _ => {}
        }
        if let Some(job) = self.jobs.iter_mut().find(|job| job.uid == uid) {
            job.suspended = held;
        }
        if !held {
            self.pod_comes(None, false, 143);
        }
    }

    /// A pod whose work ended more than a moment ago is evicted while helpers still run.
    fn evict_helpers(&mut self) -> bool {
        let now = at(self.now);
        let ended_long_ago = |pod: &&mut Pod| match &pod.facts.work {
            Work::Ended { at: Some(ended), .. } => {
                !pod.facts.has_ended() && after(*ended, SignedDuration::from_secs(5)) < now
            }
            _ => false,
        };
        let Some(pod) = self.pods.iter_mut().filter(|pod| pod.node_answers).find(ended_long_ago) else { return false };
        pod.facts.disruption = Some(("TerminationByKubelet".into(), "short of memory".into()));
        pod.facts.disrupted_at = Some(now);
        pod.facts.beside.clear();
        pod.work_ends(pod.facts.work.clone());
        true
    }

    fn pod_ends(&mut self, end: End) {
        if matches!(end, End::Evicted) && self.evict_helpers() {
            return;
        }
        let now = at(self.now);
        let at_work = |pod: &&mut Pod| pod.node_answers && pod.runs_its_work();
        let Some(pod) = self.pods.iter_mut().find(at_work) else { return };
        let started_at = pod.work().started_at();
        let ended = |exit_code: i32, left: Option<&str>| Work::Ended {
            exit_code,
            started_at,
            at: Some(now),
            left: left.map(str::to_owned),
        };
        let work = match end {
            End::Success => ended(0, Some("{}")),
            End::Exit(code) => ended(code, None),
            End::OutOfMemory | End::Evicted => ended(137, None),
            End::Permanent => ended(1, Some(r#"{"error": {"retryable": false}}"#)),
            End::NodeStopsAnswering => {
                pod.node_answers = false;
                return;
            }
        };
        if pod.facts.due_gone_at.is_none() && !clocks::outlasted_deadline(&pod.facts, now) {
            let Work::Ended { exit_code, .. } = work else { return };
            pod.own_end = Some(exit_code).filter(|_| !matches!(end, End::OutOfMemory | End::Evicted));
        }
        match end {
            End::OutOfMemory => {
                pod.facts.out_of_memory = Some(OutOfMemory { container: "work".into(), limit: None });
            }
            End::Evicted => {
                pod.facts.disruption = Some(("TerminationByKubelet".into(), "short of memory".into()));
                pod.facts.disrupted_at = Some(now);
                pod.facts.beside.clear();
                pod.hidden = None;
            }
            _ => {}
        }
        pod.work_ends(work);
    }

    /// The Job controller finishes the Jobs whose pods have ended or are being deleted.
    fn count_jobs(&mut self) {
        let all: Vec<PodFacts> =
            self.pods.iter().map(|pod| pod.facts.clone()).chain(self.gone_pods.iter().cloned()).collect();
        for job in self.jobs.iter_mut().filter(|job| job.finished.is_none() && !job.suspended) {
            let of_job = |pod: &&PodFacts| pod.owner.as_ref() == Some(&job.uid);
            if let Some(pod) = all.iter().find(of_job).filter(|pod| pod.has_ended()) {
                job.finished = Some(JobEnd { succeeded: pod.phase == Phase::Succeeded, at: at(self.now) });
            }
        }
    }

    fn delete_job(&mut self, uid: &str, in_foreground: bool) {
        if let Some(job) = self.jobs.iter_mut().find(|job| job.uid == uid) {
            job.deleting = true;
        }
        if in_foreground {
            self.collect_garbage();
            return;
        }
        let (gone, stay) = std::mem::take(&mut self.jobs).into_iter().partition(|job| job.uid == uid);
        self.jobs = stay;
        self.remember(gone);
    }

    fn remember(&mut self, gone: Vec<JobFacts>) {
        self.gone_jobs.extend(gone.into_iter().map(|job| JobFacts { gone: true, ..job }));
    }

    /// Pods whose Job is gone or going are deleted.
    fn collect_garbage(&mut self) {
        let alive: Vec<&String> = self.jobs.iter().filter(|job| !job.deleting).map(|job| &job.uid).collect();
        let orphans: Vec<String> = self
            .pods
            .iter()
            .filter(|pod| pod.facts.bare.is_none() && !alive.contains(&pod.facts.owner.as_ref().expect("an owner")))
            .map(|pod| pod.facts.uid.clone())
            .collect();
        orphans.iter().for_each(|uid| self.delete_pod(uid));
        self.release_jobs();
    }

    /// A Job that is deleted in the foreground goes when its pods have gone.
    fn release_jobs(&mut self) {
        let with_pods: Vec<String> = self.pods.iter().filter_map(|pod| pod.facts.owner.clone()).collect();
        let (gone, stay) =
            std::mem::take(&mut self.jobs).into_iter().partition(|job| job.deleting && !with_pods.contains(&job.uid));
        self.jobs = stay;
        self.remember(gone);
    }

    fn delete_pod(&mut self, uid: &str) {
        let now = at(self.now);
        let Some(place) = self.pods.iter().position(|pod| pod.facts.uid == uid && pod.facts.due_gone_at.is_none())
        else {
            return;
        };
        let pod = &mut self.pods[place];
        if pod.facts.has_ended() || pod.facts.started_at.is_none() {
            let facts = self.pods.remove(place).facts;
            self.gone_pods.push(gone_at(now, facts));
        } else {
            // Of an end that the status had not told, in the second of the deletion, nobody can say whose it was.
            if matches!(pod.work(), Work::Ended { at: Some(ended), .. } if *ended >= now) {
                pod.own_end = None;
            }
            pod.facts = terminating(self.now)(pod.facts.clone());
            debug_assert!(pod.facts.due_gone_at > Some(now));
        }
        self.release_jobs();
    }

    // Checks.

    /// A pod that is at work, or may yet begin, on a node that was not given up.
    fn something_runs(&self) -> bool {
        self.running().count() > 0
    }

    /// A Job that is there has not made its pod yet.
    fn something_may_begin(&self) -> bool {
        self.jobs.iter().any(|job| job.is_live() && !job.deleting && !self.with_pod.contains(&job.uid))
    }

    fn running(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter().filter(|pod| {
            let mut facts = pod.facts.clone();
            let is_given_up = self.given_up.contains(&facts.uid);
            facts.asked.node = if is_given_up { NodeState::Silent } else { NodeState::Answers };
            ended::ended(&facts, None, at(self.now)).is_none()
        })
    }

    fn check(&self) -> Checked {
        prop_assert!(self.running().count() <= 1, "two pods run at once");
        Ok(())
    }

    /// Nobody disturbs any more, and all that runs succeeds. Ends when the task is over or waits for somebody.
    fn calm(&mut self) -> Result<bool, TestCaseError> {
        (self.refuse_next_end, self.hold_next_job) = (false, false);
        (self.lose_next, self.refuse_next, self.no_answer_next) = (false, false, false);
        self.archive_takes = true;
        self.take_place_late();
        self.unshown.clear();
        for _ in 0..400 {
            let wake = self.settle()?;
            let status = self.scene.status();
            let waits_for_somebody =
                matches!(status.reason, Reason::Suspended | Reason::TypeMissing | Reason::QueueMissing);
            let is_over = status.state.is_final() && status.is_archived();
            let at_rest = is_over || (status.state == State::Queued && waits_for_somebody);
            if at_rest && !self.something_runs() {
                return Ok(true);
            }
            if self.jobs.iter().any(|job| job.suspended) {
                self.hold_job(false);
            }
            self.pod_comes(None, false, 143);
            self.pod_starts(false);
            self.statuses_catch_up();
            self.pod_ends(End::Success);
            self.count_jobs();
            self.collect_garbage();
            self.check()?;
            let until_wake = wake.map_or(5, |wake| wake.duration_since(at(self.clock())).as_secs().clamp(1, 60));
            self.wait(until_wake.min(60));
            self.taint_lost_nodes();
        }
        Ok(false)
    }

    fn nodes_answer(&mut self) {
        self.pods.iter_mut().for_each(|pod| pod.node_answers = true);
    }

    /// Pods on nodes that do not answer are deleted by the node controller.
    fn taint_lost_nodes(&mut self) {
        let lost: Vec<String> =
            self.pods.iter().filter(|pod| !pod.node_answers).map(|pod| pod.facts.uid.clone()).collect();
        lost.iter().for_each(|uid| self.delete_pod(uid));
    }

    /// Decides and admits until there is nothing to do now.
    fn settle(&mut self) -> Result<Option<Timestamp>, TestCaseError> {
        for _ in 0..20 {
            let decision = self.decide()?;
            self.admit()?;
            self.check()?;
            if decision.action == Action::Rest && decide(&self.gather()?, at(self.clock())).action == Action::Rest {
                return Ok(decision.wake);
            }
        }
        prop_assert!(false, "does not come to rest: {:?}", self.scene.decide(self.clock()));
        Ok(None)
    }
}

/// A type of this executor.
fn kind_of(executor: Executor) -> crate::ParsedType {
    kind(json!({ "executor": executor }))
}

fn some_executor() -> impl Strategy<Value = Executor> {
    prop_oneof![Just(Executor::Job), Just(Executor::Pod)]
}

fn ended_by_deletion(pod: Pod, now: Timestamp) -> PodFacts {
    let Pod { facts, hidden, .. } = pod;
    if facts.has_ended() {
        return facts;
    }
    let work = match hidden.unwrap_or(facts.work.clone()) {
        Work::Running { started_at } => Work::Ended { exit_code: 143, started_at, at: Some(now), left: None },
        work => work,
    };
    PodFacts { phase: Phase::Failed, work, beside: vec![], ..facts }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::cases(400), max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_rules_hold_and_no_task_is_stuck(
        executor in some_executor(),
        deadline in prop::option::weighted(0.2, 50..2000i32),
        ahead in -100..100i64,
        moves in vec(some_move(), 1..120),
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
        executor in some_executor(),
        ahead in -100..100i64,
        moves in vec(some_move(), 1..80),
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
