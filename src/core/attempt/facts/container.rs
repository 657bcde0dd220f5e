//! Reads one container's status, and its spec where the status alone cannot be understood.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateTerminated, ContainerStatus, PodSpec, Probe, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Why;
use super::pod::Work;
use crate::Reason;
use crate::telling::runtime_words;

/// The API server's defaults of a probe: how often it fails before that counts, and the seconds in between.
const PROBE_FAILURES: i32 = 3;
const PROBE_PERIOD: i32 = 10;

/// The container that a start waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Awaited {
    pub container: String,
    pub is: Awaiting,
}

/// How far the container is that is waited for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Awaiting {
    /// It is being made: images, volumes, the sandbox.
    Made,
    /// An init container runs.
    Done,
    /// A native sidecar runs and is not up: its startup probe fails, or its hook has not ended.
    Up,
    /// A native sidecar ends again and again, last with this exit code.
    Lasting { exit_code: i32 },
}

/// A container that was killed for its use of memory, and the limit that it hit.
#[derive(Clone, Debug, PartialEq)]
pub struct OutOfMemory {
    pub container: String,
    pub limit: Option<MemoryLimit>,
}

/// A limit of memory: the container's own, or that of its pod as a whole.
#[derive(Clone, Debug, PartialEq)]
pub enum MemoryLimit {
    OfContainer(String),
    OfPod(String),
}

/// An end of a container beside the work. One that is started again and again has its last two.
#[derive(Clone, Debug, PartialEq)]
pub struct EndBeside {
    pub container: String,
    /// Its kubelet ends it after all others.
    pub is_sidecar: bool,
    /// `None` where it never ran.
    pub exit_code: Option<i32>,
    pub at: Option<Timestamp>,
    pub out_of_memory: Option<OutOfMemory>,
}

impl OutOfMemory {
    /// The same in a sentence, with the limit that was hit.
    pub fn told(&self) -> String {
        let container = &self.container;
        match &self.limit {
            Some(MemoryLimit::OfContainer(limit)) => {
                format!("container {container} was killed at its memory limit of {limit}")
            }
            Some(MemoryLimit::OfPod(limit)) => {
                format!("container {container} was killed at its pod's memory limit of {limit}")
            }
            None => format!("container {container} was killed for its use of memory, and has no limit of its own"),
        }
    }
}

/// An init container that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedInit {
    pub container: String,
    pub exit_code: i32,
    pub at: Option<Timestamp>,
}

/// A container beside the work that has not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Beside {
    pub container: String,
    pub runs: bool,
}

/// A native sidecar: an init container that the kubelet keeps up, and ends after all others.
pub(super) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

pub(super) fn work_state(container: &ContainerStatus) -> Work {
    match &container.state {
        Some(ContainerState { terminated: Some(ended), .. }) if !is_made_up(ended) => Work::Ended {
            exit_code: ended.exit_code,
            started_at: stamp(ended.started_at.as_ref()),
            at: stamp(ended.finished_at.as_ref()),
            left: ended.message.clone().filter(|left| !left.is_empty()),
        },
        Some(ContainerState { running: Some(running), .. }) => {
            Work::Running { started_at: stamp(running.started_at.as_ref()) }
        }
        _ => Work::NotStarted,
    }
}

/// A time that a runtime wrote; what never was it writes as the beginning of 1970.
fn stamp(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0).filter(|time| *time > Timestamp::UNIX_EPOCH)
}

pub(super) fn has_ended(container: &ContainerStatus) -> bool {
    container.state.as_ref().is_some_and(|state| state.terminated.is_some())
}

pub(super) fn beside(container: &ContainerStatus) -> Option<Beside> {
    let runs = container.state.as_ref().is_some_and(|state| state.running.is_some());
    (!has_ended(container)).then(|| Beside { container: container.name.clone(), runs })
}

/// The exit code is not the container's own. The kubelet did not find it when it ended the pod, which it says of every
/// container that never started, too; or the runtime could not start it.
fn is_made_up(ended: &ContainerStateTerminated) -> bool {
    ended.reason.as_deref() == Some("ContainerStatusUnknown") || is_not_startable(ended)
}

/// These are the reasons that containerd and CRI-O give, and the runtime of old Docker.
fn is_not_startable(ended: &ContainerStateTerminated) -> bool {
    matches!(ended.reason.as_deref(), Some("StartError" | "ContainerCannotRun"))
}

fn terminated(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    container.state.as_ref()?.terminated.as_ref()
}

pub(super) fn ended_at(container: &ContainerStatus) -> Option<Timestamp> {
    stamp(terminated(container)?.finished_at.as_ref())
}

pub(super) fn not_startable(container: &ContainerStatus) -> Option<String> {
    let ended = terminated(container).filter(|ended| is_not_startable(ended))?;
    let cause = runtime_words::cause(ended.message.as_deref().unwrap_or_default());
    Some(format!("container {}: {}: {cause}", container.name, ended.reason.as_deref().unwrap_or_default()))
}

pub(super) fn failed_init(container: &ContainerStatus) -> Option<FailedInit> {
    let ended = terminated(container).filter(|ended| ended.exit_code != 0 && !is_made_up(ended))?;
    let at = stamp(ended.finished_at.as_ref());
    Some(FailedInit { container: container.name.clone(), exit_code: ended.exit_code, at })
}

/// With a limit that is much too low the runtime itself is killed while it starts the container, and says so.
fn was_killed_for_memory(ended: &ContainerStateTerminated) -> bool {
    let at_start = is_not_startable(ended) && ended.message.as_ref().is_some_and(|said| said.contains("OOM-killed"));
    at_start || ended.reason.as_deref() == Some("OOMKilled")
}

pub(super) fn out_of_memory(container: &ContainerStatus, spec: Option<&PodSpec>) -> Option<OutOfMemory> {
    terminated(container).is_some_and(was_killed_for_memory).then(|| killed_at_its_limit(container, spec))
}

fn killed_at_its_limit(container: &ContainerStatus, spec: Option<&PodSpec>) -> OutOfMemory {
    OutOfMemory { container: container.name.clone(), limit: spec.and_then(|spec| memory_limit(container, spec)) }
}

/// The container's own limit, as it was in force where the kubelet says so; else that of the pod as a whole.
fn memory_limit(container: &ContainerStatus, spec: &PodSpec) -> Option<MemoryLimit> {
    let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let asked = all.filter(|one| one.name == container.name).find_map(|one| one.resources.as_ref());
    let limit = |resources: &ResourceRequirements| Some(resources.limits.as_ref()?.get("memory")?.0.clone());
    let own = container.resources.as_ref().and_then(limit).or_else(|| asked.and_then(limit));
    let of_pod = || spec.resources.as_ref().and_then(limit).map(MemoryLimit::OfPod);
    own.map(MemoryLimit::OfContainer).or_else(of_pod)
}

pub(super) fn ends_beside(container: &ContainerStatus, spec: Option<&PodSpec>, is_sidecar: bool) -> Vec<EndBeside> {
    let ends = [&container.last_state, &container.state].map(|state| state.as_ref()?.terminated.as_ref());
    let read = |ended: &ContainerStateTerminated| EndBeside {
        container: container.name.clone(),
        is_sidecar,
        exit_code: Some(ended.exit_code).filter(|_| !is_made_up(ended)),
        at: stamp(ended.finished_at.as_ref()),
        out_of_memory: was_killed_for_memory(ended).then(|| killed_at_its_limit(container, spec)),
    };
    ends.into_iter().flatten().map(read).collect()
}

/// So many seconds after its start, at the earliest, a kubelet ends this container for a probe that failed, or for its
/// hook; `None` where it has neither.
pub(super) fn may_be_killed_after(container: &Container) -> Option<i64> {
    let has_hook = container.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.post_start.is_some());
    let probes = [&container.liveness_probe, &container.startup_probe];
    let fails_after = |probe: &Probe| {
        let pauses = i64::from(probe.failure_threshold.unwrap_or(PROBE_FAILURES)) - 1;
        let pause = i64::from(probe.period_seconds.unwrap_or(PROBE_PERIOD));
        i64::from(probe.initial_delay_seconds.unwrap_or_default()) + pauses * pause
    };
    probes.into_iter().flatten().map(fails_after).chain(has_hook.then_some(0)).min()
}

/// The container that the work's start waits for: the first init container that has not done its part, else the work itself.
/// A sidecar has done it when it is up.
pub(super) fn awaited(spec: &PodSpec, statuses: &[ContainerStatus], work: Option<&str>) -> Option<Awaited> {
    for container in spec.init_containers.iter().flatten() {
        let seen = statuses.iter().find(|status| status.name == container.name);
        if let Some(is) = awaiting(container, seen) {
            return Some(Awaited { container: container.name.clone(), is });
        }
    }
    Some(Awaited { container: work?.into(), is: Awaiting::Made })
}

/// `None` for an init container that has done its part.
fn awaiting(container: &Container, seen: Option<&ContainerStatus>) -> Option<Awaiting> {
    let Some(seen) = seen else { return Some(Awaiting::Made) };
    let (state, last) = (seen.state.as_ref(), seen.last_state.as_ref());
    let [ended, ended_before] = [state, last].map(|state| state.and_then(|state| state.terminated.as_ref()));
    let runs = state.is_some_and(|state| state.running.is_some());
    if !is_sidecar(container) {
        return match ended {
            Some(ended) => (ended.exit_code != 0).then_some(Awaiting::Made),
            None => Some(if runs { Awaiting::Done } else { Awaiting::Made }),
        };
    }
    if runs {
        return (seen.started != Some(true)).then_some(Awaiting::Up);
    }
    match ended.or(ended_before) {
        Some(ended) => Some(Awaiting::Lasting { exit_code: ended.exit_code }),
        None => Some(Awaiting::Made),
    }
}

/// Why a container waits, where that is more than the usual moment of being made.
pub(super) fn waiting(container: &ContainerStatus) -> Option<Why> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let word = waiting.reason.as_deref()?;
    let reason = match word {
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
    let cause = match reason {
        Reason::ImageUnavailable => runtime_words::image_cause(said, &container.image),
        _ => runtime_words::cause(said),
    };
    Some(Why { reason, message: format!("container {}: {word}: {cause}", container.name) })
}
