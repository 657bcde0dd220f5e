//! Pods and Jobs as the Job controller and a kubelet write them.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use super::Outcome;

/// The annotation by which the fake components note the task of a Job's pod.
const TASK_NAME: &str = "fake-node/task";
const NODE: &str = "fake-node";

pub fn now() -> String {
    let second = Timestamp::now().as_second();
    Timestamp::from_second(second).map(|time| time.to_string()).unwrap_or_default()
}

/// The pod of a Job.
pub fn of_job(job: &Job, scheduled: bool) -> Pod {
    let template = job.spec.clone().map(|spec| spec.template).unwrap_or_default();
    let mut pod = Pod { metadata: template.metadata.unwrap_or_default(), spec: template.spec, status: None };
    let name = job.name_any();
    let uid = job.uid().unwrap_or_default();
    pod.metadata.name = Some(format!("{name}-{}", &uid[..5.min(uid.len())]));
    pod.metadata.namespace = job.namespace();
    pod.metadata.owner_references = Some(job.controller_owner_ref(&()).into_iter().collect());
    let labels = pod.labels_mut();
    labels.insert("batch.kubernetes.io/job-name".into(), name.clone());
    labels.insert("job-name".into(), name);
    labels.insert("batch.kubernetes.io/controller-uid".into(), uid);
    if let Some(task) = job.owner_references().first() {
        pod.annotations_mut().insert(TASK_NAME.into(), task.name.clone());
    }
    if let Some(spec) = pod.spec.as_mut().filter(|_| scheduled) {
        spec.node_name = Some(NODE.into());
    }
    pod
}

fn owner<'a>(pod: &'a Pod, kind: &str) -> Option<&'a OwnerReference> {
    pod.owner_references().first().filter(|owner| owner.kind == kind)
}

/// A task owns it, with no Job between.
pub fn is_bare(pod: &Pod) -> bool {
    owner(pod, "Task").is_some()
}

/// The Job that owns it; `None` for a bare pod.
pub fn job_of(pod: &Pod) -> Option<&OwnerReference> {
    owner(pod, "Job")
}

/// The name of the task of a pod.
pub fn task_of(pod: &Pod) -> String {
    let of_bare = owner(pod, "Task").map(|task| task.name.clone());
    of_bare.or_else(|| pod.annotations().get(TASK_NAME).cloned()).unwrap_or_default()
}

/// The scheduler's word on a pod that has no node yet.
pub fn binding(pod: &Pod) -> Value {
    json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod.name_any(), "uid": pod.uid()},
        "target": {"apiVersion": "v1", "kind": "Node", "name": NODE}})
}

fn containers(pod: &Pod, state: &Value) -> Value {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers
        .map(|container| {
            json!({"name": container.name, "image": container.image, "imageID": "", "restartCount": 0,
                "ready": state.get("running").is_some(), "state": state})
        })
        .collect()
}

pub fn running(pod: &Pod) -> Value {
    json!({"phase": "Running", "startTime": now(),
        "containerStatuses": containers(pod, &json!({"running": {"startedAt": now()}}))})
}

pub fn waiting(pod: &Pod, reason: &str) -> Value {
    json!({"phase": "Pending", "startTime": now(),
        "containerStatuses": containers(pod, &json!({"waiting": {"reason": reason, "message": "told by the kubelet"}}))})
}

pub fn unschedulable() -> Value {
    json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient cpu."}]})
}

/// The final status of a pod with this end.
pub fn ended(pod: &Pod, outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Succeed(left) => exited(pod, 0, "Completed", left.as_deref()),
        Outcome::Exit(code, left) => exited(pod, *code, "Error", left.as_deref()),
        Outcome::OutOfMemory => exited(pod, 137, "OOMKilled", None),
        Outcome::DeadlineExceeded => {
            let began = ago(pod.spec.as_ref().and_then(|spec| spec.active_deadline_seconds).unwrap_or_default());
            let ended = json!({"exitCode": 137, "reason": "Error", "startedAt": began, "finishedAt": now()});
            let statuses = containers(pod, &json!({"terminated": ended}));
            with(json!({"phase": "Failed", "startTime": began, "containerStatuses": statuses}), overdue())
        }
        Outcome::Refused(word) => json!({"phase": "Failed", "reason": word, "startTime": now(),
            "message": format!("Pod was rejected: {word}, it said")}),
        Outcome::Evicted => with(
            exited(pod, 137, "Error", None),
            json!({"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting"}]}),
        ),
        Outcome::DiskPressure => with(
            exited(pod, 137, "Error", None),
            json!({"reason": "Evicted", "message": "Pod ephemeral local storage usage exceeds the total limit"}),
        ),
        other => panic!("{other:?} is no end of a pod"),
    }
}

fn ago(seconds: i64) -> String {
    let second = Timestamp::now().as_second() - seconds;
    Timestamp::from_second(second).map(|time| time.to_string()).unwrap_or_default()
}

fn overdue() -> Value {
    json!({"reason": "DeadlineExceeded", "message": "Pod was active on the node longer than the specified deadline"})
}

/// When a pod's deadline is over, and its seconds.
pub fn deadline(pod: &Pod) -> Option<(Timestamp, i64)> {
    let started = pod.status.as_ref()?.start_time.as_ref()?.0;
    let seconds = pod.spec.as_ref()?.active_deadline_seconds?;
    Some((started + jiff::SignedDuration::from_secs(seconds), seconds))
}

pub fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The last status of a pod whose deadline is over: what had ended before keeps its own end.
pub fn ended_by_its_deadline(pod: &Pod) -> Value {
    let mut status = serde_json::to_value(&pod.status).unwrap_or_default();
    let statuses = status["containerStatuses"].as_array_mut();
    for container in statuses.into_iter().flatten().filter(|container| container["state"]["terminated"].is_null()) {
        let started = container["state"]["running"]["startedAt"].clone();
        let ended = json!({"exitCode": 143, "reason": "Error", "startedAt": started, "finishedAt": now()});
        container["state"] = json!({"terminated": ended, "running": null, "waiting": null});
    }
    with(json!({"phase": "Failed", "containerStatuses": status["containerStatuses"]}), overdue())
}

/// Its first container has ended, and the others run.
pub fn work_ended(pod: &Pod, code: i32) -> Value {
    let ended = json!({"terminated": {"exitCode": code, "reason": "Error", "startedAt": now(), "finishedAt": now()}});
    let mut statuses = containers(pod, &json!({"running": {"startedAt": now()}}));
    statuses[0]["state"] = ended;
    json!({"phase": "Running", "containerStatuses": statuses})
}

fn exited(pod: &Pod, code: i32, reason: &str, left: Option<&str>) -> Value {
    let mut ended = json!({"exitCode": code, "reason": reason, "startedAt": now(), "finishedAt": now()});
    if let Some(left) = left {
        ended["message"] = left.into();
    }
    let phase = if code == 0 { "Succeeded" } else { "Failed" };
    let started = pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0.to_string());
    json!({"phase": phase, "startTime": started.unwrap_or_else(now),
        "containerStatuses": containers(pod, &json!({"terminated": ended}))})
}

fn with(mut status: Value, more: Value) -> Value {
    let fields = status.as_object_mut().expect("a status is an object");
    fields.extend(more.as_object().cloned().unwrap_or_default());
    status
}

/// The Job controller's verdict.
pub fn job_status(succeeded: bool) -> Value {
    let condition = |type_: &str| json!({"type": type_, "status": "True", "lastProbeTime": now(), "lastTransitionTime": now(), "reason": "Ended"});
    if succeeded {
        json!({"startTime": now(), "completionTime": now(), "succeeded": 1,
            "conditions": [condition("SuccessCriteriaMet"), condition("Complete")]})
    } else {
        json!({"startTime": now(), "failed": 1, "conditions": [condition("FailureTarget"), condition("Failed")]})
    }
}
