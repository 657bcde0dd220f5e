//! What matters of a Job and of a pod, read out of the whole objects. The caches keep these facts only.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube_core::ResourceExt;

use super::reports::Said;
use crate::Reason;
use crate::launch::holds::Holds;
use crate::launch::names;
use crate::time::{after, since};
use task_manager_api::Task;

/// What does not come along for so long is looked into and told.
pub const TOLD_AFTER: SignedDuration = SignedDuration::from_secs(10);
/// A slot without a pod to show for it is given back after so long.
pub const GIVEN_BACK_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// Everything of a task's children that a decision depends on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The Jobs of this task, of every run and attempt.
    pub jobs: Vec<JobFacts>,
    /// The pods of this task, of every run and attempt.
    pub pods: Vec<PodFacts>,
    /// The API server's refusal of the present attempt's Job, if it refused.
    pub refused: Option<Why>,
    /// It has not said whether it made the present attempt's Job.
    pub unanswered: Option<Unanswered>,
    /// What the events say of what does not come along, where that was looked into.
    pub explained: Option<Why>,
    /// What the work has said of itself over HTTP.
    pub said: Option<Said>,
}

impl Observed {
    /// What of these belongs to the task: Jobs in its namespace that it owns, and pods there that such a Job owns. A
    /// label alone proves nothing: anybody may set it; and an owner is believed only where the API server's garbage
    /// collection would believe it. A pod whose Job was not seen may be what a Job left that went: it is here to be
    /// waited for and ended, and nothing that it says is believed unless its name was written down before.
    pub fn of(task: &Task, jobs: Vec<JobFacts>, pods: Vec<PodFacts>) -> Self {
        let ObjectMeta { uid, namespace, .. } = &task.metadata;
        let is_here = |of: &String| Some(of) == namespace.as_ref();
        let jobs = jobs.into_iter().filter(|job| job.owner == *uid && is_here(&job.namespace));
        let jobs: Vec<_> = jobs.collect();
        let pods = pods.into_iter().filter(|pod| is_here(&pod.namespace)).filter_map(|pod| of_a_job(pod, &jobs));
        Self { pods: pods.collect(), jobs, ..Self::default() }
    }

    /// This Job is over, and nothing was seen of its pod.
    pub fn lacks_the_pod_of(&self, job: &str) -> bool {
        let is_finished_or_gone = |seen: &JobFacts| seen.name == job && !seen.is_live();
        self.jobs.iter().any(is_finished_or_gone) && !self.pods.iter().any(|pod| pod.job == job)
    }

    /// What of this Job does not come along without saying why.
    pub fn puzzle(&self, job: &str, now: Timestamp) -> Option<Puzzle<'_>> {
        let pods: Vec<_> = self.pods.iter().filter(|pod| pod.job == job).collect();
        let due = |since: Timestamp| now >= after(since, TOLD_AFTER);
        if let Some(pod) = pods.iter().find(|pod| pod.is_silent() && due(pod.age_from())) {
            return Some(Puzzle::PodNotStarted(pod));
        }
        let job = self.jobs.iter().find(|seen| seen.name == job && seen.is_live() && !seen.deleting)?;
        (pods.is_empty() && due(job.age_from())).then_some(Puzzle::JobWithoutPod(job))
    }

    /// The Job may still make or run a pod. One whose pod has ended cannot, whatever the Job itself says yet.
    pub fn may_run(&self, job: &JobFacts) -> bool {
        let mut pods = self.pods.iter().filter(|pod| pod.job == job.name).peekable();
        job.is_live() && (pods.peek().is_none() || !pods.all(PodFacts::has_ended))
    }
}

/// Whether a Job is one of this task's: by its controller; and by the label that the watches go by, without which nothing
/// more would be seen of it.
pub fn belongs_to(task: &Task, job: &Job) -> bool {
    let is_labelled = job.labels().get(names::LABEL_TASK_UID) == task.metadata.uid.as_ref();
    is_labelled && JobFacts::of(job).owner == task.metadata.uid
}

/// The pod under the name of the Job that owns it; `None` where nobody owns it, or not the Job that it names.
fn of_a_job(pod: PodFacts, jobs: &[JobFacts]) -> Option<PodFacts> {
    let owner = pod.owner.as_ref()?;
    match jobs.iter().find(|job| job.uid == *owner) {
        Some(job) => Some(PodFacts { job: job.name.clone(), ..pod }),
        None => jobs.iter().all(|job| job.name != pod.job).then_some(pod),
    }
}

/// Something that does not come along and does not say why: its events may.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Puzzle<'a> {
    JobWithoutPod(&'a JobFacts),
    PodNotStarted(&'a PodFacts),
}

impl Puzzle<'_> {
    /// Whose events to ask.
    pub fn uid(&self) -> &str {
        match self {
            Self::JobWithoutPod(job) => &job.uid,
            Self::PodNotStarted(pod) => &pod.uid,
        }
    }

    /// A warning of this reason may answer it. What the scheduler said of a pod is past once the pod has a node.
    pub fn is_answered_by(&self, reason: &str) -> bool {
        matches!(self, Self::JobWithoutPod(_)) || reason != "FailedScheduling"
    }

    /// What the last of its warnings means.
    pub fn explained(&self, last_words: &str) -> Why {
        match self {
            Self::JobWithoutPod(_) => no_pod(last_words),
            Self::PodNotStarted(_) => {
                let of_image = IMAGE_WORDS.iter().any(|word| last_words.contains(word));
                let reason = if of_image { Reason::ImageUnavailable } else { Reason::ContainerConfig };
                Why { reason, message: last_words.into() }
            }
        }
    }
}

/// The kubelet's events speak of images so.
const IMAGE_WORDS: [&str; 5] = ["ErrImage", "ImagePull", "InvalidImageName", "pull image", "pulling image"];

/// Something that went wrong, in a word and a sentence.
#[derive(Clone, Debug, PartialEq)]
pub struct Why {
    pub reason: Reason,
    pub message: String,
}

/// A launch that is tried again and again.
#[derive(Clone, Debug, PartialEq)]
pub struct Unanswered {
    pub since: Timestamp,
    /// What the last try came to.
    pub why: Why,
}

impl Unanswered {
    pub fn is_to_be_told(&self, now: Timestamp) -> bool {
        now >= after(self.since, TOLD_AFTER)
    }

    pub fn is_given_up(&self, now: Timestamp) -> bool {
        now >= after(self.since, GIVEN_BACK_AFTER)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct JobFacts {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// The uid of the Task that owns it.
    pub owner: Option<String>,
    pub created_at: Timestamp,
    pub deleting: bool,
    /// It was there and is gone.
    pub gone: bool,
    pub finished: Option<JobEnd>,
    pub holds: Option<Holds>,
    pub seen: JobSeen,
}

/// When we first saw a Job, and that it has finished.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct JobSeen {
    at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JobEnd {
    pub succeeded: bool,
    pub at: Timestamp,
}

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
        /// What it left in its result file.
        left: Option<String>,
    },
}

impl JobFacts {
    pub fn of(job: &Job) -> Self {
        let status = job.status.clone().unwrap_or_default();
        let ended = |condition: &str| {
            status.conditions.iter().flatten().find(|seen| seen.type_ == condition && seen.status == "True").map(
                |seen| JobEnd {
                    succeeded: condition == "Complete",
                    at: seen
                        .last_transition_time
                        .as_ref()
                        .or(job.metadata.creation_timestamp.as_ref())
                        .map_or(Timestamp::UNIX_EPOCH, |time| time.0),
                },
            )
        };
        Self {
            namespace: job.namespace().unwrap_or_default(),
            name: job.name_any(),
            uid: job.uid().unwrap_or_default(),
            owner: controller_uid(job),
            created_at: created_at(job.metadata.creation_timestamp.as_ref()),
            deleting: job.metadata.deletion_timestamp.is_some(),
            gone: false,
            finished: ended("Complete").or_else(|| ended("Failed")),
            holds: holds(job.annotations().get(names::ANNOTATION_HOLDS)),
            seen: JobSeen::default(),
        }
    }

    /// These facts, seen now for the first time.
    pub fn first_seen(self, now: Timestamp) -> Self {
        Self { seen: JobSeen { at: Some(now), finished_at: self.finished.map(|_| now) }, ..self }
    }

    /// These facts, some of which were seen before.
    pub fn after(self, before: &Self) -> Self {
        let seen = JobSeen {
            at: before.seen.at.or(self.seen.at),
            finished_at: before.seen.finished_at.or(self.seen.finished_at),
        };
        Self { seen, ..self }
    }

    /// From when its age counts.
    pub fn age_from(&self) -> Timestamp {
        since(self.created_at, self.seen.at)
    }

    /// From when it counts how long it has been finished.
    pub fn finished_from(&self) -> Option<Timestamp> {
        Some(since(self.finished?.at, self.seen.finished_at))
    }

    /// It is there and may still make or run a pod.
    pub fn is_live(&self) -> bool {
        !self.gone && self.finished.is_none()
    }
}

fn controller_uid(child: &impl ResourceExt) -> Option<String> {
    child.owner_references().iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone())
}

fn created_at(time: Option<&Time>) -> Timestamp {
    time.map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

fn holds(annotation: Option<&String>) -> Option<Holds> {
    serde_json::from_str(annotation?).ok()
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
        let status = pod.status.clone().unwrap_or_default();
        let spec = pod.spec.as_ref();
        let due_gone_at = pod.metadata.deletion_timestamp.as_ref().map(|time| time.0);
        let grace = jiff::SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or(0));
        let containers = status.container_statuses.as_deref().unwrap_or_default();
        let init_containers = status.init_container_statuses.as_deref().unwrap_or_default();
        let work_name = spec.and_then(|spec| spec.containers.first()).map(|container| container.name.as_str());
        let work = containers.iter().find(|container| Some(container.name.as_str()) == work_name);
        let condition = |type_: &str, value: &str| {
            status.conditions.iter().flatten().find(|seen| seen.type_ == type_ && seen.status == value)
        };
        let waiting = init_containers.iter().chain(containers).find_map(waiting).or_else(|| {
            condition("PodScheduled", "False")
                .map(|seen| Why { reason: Reason::Unschedulable, message: seen.message.clone().unwrap_or_default() })
        });
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
            disruption: condition("DisruptionTarget", "True")
                .map(|seen| (seen.reason.clone().unwrap_or_default(), seen.message.clone().unwrap_or_default())),
            waiting,
            not_startable: init_containers.iter().chain(work).find_map(not_startable),
            work: work.map(work_state).unwrap_or_default(),
            preparing: init_containers.iter().any(|container| work_state(container) != Work::NotStarted),
            out_of_memory: init_containers
                .iter()
                .chain(containers)
                .find(|seen| was_oom_killed(seen))
                .map(|seen| seen.name.clone()),
            failed_init: init_containers.iter().find_map(|seen| {
                let ended = seen
                    .state
                    .as_ref()?
                    .terminated
                    .as_ref()
                    .filter(|ended| ended.exit_code != 0 && !is_made_up(ended))?;
                Some((seen.name.clone(), ended.exit_code))
            }),
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
    fn is_silent(&self) -> bool {
        self.node.is_some() && self.waiting.is_none() && !self.has_started() && !self.has_ended()
    }
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

fn work_state(container: &ContainerStatus) -> Work {
    match &container.state {
        Some(ContainerState { terminated: Some(ended), .. }) if !is_made_up(ended) => Work::Ended {
            exit_code: ended.exit_code,
            at: ended.finished_at.as_ref().map(|time| time.0),
            left: ended.message.clone().filter(|left| !left.is_empty()),
        },
        Some(ContainerState { running: Some(_), .. }) => Work::Running,
        _ => Work::NotStarted,
    }
}

/// The exit code is not the container's own. The kubelet did not find it when it ended the pod, which it says of every
/// container that never started, too; or the runtime could not start it.
fn is_made_up(ended: &ContainerStateTerminated) -> bool {
    ended.reason.as_deref() == Some("ContainerStatusUnknown") || is_not_startable(ended)
}

/// So containerd and CRI-O say it, and the runtime of old Docker.
fn is_not_startable(ended: &ContainerStateTerminated) -> bool {
    matches!(ended.reason.as_deref(), Some("StartError" | "ContainerCannotRun"))
}

fn not_startable(container: &ContainerStatus) -> Option<String> {
    let ended = container.state.as_ref()?.terminated.as_ref().filter(|ended| is_not_startable(ended))?;
    let said = ended.message.as_deref().unwrap_or_default();
    Some(format!("container {}: {}: {said}", container.name, ended.reason.as_deref().unwrap_or_default()))
}

/// With a limit that is much too low the runtime itself is killed while it starts the container, and says so.
fn was_oom_killed(container: &ContainerStatus) -> bool {
    let Some(ended) = container.state.as_ref().and_then(|state| state.terminated.as_ref()) else { return false };
    let at_start = is_not_startable(ended) && ended.message.as_ref().is_some_and(|said| said.contains("OOM-killed"));
    at_start || ended.reason.as_deref() == Some("OOMKilled")
}

/// Why a container waits, where that is more than the usual moment of being made.
fn waiting(container: &ContainerStatus) -> Option<Why> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = match waiting.reason.as_deref()? {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => Reason::ImageUnavailable,
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "PreCreateHookError"
        | "PreStartHookError"
        | "PostStartHookError" => Reason::ContainerConfig,
        _ => return None,
    };
    let said = waiting.message.as_deref().unwrap_or_default();
    let word = waiting.reason.as_deref().unwrap_or_default();
    Some(Why { reason, message: format!("container {}: {word}: {said}", container.name) })
}

/// A warning that is a mere word, such as "Error: ErrImagePull", says less than the one that came just before it.
pub fn is_a_sentence(warning: &str) -> bool {
    warning.strip_prefix("Error: ").is_none_or(|rest| rest.contains(' '))
}

/// Why a Job has no pod, by the last words of the Job controller: the messages of its FailedCreate events.
pub fn no_pod(last_words: &str) -> Why {
    let reason = if last_words.contains("exceeded quota") { Reason::QuotaExceeded } else { Reason::LaunchRefused };
    Why { reason, message: last_words.into() }
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
