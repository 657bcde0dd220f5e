//! Pods and Jobs as the Job controller and a kubelet write them.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use super::Outcome;

/// The label by which the fake components note the task of a pod.
pub const TASK_NAME: &str = "fake-node/task";
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
        Outcome::DeadlineExceeded => with(
            exited(pod, 137, "Error", None),
            json!({"reason": "DeadlineExceeded", "message": "Pod was active on the node longer than the specified deadline"}),
        ),
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
