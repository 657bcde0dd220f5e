//! Jobs and pods that somebody made in the name of a task's attempt: what they say is not believed.

use std::time::Duration;

use harness::*;
use kube::ResourceExt;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams};
use serde_json::{Value, json};
use task_manager::api::{Executor, Reason, State, Task, TaskStatus};
use task_manager::core::launch::names;

use crate::stage::status;

/// The result of forged pods.
const FORGED: &str = "forged";
/// A slot that was given back is given again after half a minute.
const PATIENCE: Duration = Duration::from_secs(120);

/// The name that the Job or bare pod of its first attempt will bear: whoever may read the task can tell.
fn first_job(task: &Task) -> String {
    let arrival = status(task).arrival.or_else(|| task.resource_version());
    names::job_of(task, &TaskStatus { attempt: 1, arrival, ..status(task) })
}

fn template() -> Value {
    json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "work", "image": "localhost/busybox:1"}]}})
}

fn owner(kind: &str, name: &str, uid: &str, controller: bool) -> Value {
    let version = if kind == "Job" { "batch/v1" } else { "taskmanager.dev/v1alpha1" };
    json!([{"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": controller}])
}

/// A Job or bare pod that says it is of the task's first attempt.
fn a_launch(task: &Task, labels: Value, controller: bool) -> Value {
    let uid = task.uid().expect("a uid");
    let (version, kind, spec) = match executor() {
        Executor::Job => ("batch/v1", "Job", json!({"template": template()})),
        Executor::Pod | Executor::Pool => ("v1", "Pod", template()["spec"].clone()),
    };
    json!({"apiVersion": version, "kind": kind, "spec": spec, "metadata":
        {"name": first_job(task), "labels": labels, "ownerReferences": owner("Task", &task.name_any(), &uid, controller)}})
}

/// The metadata of what bears that name.
async fn launched(ns: &Namespace, name: &str) -> kube::Result<ObjectMeta> {
    match executor() {
        Executor::Job => ns.jobs().get(name).await.map(|job| job.metadata),
        Executor::Pod | Executor::Pool => ns.pods().get(name).await.map(|pod| pod.metadata),
    }
}

async fn delete(ns: &Namespace, name: &str) {
    let how = DeleteParams::background();
    match executor() {
        Executor::Job => ns.jobs().delete(name, &how).await.map(drop).expect("deleted"),
        Executor::Pod | Executor::Pool => ns.pods().delete(name, &how).await.map(drop).expect("deleted"),
    }
}

fn labels(task: &Task) -> Value {
    json!({names::LABEL_TASK_UID: task.uid()})
}

/// A pod that says it is of that Job, and has ended well.
async fn a_pod_has_ended(ns: &Namespace, task: &Task) {
    let mut labels = labels(task);
    labels[names::LABEL_JOB_NAME] = first_job(task).into();
    let made_up = "5d0c5a54-0000-4000-8000-000000000000";
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": template()["spec"], "metadata":
        {"name": FORGED, "labels": labels, "ownerReferences": owner("Job", &first_job(task), made_up, true)}});
    ns.create_raw(pod).await.expect("accepted");
    let ended = json!({"terminated": {"exitCode": 0, "reason": "Completed", "message": FORGED}});
    let status = json!({"status": {"phase": "Succeeded", "containerStatuses": [
        {"name": "work", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": ended}]}});
    let patched = ns.pods().patch_status(FORGED, &PatchParams::default(), &Patch::Merge(status)).await;
    patched.expect("a status");
}

#[tokio::test]
async fn a_pod_that_somebody_made_before_its_tasks_admission_is_not_believed() {
    in_namespaces("forged-pod", async |ns| {
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        node.script("one", [Outcome::result("true")]);
        // Nobody looks after it yet.
        let waits = ns.create(&task("one")).await;
        a_pod_has_ended(&ns, &waits).await;
        let _operator = ns.operator(&[]).await;
        let done = ns.task_in("one", State::Completed).await;
        assert_eq!((status(&done).result, node.starts_of("one")), (Some(json!(true)), 1));
        assert_eq!(node.starts()[0].job, first_job(&waits), "it was made in the right name");
    })
    .await;
}

#[tokio::test]
async fn a_forged_job_or_pod_that_ended_before_its_tasks_admission_is_deleted_and_not_believed() {
    in_namespaces("forged-job", async |ns| {
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        node.script("one", [Outcome::result(FORGED), Outcome::result("true"), Outcome::result("true")]);
        // Nobody looks after it yet.
        let waits = ns.create(&task("one")).await;
        ns.create_raw(a_launch(&waits, labels(&waits), true)).await.expect("accepted");
        let forged = eventually("it has ended", SOON, async || {
            let pod = ns.pods_now().await.pop()?;
            (pod.status?.phase? == "Succeeded").then_some(())?;
            launched(&ns, &first_job(&waits)).await.ok()?.uid
        })
        .await;
        let _operator = ns.operator(&[]).await;
        let done = ns.task_in("one", State::Completed).await;
        let told = status(&done);
        assert_eq!((told.result, told.failures), (Some(json!(true)), 0));
        // Where the forged bare pod goes just when the task is admitted, that counts as a pod that somebody deleted.
        assert!(told.attempt == 1 || told.attempts[0].reason == Reason::PodDeleted, "{:?}", told.attempts);
        let own = launched(&ns, &first_job(&waits)).await.ok();
        assert_ne!(own.and_then(|own| own.uid), Some(forged));
    })
    .await;
}

#[tokio::test]
async fn what_takes_the_attempts_name_and_is_not_the_tasks_is_told_and_left_alone() {
    in_namespaces("taken-name", async |ns| {
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        for name in ["no-label", "no-controller"] {
            let waits = ns.create(&task(name)).await;
            let labels = if name == "no-label" { json!({}) } else { labels(&waits) };
            ns.create_raw(a_launch(&waits, labels, name == "no-label")).await.expect("accepted");
        }
        let _operator = ns.operator(&[]).await;
        for name in ["no-label", "no-controller"] {
            let is_refused =
                |_: &Task, status: &TaskStatus| status.state == State::Queued && status.reason == Reason::LaunchRefused;
            let refused = ns.task_when(name, "says so", is_refused).await;
            let told = status(&refused);
            assert!(told.message.is_some_and(|message| message.contains("belongs to somebody else")));
            assert_eq!((told.attempt, told.attempts.len()), (0, 0));
            let left = launched(&ns, &first_job(&refused)).await.expect("it is left alone");
            let is_labelled = left.labels.is_some_and(|labels| labels.contains_key(names::LABEL_TASK_UID));
            assert_eq!((left.deletion_timestamp, is_labelled), (None, name != "no-label"));
            delete(&ns, &first_job(&refused)).await;
        }
        for name in ["no-label", "no-controller"] {
            ns.task_within(PATIENCE, name, "is Completed", |_, status| status.state == State::Completed).await;
        }
        assert_eq!(node.starts_of("no-label"), 1);
    })
    .await;
}
