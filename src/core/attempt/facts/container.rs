//! Reads one container's status.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus};

use super::Why;
use super::pod::Work;
use crate::Reason;

pub(super) fn work_state(container: &ContainerStatus) -> Work {
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

/// These are the reasons that containerd and CRI-O give, and the runtime of old Docker.
fn is_not_startable(ended: &ContainerStateTerminated) -> bool {
    matches!(ended.reason.as_deref(), Some("StartError" | "ContainerCannotRun"))
}

pub(super) fn not_startable(container: &ContainerStatus) -> Option<String> {
    let ended = container.state.as_ref()?.terminated.as_ref().filter(|ended| is_not_startable(ended))?;
    let said = ended.message.as_deref().unwrap_or_default();
    Some(format!("container {}: {}: {said}", container.name, ended.reason.as_deref().unwrap_or_default()))
}

/// With a limit that is much too low the runtime itself is killed while it starts the container, and says so.
pub(super) fn was_oom_killed(container: &ContainerStatus) -> bool {
    let Some(ended) = container.state.as_ref().and_then(|state| state.terminated.as_ref()) else { return false };
    let at_start = is_not_startable(ended) && ended.message.as_ref().is_some_and(|said| said.contains("OOM-killed"));
    at_start || ended.reason.as_deref() == Some("OOMKilled")
}

/// Why a container waits, where that is more than the usual moment of being made.
pub(super) fn waiting(container: &ContainerStatus) -> Option<Why> {
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

/// The name and exit code of a container that ran and failed.
pub(super) fn failed(container: &ContainerStatus) -> Option<(String, i32)> {
    let ended = container.state.as_ref()?.terminated.as_ref()?;
    (ended.exit_code != 0 && !is_made_up(ended)).then(|| (container.name.clone(), ended.exit_code))
}
