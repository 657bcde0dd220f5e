//! The facts of a pod that decisions depend on.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodSpec, PodStatus};
use kube_core::{Resource, ResourceExt};

use super::container::{Awaited, Awaiting, Beside, EndBeside, FailedInit, OutOfMemory};
use super::containers::Containers;
use super::events_read::EventsRead;
use super::pod_ages::PodSeen;
use super::{JobFacts, Why, controller, created_at, holds};
use crate::Reason;
use crate::launch::holds::{Holds, surplus};
use crate::launch::names;
use crate::launch::resources::Amounts;
use task_manager_api::Task;

/// The grace period of a pod whose template names none.
const GRACE_SECONDS: i64 = 30;

#[derive(Clone, Debug, PartialEq)]
pub struct PodFacts {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// The name of the Job that made it. A bare pod counts as its own Job: its own name.
    pub job: String,
    /// The uid of the Job that owns it. A bare pod's own.
    pub owner: Option<String>,
    /// The task that owns it, where it is a bare pod.
    pub bare: Option<BarePod>,
    pub node: Option<String>,
    /// The node that the scheduler means it for, where room is still being made or found.
    pub nominated: Option<String>,
    /// The scheduler that it asks for and that has not looked at it yet.
    pub unseen_by: Option<String>,
    /// The name of the container that does the work.
    pub container: Option<String>,
    /// How many it has, of every sort.
    pub containers: usize,
    pub created_at: Timestamp,
    /// Scheduling gates that somebody else has not taken off yet.
    pub gates: Vec<String>,
    /// When its node took it on, by the kubelet's stamp; the deadline counts from here.
    pub started_at: Option<Timestamp>,
    /// activeDeadlineSeconds, past which the kubelet ends the pod.
    pub deadline_seconds: Option<i64>,
    /// How long the work may take, from its own start. Pods of an older operator do not say.
    pub timeout_seconds: Option<i64>,
    /// Why we ended it, or why it ends soon.
    pub ended_for: Option<Reason>,
    /// How long its containers may take to end.
    pub grace_seconds: i64,
    pub phase: Phase,
    /// The pod's own reason and message, such as Evicted or DeadlineExceeded.
    pub reason: Option<String>,
    pub message: Option<String>,
    /// deletionTimestamp: when it should be gone, its grace included.
    pub due_gone_at: Option<Timestamp>,
    /// Since when its node does not answer, by the node controller's word.
    pub node_silent_since: Option<Timestamp>,
    /// When its deletion was asked for.
    pub deleted_at: Option<Timestamp>,
    /// The grace of its deletion is 0. That is so of every pod in the end, and `deleted_at` is then when it was
    /// removed, which may be long after its deletion was asked for.
    pub without_grace: bool,
    /// Since when it is known to be gone; the rest is what was last seen.
    pub gone_at: Option<Timestamp>,
    /// The DisruptionTarget condition: who disturbed the pod, and in which words …
    pub disruption: Option<(String, String)>,
    /// … and when.
    pub disrupted_at: Option<Timestamp>,
    /// Why the work has not started, by the pod's own word.
    pub waiting: Option<Why>,
    /// The container that the work's start waits for; `None` once the work has started.
    pub awaited: Option<Awaited>,
    /// Why a container could not be started, which is its end: there is no such command, mostly.
    pub not_startable: Option<String>,
    pub work: Work,
    /// Ordinary containers other than the work that have not ended.
    pub beside: Vec<Beside>,
    /// Containers beside the work that have ended.
    pub ends_beside: Vec<EndBeside>,
    /// Killed for its use of memory: the work, or before it failed another container.
    pub out_of_memory: Option<OutOfMemory>,
    /// So many seconds after its start, at the earliest, the kubelet may end the work for a probe or a hook; `None` where
    /// it has neither.
    pub may_be_killed_after: Option<i64>,
    /// The init container that failed first. A native sidecar is none.
    pub failed_init: Option<FailedInit>,
    /// The kubelet tells of no container: it has made none.
    pub lists_no_container: bool,
    pub holds: Option<Holds>,
    /// By how much it counts for more than its slot holds.
    pub surplus: Amounts,
    pub seen: PodSeen,
    pub asked: PodAsked,
    /// Its events, where they were read since it last changed.
    pub events: Option<EventsRead>,
}

/// A pod that a task owns, with no Job between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BarePod {
    /// The uid of that task.
    pub task: String,
    /// The finalizers that keep the pod.
    pub finalizers: Vec<String>,
}

/// Facts about a pod that come from elsewhere than the pod itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodAsked {
    pub node: NodeState,
    /// When its work started, by an event: its status may tell much later.
    pub work_started_at: Option<Timestamp>,
    /// A node is coming for it, in the words of an autoscaler's event.
    pub node_is_coming: Option<String>,
    /// The cause for which its kubelet ended the work, by its events: a probe or a hook that failed.
    pub killed_for: Option<String>,
    /// The API server would not have it ended by its deadline.
    pub end_refused: bool,
}

/// Whether a pod's node answers, as far as anybody was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeState {
    /// Nothing may follow from it yet.
    #[default]
    NotAsked,
    /// Nobody could tell: nodes may not be read.
    NotKnown,
    Answers,
    /// It is not Ready, or not there.
    Silent,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Phase {
    #[default]
    Pending,
    Running,
    Succeeded,
    Failed,
}

/// The container that does the work.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Work {
    #[default]
    NotStarted,
    Running {
        started_at: Option<Timestamp>,
    },
    Ended {
        exit_code: i32,
        started_at: Option<Timestamp>,
        at: Option<Timestamp>,
        /// The content of its result file.
        left: Option<String>,
    },
}

impl Work {
    pub fn started_at(&self) -> Option<Timestamp> {
        match self {
            Self::NotStarted => None,
            Self::Running { started_at } | Self::Ended { started_at, .. } => *started_at,
        }
    }
}

impl PodFacts {
    /// These facts, with what only the facts before them knew: a Job, or a task, that is deleted with its pods spared
    /// takes their owner references along, and the last version of a pod forgets when its deletion was asked and, now and then,
    /// that its work ran.
    pub fn after(self, before: &Self) -> Self {
        let asked_before =
            before.deleted_at.is_some_and(|asked| !before.without_grace && Some(asked) <= self.deleted_at);
        let seen = self.seen_after(before);
        let events = before.events.clone().filter(|_| self.is_unchanged(before));
        let of_bare_pod = before.bare.is_some() && self.owner.is_none();
        // Of work that its kubelet lost track of, the last version of the pod says nothing.
        let says_nothing = self.phase == Phase::Failed && self.work == Work::NotStarted;
        let is_lost = says_nothing && matches!(before.work, Work::Running { .. });
        Self {
            work: if is_lost { before.work.clone() } else { self.work },
            seen,
            job: if of_bare_pod { before.job.clone() } else { self.job },
            bare: if of_bare_pod { before.bare.clone() } else { self.bare },
            owner: self.owner.or_else(|| before.owner.clone()),
            deleted_at: if asked_before { before.deleted_at } else { self.deleted_at },
            without_grace: self.without_grace && !asked_before,
            asked: PodAsked { end_refused: before.asked.end_refused, ..self.asked },
            events,
            ..self
        }
    }

    /// It says of itself what it said before.
    fn is_unchanged(&self, before: &Self) -> bool {
        let said =
            Self { seen: before.seen, asked: before.asked.clone(), events: before.events.clone(), ..self.clone() };
        said == *before
    }

    pub fn of(pod: &Pod) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let spec = pod.spec.as_ref();
        let annotation = |name: &str| pod.annotations().get(name);
        let due_gone_at = pod.metadata.deletion_timestamp.as_ref().map(|time| time.0);
        let grace = SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or(0));
        let gates = spec.iter().flat_map(|spec| spec.scheduling_gates.iter().flatten());
        let containers = Containers::of(pod, &status);
        let holds = holds(annotation(names::ANNOTATION_HOLDS));
        let bare = bare(pod);
        let job_name = pod.labels().get(names::LABEL_JOB_NAME).cloned().unwrap_or_default();
        Self {
            namespace: pod.namespace().unwrap_or_default(),
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            job: if bare.is_some() { pod.name_any() } else { job_name },
            owner: if bare.is_some() { pod.uid() } else { controller(pod).map(|owner| owner.uid.clone()) },
            bare,
            node: spec.and_then(|spec| spec.node_name.clone()),
            nominated: status.nominated_node_name.clone(),
            unseen_by: spec.and_then(|spec| unseen_by(spec, &status)),
            container: containers.work_name.map(str::to_owned),
            containers: spec.map_or(1, count_containers),
            created_at: created_at(pod.metadata.creation_timestamp.as_ref()),
            gates: gates.map(|gate| gate.name.clone()).collect(),
            started_at: status.start_time.as_ref().map(|time| time.0),
            deadline_seconds: spec.and_then(|spec| spec.active_deadline_seconds),
            timeout_seconds: annotation(names::ANNOTATION_TIMEOUT).and_then(|seconds| seconds.parse().ok()),
            ended_for: annotation(names::ANNOTATION_ENDED_FOR).map(|word| Reason::read(word)),
            grace_seconds: spec.and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(GRACE_SECONDS),
            phase: phase(status.phase.as_deref()),
            reason: status.reason.clone(),
            message: status.message.clone(),
            due_gone_at,
            node_silent_since: node_silent_since(&status),
            deleted_at: due_gone_at.and_then(|due| due.checked_sub(grace).ok()),
            without_grace: due_gone_at.is_some() && grace.is_zero(),
            gone_at: None,
            disruption: disruption(&status),
            disrupted_at: condition(&status, "DisruptionTarget", "True")
                .and_then(|seen| Some(seen.last_transition_time.as_ref()?.0)),
            waiting: unscheduled(&status).or_else(|| containers.waiting()),
            awaited: containers.awaited(),
            not_startable: containers.not_startable(),
            work: containers.work(),
            beside: containers.beside(),
            ends_beside: containers.ends_beside(),
            out_of_memory: containers.out_of_memory(),
            may_be_killed_after: containers.work_may_be_killed_after(),
            failed_init: containers.failed_init(),
            lists_no_container: containers.all().next().is_none(),
            surplus: spec.zip(holds.as_ref()).map(|(spec, holds)| surplus(spec, holds)).unwrap_or_default(),
            holds,
            seen: PodSeen::default(),
            asked: PodAsked::default(),
            events: None,
        }
    }

    pub fn is_gone(&self) -> bool {
        self.gone_at.is_some()
    }

    /// It is gone without an end and without a deletion.
    pub fn went_unseen(&self) -> bool {
        self.is_gone() && self.due_gone_at.is_none() && !matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Its containers have all ended, or it is gone.
    pub fn has_ended(&self) -> bool {
        self.is_gone() || matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    /// By its owner's uid, which nobody knows before that Job is made.
    pub fn is_owned_by(&self, job: &JobFacts) -> bool {
        self.owner.as_ref() == Some(&job.uid)
    }

    /// Its work runs or has run, by the pod's own word.
    pub fn has_started(&self) -> bool {
        self.work != Work::NotStarted
    }

    /// Its work runs or has run, by its own word or by an event.
    pub fn has_begun(&self) -> bool {
        self.has_started() || self.asked.work_started_at.is_some()
    }

    pub fn work_ended(&self) -> bool {
        matches!(self.work, Work::Ended { .. })
    }

    /// It does not say why its work has not started, and its events may.
    pub(super) fn is_silent(&self) -> bool {
        let says = self.waiting.is_some() || !self.gates.is_empty() || self.has_started() || self.has_ended();
        !says && !self.awaited.as_ref().is_some_and(|awaited| awaited.is == Awaiting::Done)
    }
}

/// Other products have a kind called Task too.
fn bare(pod: &Pod) -> Option<BarePod> {
    let group = |version: &str| version.split('/').next() == Some(Task::group(&()).as_ref());
    let task = controller(pod).filter(|owner| owner.kind == Task::kind(&()) && group(&owner.api_version))?;
    Some(BarePod { task: task.uid.clone(), finalizers: pod.finalizers().to_vec() })
}

fn condition<'a>(status: &'a PodStatus, type_: &str, value: &str) -> Option<&'a PodCondition> {
    status.conditions.iter().flatten().find(|seen| seen.type_ == type_ && seen.status == value)
}

/// The node controller takes Ready from the pods of a node that went silent, and leaves their containers' own words. It gives
/// no reason; a kubelet, or a readiness gate, always has one.
fn node_silent_since(status: &PodStatus) -> Option<Timestamp> {
    let seen =
        condition(status, "Ready", "False").filter(|seen| seen.reason.as_deref().unwrap_or_default().is_empty())?;
    let runs = status.container_statuses.iter().flatten().any(|container| container.ready);
    seen.last_transition_time.as_ref().filter(|_| runs).map(|time| time.0)
}

/// The scheduler that a pod without a node asks for, while no scheduler has said anything of it.
fn unseen_by(spec: &PodSpec, status: &PodStatus) -> Option<String> {
    let is_seen =
        spec.node_name.is_some() || status.conditions.iter().flatten().any(|seen| seen.type_ == "PodScheduled");
    (!is_seen).then(|| spec.scheduler_name.clone().unwrap_or_else(|| "default-scheduler".into()))
}

/// No node takes it, or gates of others keep it from being looked at.
fn unscheduled(status: &PodStatus) -> Option<Why> {
    let seen = condition(status, "PodScheduled", "False")?;
    let is_gated = seen.reason.as_deref() == Some("SchedulingGated");
    let message = seen.message.clone().unwrap_or_default();
    (!is_gated).then_some(Why { reason: Reason::Unschedulable, message })
}

fn disruption(status: &PodStatus) -> Option<(String, String)> {
    let seen = condition(status, "DisruptionTarget", "True")?;
    Some((seen.reason.clone().unwrap_or_default(), seen.message.clone().unwrap_or_default()))
}

fn count_containers(spec: &PodSpec) -> usize {
    let beside = [spec.init_containers.as_ref().map(Vec::len), spec.ephemeral_containers.as_ref().map(Vec::len)];
    spec.containers.len() + beside.into_iter().flatten().sum::<usize>()
}

fn phase(phase: Option<&str>) -> Phase {
    match phase {
        Some("Running") => Phase::Running,
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        _ => Phase::Pending,
    }
}

#[cfg(test)]
mod tests;
