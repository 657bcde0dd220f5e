//! A Job and a pod, as the Job controller and the kubelet write them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{JobFacts, PodFacts};

pub const JOB: &str = "report-7-0f3a";

pub fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// A pod as the Job controller made it and its kubelet runs it; `status` replaces fields of its status.
pub fn pod(status: Value) -> PodFacts {
    changed(|pod| {
        let fields = pod["status"].as_object_mut().expect("a status");
        fields.extend(status.as_object().expect("fields").clone());
    })
}

/// The same with any change.
pub fn changed(change: impl FnOnce(&mut Value)) -> PodFacts {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "report-7-0f3a-x7k2p",
            "generateName": "report-7-0f3a-",
            "namespace": "docs",
            "uid": "b5c8",
            "creationTimestamp": "2026-03-01T10:00:00Z",
            "finalizers": ["batch.kubernetes.io/job-tracking"],
            "labels": {
                "batch.kubernetes.io/controller-uid": "9f1e",
                "batch.kubernetes.io/job-name": "report-7-0f3a",
                "controller-uid": "9f1e",
                "job-name": "report-7-0f3a",
                "taskmanager.dev/attempt": "1",
                "taskmanager.dev/task-uid": "77aa",
            },
            "annotations": {
                "taskmanager.dev/holds": r#"{"queue":"default","type":"reports","kbId":"kb-1","priority":"high","resources":{"cpu":"500m"}}"#,
                "taskmanager.dev/payload": "{}",
                "taskmanager.dev/container": "work",
                "taskmanager.dev/timeout-seconds": "600",
            },
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "report-7-0f3a", "uid": "9f1e", "controller": true, "blockOwnerDeletion": true}],
        },
        "spec": {
            "activeDeadlineSeconds": 1200,
            "nodeName": "node-3",
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 30,
            "initContainers": [{"name": "fetch", "image": "busybox"}],
            "containers": [{"name": "work", "image": "busybox"}, {"name": "beside", "image": "busybox"}],
        },
        "status": {
            "phase": "Running",
            "startTime": "2026-03-01T10:00:02Z",
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-03-01T10:00:01Z"},
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-03-01T10:00:04Z"},
            ],
            "initContainerStatuses": [status_of("fetch", terminated(0, "Completed"))],
            // The kubelet sorts by name, so the work need not come first.
            "containerStatuses": [status_of("beside", running()), status_of("work", running())],
        },
    });
    change(&mut pod);
    PodFacts::of(&serde_json::from_value(pod).expect("a pod"))
}

pub fn status_of(container: &str, state: Value) -> Value {
    json!({"name": container, "image": "busybox", "imageID": "", "ready": false, "restartCount": 0, "state": state, "lastState": {}})
}

pub fn running() -> Value {
    json!({"running": {"startedAt": "2026-03-01T10:00:03Z"}})
}

pub fn terminated(exit_code: i32, reason: &str) -> Value {
    json!({"terminated": {"exitCode": exit_code, "reason": reason, "containerID": "containerd://1",
        "startedAt": "2026-03-01T10:00:03Z", "finishedAt": "2026-03-01T10:05:00Z"}})
}

pub fn waiting_for(reason: &str, message: &str) -> Value {
    json!({"waiting": {"reason": reason, "message": message}})
}

pub fn job(status: Value) -> JobFacts {
    let job = json!({
        "metadata": {"name": "report-7-0f3a", "namespace": "docs", "uid": "9f1e", "creationTimestamp": "2026-03-01T10:00:00Z",
            "annotations": {"taskmanager.dev/holds": r#"{"queue":"q","type":"reports","kbId":null,"priority":"low","resources":{}}"#}},
        "status": status,
    });
    JobFacts::of(&serde_json::from_value(job).expect("a Job"))
}
