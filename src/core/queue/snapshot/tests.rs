//! Objects as watches show them, and how their waits are told.

use serde_json::{Value, json};

use super::*;
use crate::queue::tests::at;

fn object<K: serde::de::DeserializeOwned>(kind: &str, name: &str, parts: Value) -> K {
    let mut whole = json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "docs", "uid": name}});
    let parts = parts.as_object().expect("an object").clone();
    whole.as_object_mut().expect("an object").extend(parts);
    serde_json::from_value(whole).expect("it can be read")
}

fn key(name: &str) -> Key {
    ("docs".into(), name.into())
}

fn kind(spec: Value) -> TaskType {
    let mut whole = json!({"template": {"spec": {"containers": [{"name": "work", "image": "busybox"}]}}});
    whole.as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
    object("TaskType", "work", json!({"spec": whole}))
}

fn task(name: &str, spec: Value, status: Value) -> Task {
    let mut whole = json!({"type": "work", "queue": "q"});
    whole.as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
    object("Task", name, json!({"spec": whole, "status": status}))
}

fn runs(name: &str) -> Task {
    let admitted = json!({"queue": "q", "type": "work", "resources": {"memory": "100Mi"}});
    task(name, json!({}), json!({"state": "Processing", "reason": "Running", "admitted": admitted}))
}

/// A queue with 128Mi, of which 100Mi are used, and two tasks that ask for 128Mi by default.
fn full() -> Snapshot {
    let mut snapshot = Snapshot::new(Settings::default());
    let queue = object("TaskQueue", "q", json!({"spec": {"capacity": {"resources": {"memory": "128Mi"}}}}));
    snapshot.set_task(&task("a", json!({}), json!({})), 5);
    snapshot.set_task(&task("b", json!({}), json!({})), 6);
    snapshot.set_task(&runs("runs"), 1);
    snapshot.set_type(&key("work"), Some(&kind(json!({}))));
    snapshot.set_queue(&key("q"), Some(&queue));
    snapshot
}

fn told(snapshot: &mut Snapshot, task: &Task) -> Option<(Reason, String, Option<usize>)> {
    let explanation = snapshot.explain(task.metadata.uid.as_deref()?, at(0))?;
    let first = explanation.turn.as_ref().map(|turn| turn.first.to_string());
    let status = task.status_or_default();
    let told = explanation.told(status.reason, status.message.as_deref(), first.as_deref())?;
    Some((told.reason, told.message, told.place))
}

#[test]
fn tasks_that_were_shown_before_their_type_and_queue_are_explained_once_all_are_there() {
    let mut snapshot = full();
    let behind = "memory: 100Mi of 128Mi used, and a, which is first in line, asks for 128Mi; place 2 of 2";
    let b = task("b", json!({}), json!({}));
    assert_eq!(told(&mut snapshot, &b), Some((Reason::QueueFull, behind.into(), Some(2))));
    snapshot.set_type(&key("work"), None);
    assert_eq!(told(&mut snapshot, &b), None, "its status says that its type is missing");
    snapshot.set_type(&key("work"), Some(&kind(json!({"maxConcurrent": 1}))));
    assert_eq!(told(&mut snapshot, &b), Some((Reason::TypeLimit, "type work: 1 of 1 tasks run".into(), None)));
    snapshot.queues_listed("docs", &HashSet::new());
    assert_eq!(told(&mut snapshot, &b).map(|told| told.0), Some(Reason::QueueMissing));
}

#[test]
fn a_priority_and_resources_follow_the_type_as_it_changes() {
    let mut snapshot = full();
    snapshot.set_task(&task("u", json!({"priority": "critical"}), json!({})), 9);
    let place = |snapshot: &mut Snapshot| snapshot.explain("u", at(0)).and_then(|why| why.turn).map(|turn| turn.place);
    assert_eq!(place(&mut snapshot), Some(1));
    snapshot.set_type(&key("work"), Some(&kind(json!({"maximum": {"priority": "normal"}}))));
    assert_eq!(place(&mut snapshot), None, "asked for more than its type allows: the leader fails it");
    let small = json!({"defaults": {"resources": {"requests": {"memory": "8Mi"}}}});
    snapshot.set_type(&key("work"), Some(&kind(small)));
    assert_eq!(place(&mut snapshot), Some(1));
    assert_eq!(snapshot.explain("u", at(0)).map(|why| why.reason()), Some(Reason::Queued), "there is room");
}

#[test]
fn what_a_status_knows_better_is_kept_and_what_happened_follows() {
    let mut snapshot = full();
    let failed = "attempt 1: ExitCode: the work ended with exit code 1";
    let waits = |reason: &str, message: &str| task("a", json!({}), json!({"reason": reason, "message": message}));
    let now = "memory: 100Mi of 128Mi used, it asks for 128Mi; first of 2 in line";
    for (reason, message) in [
        ("WaitingForRetry", failed.to_owned()),
        ("Queued", format!("before: {failed}")),
        ("QueueFull", format!("memory: 1Mi of 128Mi used; before: {failed}")),
    ] {
        let told = told(&mut snapshot, &waits(reason, &message)).expect("it waits");
        assert_eq!((told.0, told.1), (Reason::QueueFull, format!("{now}; before: {failed}")), "{reason}");
    }
    snapshot.forget_task("runs");
    let orphan = told(&mut snapshot, &waits("QueueFull", "memory: 100Mi of 128Mi used")).expect("it waits");
    assert_eq!((orphan.0, orphan.2), (Reason::QueueFull, Some(1)), "the leader sees a pod that is not seen here");
}

#[test]
fn whoever_does_not_wait_for_a_turn_has_no_place() {
    let mut snapshot = full();
    for (name, spec, status) in [
        ("suspended", json!({"suspend": true}), json!({})),
        ("cancelled", json!({"cancel": true}), json!({})),
        ("done", json!({}), json!({"state": "Completed"})),
        ("superseded", json!({"runId": "2"}), json!({"runId": "1"})),
        ("no type", json!({}), json!({"reason": "TypeMissing"})),
        ("no such type", json!({}), json!({"reason": "TypeNotReady"})),
        ("no queue", json!({}), json!({"reason": "QueueMissing"})),
        ("too large", json!({}), json!({"reason": "TooLargeForQueue"})),
        ("asks", json!({}), json!({"reason": "WaitingForArchive"})),
        ("not yet due", json!({"startAfter": "9999-01-01T00:00:00Z"}), json!({})),
        ("pauses", json!({}), json!({"reason": "WaitingForRetry", "nextAttemptAt": "9999-01-01T00:00:00.000000Z"})),
    ] {
        let task = task(name, spec, status);
        snapshot.set_task(&task, 1);
        assert_eq!(told(&mut snapshot, &task), None, "{name}");
    }
}

#[test]
fn nothing_is_remembered_of_what_is_gone() {
    let mut snapshot = full();
    ["a", "b", "runs"].into_iter().for_each(|uid| snapshot.forget_task(uid));
    snapshot.set_type(&key("work"), None);
    snapshot.set_queue(&key("q"), None);
    assert_eq!(snapshot.remembered(), 0);
}

#[test]
fn the_operators_limit_counts_holders_of_all_namespaces() {
    let mut snapshot = Snapshot::new(Settings { max_running_tasks: Some(1), ..Settings::default() });
    snapshot.set_type(&key("work"), Some(&kind(json!({}))));
    snapshot.set_queue(&key("q"), Some(&object("TaskQueue", "q", json!({"spec": {}}))));
    let mut elsewhere = runs("elsewhere");
    elsewhere.metadata.namespace = Some("other".into());
    snapshot.set_holder(&elsewhere);
    let waits = task("a", json!({}), json!({}));
    snapshot.set_task(&waits, 2);
    assert_eq!(told(&mut snapshot, &waits).map(|told| told.0), Some(Reason::OperatorLimit));
    elsewhere.status = None;
    snapshot.set_holder(&elsewhere);
    assert_eq!(told(&mut snapshot, &waits).map(|told| told.0), Some(Reason::Queued));
}
