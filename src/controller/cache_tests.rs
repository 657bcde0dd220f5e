use super::*;
use kube::runtime::reflector;
use serde_json::{Value, json};

fn read<K: serde::de::DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).expect("an object")
}

fn task(name: &str, version: &str, status: Value) -> Task {
    let metadata = json!({"name": name, "namespace": "docs", "uid": name, "resourceVersion": version});
    read(json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task", "metadata": metadata,
        "spec": {"type": "work"}, "status": status}))
}

fn kind() -> TaskType {
    read(
        json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "TaskType", "metadata": {"name": "work", "namespace": "docs"},
        "spec": {"template": {"spec": {"containers": [{"name": "work", "image": "busybox"}]}}}}),
    )
}

fn held_by_a_pod() -> Pod {
    read(json!({
        "metadata": {"name": "p", "namespace": "docs", "uid": "p", "labels": {names::LABEL_TASK_UID: "runs"},
            "annotations": {names::ANNOTATION_HOLDS: r#"{"queue":"default","type":"work","priority":"normal","resources":{}}"#}},
        "status": {"phase": "Running"},
    }))
}

/// A cache in which the default queue of namespace docs has one slot.
fn cache() -> Cache {
    let (tasks, _) = reflector::store();
    let cache = Cache::new(tasks, Settings { default_queue_tasks: 1, ..Settings::default() });
    cache.type_changed(key_of(&kind()), Some(&kind()));
    cache
}

fn admitted(cache: &Cache) -> usize {
    cache.admit(Timestamp::UNIX_EPOCH).admitted.len()
}

#[test]
fn the_default_queue_is_there_though_a_slot_of_it_was_found_held_first() {
    let cache = cache();
    cache.pod_seen(&held_by_a_pod());
    let waits = task("waits", "7", json!({"state": "Queued"}));
    cache.task_seen(&waits);
    assert!(cache.gather(&waits).expect("it is known").queue.is_some());
    assert_eq!(admitted(&cache), 0, "the pod holds the only slot");
}

#[test]
fn a_slot_stays_assumed_while_its_write_is_in_flight_whatever_else_changes() {
    let cache = cache();
    cache.task_seen(&task("first", "7", json!({"state": "Queued"})));
    assert_eq!(admitted(&cache), 1);
    cache.task_seen(&task("first", "8", json!({"state": "Queued"})));
    cache.task_seen(&task("second", "9", json!({"state": "Queued"})));
    assert_eq!(admitted(&cache), 0);
    cache.admission_outdated(&task("first", "8", json!({"state": "Queued"})));
    assert_eq!(admitted(&cache), 0, "the conflict may be the echo of the write");
    cache.task_seen(&task("first", "10", json!({"state": "Cancelled"})));
    assert_eq!(admitted(&cache), 1, "now it is known that it holds nothing");
}

#[test]
fn an_answer_that_comes_late_does_not_undo_what_came_after_it() {
    let cache = cache();
    cache.task_seen(&task("first", "7", json!({"state": "Processing", "admitted": {"queue": "default"}})));
    cache.task_written(&task("first", "6", json!({"state": "Queued"})));
    assert_eq!(admitted(&cache), 0);
}

#[test]
fn what_the_watch_has_shown_of_a_pod_is_not_undone_by_an_answer_that_comes_late() {
    let cache = cache();
    let runs = task("runs", "7", json!({"state": "Processing", "admitted": {"queue": "default"}}));
    cache.task_seen(&runs);
    let mut pod = held_by_a_pod();
    pod.metadata.owner_references =
        read(json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "j", "controller": true}]));
    cache.pod_found(&pod);
    let pods = || cache.gather(&runs).expect("it is known").observed.pods;
    assert!(!pods()[0].is_gone());
    cache.pod_gone(&pod);
    cache.pod_found(&pod);
    assert!(pods()[0].is_gone());
}
