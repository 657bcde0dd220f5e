//! The facts of a pod that decisions depend on.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodSpec, PodStatus};
use kube_core::ResourceExt;

use super::container::{failed, not_startable, waiting, was_oom_killed, work_state};
use super::{JobFacts, Why, controller_uid, created_at, holds};
use crate::Reason;
use crate::launch::holds::Holds;
use crate::launch::names;
use crate::time::{after, since};

#[derive(Clone, Debug, PartialEq)]
pub struct PodFacts {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// The name of the Job that made it.
    pub job: String,
    /// The uid of the Job that owns it.
    pub owner: Option<String>,
    pub node: Option<String>,
    /// The name of its first container, which does the work.
    pub container: Option<String>,
    /// How many it has, of every sort.
    pub containers: usize,
    pub created_at: Timestamp,
    /// When its node took it on; its timeout counts from here.
    pub started_at: Option<Timestamp>,
    pub timeout_seconds: Option<i64>,
    pub phase: Phase,
    /// The pod's own reason and message, such as Evicted or DeadlineExceeded.
    pub reason: Option<String>,
    pub message: Option<String>,
    /// deletionTimestamp: when it should be gone, its grace included.
    pub due_gone_at: Option<Timestamp>,
    /// When its deletion was asked for.
    pub deleted_at: Option<Timestamp>,
    /// The grace of its deletion is 0. That is so of every pod in the end, and `deleted_at` is then when it was
    /// removed, which may be long after its deletion was asked for.
    pub without_grace: bool,
    /// Since when it is known to be gone; the rest is what was last seen.
    pub gone_at: Option<Timestamp>,
    /// The DisruptionTarget condition: who disturbed the pod, and in which words.
    pub disruption: Option<(String, String)>,
    /// Why its container has not started.
    pub waiting: Option<Why>,
    /// Why its container could not be started, which is its end: there is no such command, mostly.
    pub not_startable: Option<String>,
    pub work: Work,
    /// An init container runs or has run.
    pub preparing: bool,
    /// A container that was killed for its use of memory.
    pub out_of_memory: Option<String>,
    /// An init container that failed, with its exit code.
    pub failed_init: Option<(String, i32)>,
    pub holds: Option<Holds>,
    pub seen: PodSeen,
}

/// When we first saw a pod, and that its node has taken it on; and by when it should be gone, counted from when we first
/// saw that it is being deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PodSeen {
    at: Option<Timestamp>,
    started_at: Option<Timestamp>,
    due_gone_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Phase {
    #[default]
    Pending,
    Running,
    Succeeded,
    Failed,
}

/// The first container.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Work {
    #[default]
    NotStarted,
    Running,
    Ended {
        exit_code: i32,
        at: Option<Timestamp>,
        /// The content of its result file.
        left: Option<String>,
    },
}

impl PodFacts {
    /// These facts, with what only the facts before them knew: a Job that is deleted with its pods spared takes
    /// their owner references along, and the last version of a deleted pod forgets when its deletion was asked.
    pub fn after(self, before: &Self) -> Self {
        let asked_before =
            before.deleted_at.is_some_and(|asked| !before.without_grace && Some(asked) <= self.deleted_at);
        let seen = PodSeen {
            at: before.seen.at.or(self.seen.at),
            started_at: before.seen.started_at.or(self.seen.started_at),
            // Somebody who deletes it once more may have shortened its grace.
            due_gone_at: if before.due_gone_at == self.due_gone_at { before.seen } else { self.seen }.due_gone_at,
        };
        Self {
            seen,
            owner: self.owner.or_else(|| before.owner.clone()),
            deleted_at: if asked_before { before.deleted_at } else { self.deleted_at },
            without_grace: self.without_grace && !asked_before,
            ..self
        }
    }

    pub fn of(pod: &Pod) -> Self {
        let (spec, status) = (pod.spec.as_ref(), pod.status.clone().unwrap_or_default());
        let due_gone_at = pod.metadata.deletion_timestamp.as_ref().map(|time| time.0);
        let grace = SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or(0));
        let containers = status.container_statuses.as_deref().unwrap_or_default();
        let init_containers = status.init_container_statuses.as_deref().unwrap_or_default();
        let work_name = spec.and_then(|spec| spec.containers.first()).map(|container| container.name.as_str());
        let work = containers.iter().find(|container| Some(container.name.as_str()) == work_name);
        let all = || init_containers.iter().chain(containers);
        Self {
            namespace: pod.namespace().unwrap_or_default(),
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            owner: controller_uid(pod),
            job: pod.labels().get(names::LABEL_JOB_NAME).cloned().unwrap_or_default(),
            node: spec.and_then(|spec| spec.node_name.clone()),
            container: work_name.map(str::to_owned),
            containers: spec.map_or(0, count_containers),
            created_at: created_at(pod.metadata.creation_timestamp.as_ref()),
            started_at: status.start_time.as_ref().map(|time| time.0),
            timeout_seconds: spec.and_then(|spec| spec.active_deadline_seconds),
            phase: phase(status.phase.as_deref()),
            reason: status.reason.clone(),
            message: status.message.clone(),
            due_gone_at,
            deleted_at: due_gone_at.and_then(|due| due.checked_sub(grace).ok()),
            without_grace: due_gone_at.is_some() && grace.is_zero(),
            gone_at: None,
            disruption: disruption(&status),
            waiting: all().find_map(waiting).or_else(|| unscheduled(&status)),
            not_startable: init_containers.iter().chain(work).find_map(not_startable),
            work: work.map(work_state).unwrap_or_default(),
            preparing: init_containers.iter().any(|container| work_state(container) != Work::NotStarted),
            out_of_memory: all().find(|seen| was_oom_killed(seen)).map(|seen| seen.name.clone()),
            failed_init: init_containers.iter().find_map(failed),
            holds: holds(pod.annotations().get(names::ANNOTATION_HOLDS)),
            seen: PodSeen::default(),
        }
    }

    /// These facts, seen now for the first time.
    pub fn first_seen(self, now: Timestamp) -> Self {
        let grace = self.due_gone_at.zip(self.deleted_at).map(|(due, asked)| due.duration_since(asked));
        let seen = PodSeen {
            at: Some(now),
            started_at: self.started_at.map(|_| now),
            due_gone_at: grace.map(|grace| after(now, grace)),
        };
        Self { seen, ..self }
    }

    /// From when its age counts.
    pub fn age_from(&self) -> Timestamp {
        since(self.created_at, self.seen.at)
    }

    /// From when it counts how long it has been on its node.
    pub fn started_from(&self) -> Option<Timestamp> {
        Some(since(self.started_at?, self.seen.started_at))
    }

    /// When it should be gone, its grace included.
    pub fn gone_by(&self) -> Option<Timestamp> {
        Some(since(self.due_gone_at?, self.seen.due_gone_at))
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

    /// A container of it has begun: its work, or what prepares that.
    pub fn has_started(&self) -> bool {
        let prepares = self.preparing && self.waiting.is_none() && self.not_startable.is_none();
        self.work != Work::NotStarted || prepares
    }

    /// It has a node, and does not say why its container has not started.
    pub(super) fn is_silent(&self) -> bool {
        self.node.is_some() && self.waiting.is_none() && !self.has_started() && !self.has_ended()
    }
}

fn condition<'a>(status: &'a PodStatus, type_: &str, value: &str) -> Option<&'a PodCondition> {
    status.conditions.iter().flatten().find(|seen| seen.type_ == type_ && seen.status == value)
}

fn disruption(status: &PodStatus) -> Option<(String, String)> {
    let seen = condition(status, "DisruptionTarget", "True")?;
    Some((seen.reason.clone().unwrap_or_default(), seen.message.clone().unwrap_or_default()))
}

fn unscheduled(status: &PodStatus) -> Option<Why> {
    let seen = condition(status, "PodScheduled", "False")?;
    Some(Why::new(Reason::Unschedulable, seen.message.clone().unwrap_or_default()))
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
