//! Pods of more than one container: how a template says them, and how each of them is found again by its name.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, Pod};
use kube::ResourceExt;
use serde_json::{Value, json};
use task_manager::api::TaskTypeSpec;

/// Goes on until it is killed.
pub const DEAF: &str = "trap '' TERM; while :; do sleep 1; done";
/// Doubles a string until it is killed.
pub const GLUTTON: &str = r#"exec awk 'BEGIN { x = "x"; while (1) x = x x }'"#;

/// A container that is not the work.
pub fn container(name: &str, script: &str) -> Value {
    json!({
        "name": name, "image": "localhost/busybox:1", "imagePullPolicy": "Never", "command": ["sh", "-c", script],
        "resources": {"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"memory": "16Mi"}},
    })
}

/// An init container that goes on beside the work: for the kubelet a native sidecar.
pub fn sidecar(name: &str, script: &str) -> Value {
    let mut sidecar = container(name, script);
    sidecar["restartPolicy"] = "Always".into();
    sidecar
}

/// Puts a container behind those that the template has.
pub fn beside(kind: &mut TaskTypeSpec, container: Value) {
    add(kind, "containers", container);
}

/// Puts an init container behind those that the template has.
pub fn before(kind: &mut TaskTypeSpec, container: Value) {
    add(kind, "initContainers", container);
}

fn add(kind: &mut TaskTypeSpec, list: &str, container: Value) {
    let spec = &mut kind.template["spec"];
    if spec[list].is_null() {
        spec[list] = json!([]);
    }
    spec[list].as_array_mut().expect("a list").push(container);
}

/// The container of the template that is the work.
pub fn work(kind: &mut TaskTypeSpec) -> &mut Value {
    &mut kind.template["spec"]["containers"][0]
}

/// The state of this container, init containers among them.
pub fn state_of<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerState> {
    let status = pod.status.as_ref()?;
    let mut all = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    all.find(|container| container.name == name)?.state.as_ref()
}

pub fn runs(pod: &Pod, name: &str) -> bool {
    state_of(pod, name).is_some_and(|state| state.running.is_some())
}

pub fn ended<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStateTerminated> {
    state_of(pod, name)?.terminated.as_ref()
}

pub fn end_of<'a>(pod: &'a Pod, name: &str) -> &'a ContainerStateTerminated {
    ended(pod, name).unwrap_or_else(|| panic!("{name} of pod {} has ended: {:?}", pod.name_any(), pod.status))
}

/// The seconds for which a container ran by the kubelet's stamps, which are whole seconds.
pub fn seconds_of(end: &ContainerStateTerminated) -> i64 {
    let [started, finished] =
        [&end.started_at, &end.finished_at].map(|stamp| second(stamp.as_ref().map(|time| time.0)));
    finished - started
}

pub fn second(stamp: Option<Timestamp>) -> i64 {
    stamp.expect("a time").as_second()
}
