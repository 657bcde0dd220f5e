use std::collections::HashSet;

use serde_json::json;

use super::*;
use crate::api::{Priority, Reason, State};

fn task(name: &str, version: u64, change: Value) -> Task {
    let mut manifest = json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task",
        "metadata": {"name": name, "namespace": "docs", "uid": name, "resourceVersion": version.to_string(),
            "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"type": "work"}});
    if let Some(change) = change.as_object() {
        for (part, fields) in change {
            let Some(fields) = fields.as_object() else { continue };
            let target = manifest.as_object_mut().expect("an object").entry(part).or_insert(json!({}));
            target.as_object_mut().expect("an object").extend(fields.clone());
        }
    }
    serde_json::from_value(manifest).expect("a task")
}

fn position(index: &Index, uid: &str) -> Option<usize> {
    position_at(index, uid, Timestamp::now())
}

fn position_at(index: &Index, uid: &str, now: Timestamp) -> Option<usize> {
    index.waits_for_at(&*index.get(uid)?, now)?.place
}

fn kind(priority: &str) -> TaskType {
    serde_json::from_value(json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "TaskType",
        "metadata": {"name": "work", "namespace": "docs"},
        "spec": {"template": {"spec": {"containers": [{"name": "work", "image": "busybox"}]}},
            "defaults": {"priority": priority}}}))
    .expect("a type")
}

fn key(name: &str) -> Key {
    ("docs".into(), name.into())
}

/// An index with the type "work" and a queue "other".
fn index() -> Index {
    let index = Index::default();
    index.type_changed(key("work"), Some(&kind("normal")));
    let queue = json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "TaskQueue",
        "metadata": {"name": "other", "namespace": "docs"}, "spec": {"capacity": {"tasks": 1}}});
    index.queue_changed(&key("other"), Some(&serde_json::from_value(queue).expect("a queue")));
    index
}

#[test]
fn places_in_line_follow_priority_then_arrival() {
    let index = index();
    index.task_seen(&task("second", 2, json!({})));
    index.task_seen(&task("first", 1, json!({})));
    index.task_seen(&task("urgent", 3, json!({"spec": {"priority": "high"}})));
    index.task_seen(&task("elsewhere", 4, json!({"spec": {"queue": "other"}})));
    let places = ["urgent", "first", "second", "elsewhere"].map(|uid| position(&index, uid));
    assert_eq!(places, [Some(1), Some(2), Some(3), Some(1)]);
}

#[test]
fn who_gave_its_slot_back_stands_at_the_end_of_its_line() {
    let index = index();
    let gave_back = json!({"status": {"arrival": "1", "line": "4", "reason": "Unschedulable"}});
    index.task_seen(&task("gave-back", 5, gave_back));
    index.task_seen(&task("first", 2, json!({})));
    index.task_seen(&task("last", 4, json!({})));
    index.task_seen(&task("later", 6, json!({})));
    let places = ["first", "last", "gave-back", "later"].map(|uid| position(&index, uid));
    assert_eq!(places, [Some(1), Some(2), Some(3), Some(4)]);
    index.type_changed(("docs".into(), "work".into()), Some(&kind("low")));
    let places = ["first", "last", "gave-back", "later"].map(|uid| position(&index, uid));
    assert_eq!(places, [Some(1), Some(2), Some(3), Some(4)], "also when its type changes the priority of all");
}

#[test]
fn who_is_held_runs_or_is_done_has_no_place() {
    let index = index();
    for (name, change) in [
        ("suspended", json!({"spec": {"suspend": true}})),
        ("cancelled", json!({"spec": {"cancel": true}})),
        ("runs", json!({"status": {"state": "Processing"}})),
        ("done", json!({"status": {"state": "Completed"}})),
        ("deleted", json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})),
        ("superseded", json!({"spec": {"runId": "2"}, "status": {"runId": "1"}})),
        ("no type", json!({"status": {"reason": "TypeMissing"}})),
        ("no such type", json!({"status": {"reason": "TypeNotReady"}})),
        ("no queue", json!({"status": {"reason": "QueueMissing"}})),
        ("too large", json!({"status": {"reason": "TooLargeForQueue"}})),
        ("asks", json!({"status": {"reason": "WaitingForArchive"}})),
        ("not yet due", json!({"spec": {"startAfter": "9999-01-01T00:00:00Z"}})),
        ("pauses", json!({"status": {"reason": "WaitingForRetry", "nextAttemptAt": "9999-01-01T00:00:00.000000Z"}})),
    ] {
        index.task_seen(&task(name, 1, change));
        assert_eq!(position(&index, name), None, "{name}");
    }
    index.task_seen(&task("waits", 9, json!({})));
    assert_eq!(position(&index, "waits"), Some(1));
}

#[test]
fn who_waits_for_a_time_has_a_place_from_then_on_and_holds_back_nobody_before() {
    let at = |text: &str| text.parse::<Timestamp>().expect("a time");
    let index = index();
    index.task_seen(&task("due", 1, json!({"spec": {"startAfter": "2026-01-01T00:00:10Z"}})));
    let pause = json!({"reason": "WaitingForRetry", "nextAttemptAt": "2026-01-01T00:00:20.000000Z"});
    index.task_seen(&task("again", 2, json!({"status": pause})));
    index.task_seen(&task("waits", 3, json!({})));
    let places = |time: &str| {
        let place = |uid: &&str| position_at(&index, uid, at(time));
        ["due", "again", "waits"].iter().map(place).collect::<Vec<_>>()
    };
    assert_eq!(places("2026-01-01T00:00:09Z"), [None, None, Some(1)]);
    assert_eq!(places("2026-01-01T00:00:10Z"), [Some(1), None, Some(2)]);
    // Its pause was over when it is seen again, with something else written to it.
    index.task_seen(&task("again", 4, json!({"spec": {"kbId": "k"}, "status": pause})));
    assert_eq!(places("2026-01-01T00:00:20Z"), [Some(1), Some(2), Some(3)]);
    index.task_seen(&task("due", 5, json!({"status": {"state": "Processing"}})));
    index.task_gone(&task("again", 6, json!({})).metadata);
    assert_eq!(places("2026-01-01T00:00:30Z"), [None, None, Some(1)]);
}

#[test]
fn a_task_that_waits_behind_a_full_queue_is_told_so_and_who_is_first() {
    let index = index();
    let other = |name: &str, version| task(name, version, json!({"spec": {"queue": "other"}}));
    let admitted = json!({"queue": "other", "type": "work"});
    let runs = json!({"spec": {"queue": "other"}, "status": {"state": "Processing", "admitted": admitted}});
    index.task_seen(&task("runs", 1, runs));
    index.task_seen(&other("a", 2));
    index.task_seen(&other("b", 3));
    let told = |uid: &str| index.waits_for(&*index.get(uid)?).map(|told| (told.reason, told.message));
    assert_eq!(told("a"), Some((Reason::QueueFull, "tasks: 1 of 1 used; first of 2 in line".into())));
    let behind = "tasks: 1 of 1 used; a is first in line; place 2 of 2";
    assert_eq!(told("b"), Some((Reason::QueueFull, behind.into())));
    assert_eq!(told("runs"), None);
    index.queues_listed("docs", &HashSet::new());
    assert_eq!(told("a").map(|told| told.0), Some(Reason::QueueMissing));
}

#[test]
fn a_task_keeps_its_place_when_it_is_written_to_and_loses_it_when_it_starts() {
    let index = index();
    index.task_seen(&task("a", 1, json!({})));
    index.task_seen(&task("b", 2, json!({})));
    index.task_seen(&task("a", 3, json!({"spec": {"kbId": "k"}})));
    assert_eq!(position(&index, "a"), Some(1));
    index.task_seen(&task("a", 4, json!({"status": {"state": "Processing"}})));
    assert_eq!(position(&index, "b"), Some(1));
}

#[test]
fn what_is_older_than_what_is_known_changes_nothing() {
    let index = Index::default();
    index.task_seen(&task("a", 5, json!({"status": {"state": "Completed"}})));
    index.task_seen(&task("a", 4, json!({})));
    assert_eq!(index.get("a").map(|entry| entry.state), Some(State::Completed));
    // A whole list goes before: the cluster may have been restored.
    index.task_listed(&task("a", 4, json!({})));
    assert_eq!(index.get("a").map(|entry| entry.state), Some(State::Queued));
}

#[test]
fn a_deleted_task_does_not_come_back_with_a_late_answer() {
    let index = Index::default();
    index.task_seen(&task("a", 1, json!({})));
    index.task_gone(&task("a", 2, json!({})).metadata);
    index.task_seen(&task("a", 1, json!({})));
    assert!(index.get("a").is_none() && index.is_gone("a") && index.named("docs", "a").is_none());
}

#[test]
fn what_a_whole_list_does_not_show_is_no_more() {
    let index = index();
    index.task_seen(&task("a", 1, json!({})));
    index.task_seen(&task("b", 2, json!({})));
    index.tasks_listed("other", &HashSet::new());
    index.tasks_listed("docs", &HashSet::from(["b".into()]));
    assert!(index.get("a").is_none() && index.get("b").is_some());
    assert_eq!(position(&index, "b"), Some(1));
}

#[test]
fn the_place_follows_the_types_default_priority_as_admission_does() {
    let index = index();
    index.task_seen(&task("first", 1, json!({"spec": {"priority": "normal"}})));
    index.task_seen(&task("unsaid", 2, json!({})));
    assert_eq!(position(&index, "unsaid"), Some(2));
    index.type_changed(key("work"), Some(&kind("critical")));
    assert_eq!(position(&index, "unsaid"), Some(1));
    assert_eq!(index.get("unsaid").map(|entry| entry.head.priority), Some(Priority::Critical));
    index.type_changed(key("work"), None);
    assert_eq!(position(&index, "unsaid"), None, "without a type it waits for that");
}

#[test]
fn pages_are_cut_along_creation_newest_first() {
    let index = Index::default();
    for (name, second) in [("a", 1), ("b", 3), ("c", 2), ("d", 3)] {
        let created = format!("2026-01-01T00:00:0{second}Z");
        index.task_seen(&task(name, second, json!({"metadata": {"creationTimestamp": created}})));
    }
    let names = |page: Vec<Arc<IndexedTask>>| page.iter().map(|entry| entry.head.name.to_string()).collect::<Vec<_>>();
    let first = index.page(None, 2, |_| true);
    assert_eq!(names(first.clone()), ["d", "b"]);
    let after = first.last().map(|last| (last.created_at, last.uid.clone()));
    assert_eq!(names(index.page(after, 9, |_| true)), ["c", "a"]);
    assert_eq!(names(index.page(None, 9, |entry| &*entry.head.name == "a")), ["a"]);
}

#[tokio::test]
async fn a_subscriber_hears_of_a_task_that_was_not_known_and_leaves_nothing_behind() {
    let index = Arc::new(Index::default());
    let mut changes = index.subscribe("a");
    index.task_seen(&task("b", 1, json!({})));
    index.task_seen(&task("a", 2, json!({})));
    changes.changed().await;
    drop(changes);
    assert!(index.lock().readers.is_empty());
}

#[test]
fn a_task_that_was_sought_in_vain_is_known_once_the_watch_shows_it() {
    let index = Index::default();
    index.sought_in_vain("late");
    assert!(index.is_not_awaited("late") && !index.is_gone("late"));
    index.task_shown(&task("late", 1, json!({})));
    assert!(index.get("late").is_some() && !index.is_not_awaited("late"));
    index.task_shown(&task("late", 2, json!({"status": {"state": "Processing"}})));
    assert_eq!(index.get("late").map(|entry| entry.state), Some(State::Processing));
}

#[test]
fn what_the_watch_shows_is_there_even_if_it_was_taken_to_be_gone() {
    let index = Index::default();
    index.task_shown(&task("a", 1, json!({})));
    index.tasks_listed("docs", &HashSet::new());
    assert!(index.get("a").is_none() && index.is_gone("a"));
    index.task_shown(&task("a", 2, json!({})));
    assert!(index.get("a").is_some() && !index.is_gone("a"));
}

#[test]
fn a_task_that_was_made_while_a_list_was_read_is_not_missed_on_it() {
    let index = Index::default();
    index.task_seen(&task("old", 1, json!({})));
    index.list_begins("docs");
    index.task_seen(&task("old", 2, json!({})));
    index.task_seen(&task("new", 3, json!({})));
    index.tasks_listed("docs", &HashSet::new());
    assert!(index.get("new").is_some() && index.get("old").is_none() && index.is_gone("old"));
    index.list_begins("docs");
    index.tasks_listed("docs", &HashSet::new());
    assert!(index.get("new").is_none() && index.is_gone("new"));
}

#[test]
fn a_watch_that_broke_is_behind_until_a_whole_list_was_read() {
    let index = Index::default();
    index.falls_behind("docs");
    assert!(index.is_behind());
    index.list_begins("docs");
    index.task_listed(&task("a", 1, json!({})));
    index.tasks_listed("other", &HashSet::new());
    assert!(index.is_behind());
    index.tasks_listed("docs", &HashSet::from(["a".into()]));
    assert!(!index.is_behind() && index.get("a").is_some());
}
