use serde_json::json;

use super::*;
use crate::api::{Reason, State, TaskQueue, TaskType};
use crate::core::Settings;

fn shown(name: &str, spec: serde_json::Value) -> Seen<Task> {
    let manifest = json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task",
        "metadata": {"name": name, "namespace": "docs", "uid": name, "resourceVersion": "1"}, "spec": spec});
    Seen::Whole(Arc::new(serde_json::from_value(manifest).expect("it can be read")))
}

/// The same, as nobody can read it.
fn unread(name: &str) -> Seen<Task> {
    Seen::InPart(Arc::new(shown(name, json!({"type": "work"})).meta().clone()))
}

fn take(intake: &mut Intake, events: impl IntoIterator<Item = Event<Seen<Task>>>) {
    for event in events {
        intake.tasks(&Scope::All, Shown::Event(event));
    }
}

fn knowing(names: &[&str]) -> Intake {
    let mut intake = Intake::new(&["docs".into()], Arc::new(Index::default()));
    take(&mut intake, names.iter().map(|name| Event::Apply(shown(name, json!({"type": "work"})))));
    intake
}

#[test]
fn what_cannot_be_read_stays_as_it_was_known() {
    let mut intake = knowing(&["a", "gone"]);
    take(&mut intake, [Event::Apply(unread("a"))]);
    take(&mut intake, [Event::Init, Event::InitApply(unread("a")), Event::InitDone]);
    assert_eq!(intake.index.get("a").map(|entry| entry.state), Some(State::Queued));
    assert!(intake.index.is_gone("gone"));
}

#[test]
fn what_cannot_be_read_is_gone_when_it_is_deleted() {
    let mut intake = knowing(&["a"]);
    take(&mut intake, [Event::Delete(unread("a"))]);
    assert!(intake.index.get("a").is_none() && intake.index.is_gone("a"));
}

#[test]
fn a_watch_that_goes_on_is_behind_until_it_has_caught_up() {
    let mut intake = knowing(&["a"]);
    intake.tasks(&Scope::All, Shown::Broke);
    assert!(intake.index.is_behind() && intake.resumed().is_empty());
    intake.caught_up();
    assert!(intake.index.is_behind(), "it does not go on yet");
    intake.tasks(&Scope::All, Shown::Resumed);
    assert_eq!(intake.resumed(), ["docs".into()]);
    intake.caught_up();
    assert!(!intake.index.is_behind());
}

#[test]
fn a_list_that_begins_after_a_watch_broke_has_to_be_whole() {
    let mut intake = knowing(&["a"]);
    intake.tasks(&Scope::All, Shown::Broke);
    take(&mut intake, [Event::Init]);
    intake.tasks(&Scope::All, Shown::Resumed);
    intake.caught_up();
    assert!(intake.resumed().is_empty() && intake.index.is_behind());
    take(&mut intake, [Event::InitDone]);
    assert!(!intake.index.is_behind() && intake.index.is_gone("a"));
}

#[test]
fn a_list_of_all_namespaces_speaks_for_each_that_is_served_and_a_list_of_one_for_that_one() {
    let mut intake = Intake::new(&["docs".into(), "maps".into()], Arc::new(Index::default()));
    let list = |intake: &mut Intake, source: &Scope| {
        for event in [Event::Init, Event::InitDone] {
            intake.tasks(source, Shown::Event(event));
        }
        for event in [Event::Init, Event::InitDone] {
            intake.named::<TaskType>(source, Shown::Event(event));
        }
        for event in [Event::Init, Event::InitDone] {
            intake.named::<TaskQueue>(source, Shown::Event(event));
        }
    };
    list(&mut intake, &Scope::of(Some("docs")));
    assert!(!intake.is_complete());
    list(&mut intake, &Scope::All);
    assert!(intake.is_complete());
}

#[test]
fn a_version_is_reached_when_it_was_shown_whether_it_can_be_read_or_is_gone_by_now() {
    let mut intake = knowing(&["a", "gone"]);
    take(&mut intake, [Event::Apply(unread("b")), Event::Delete(shown("gone", json!({"type": "work"})))]);
    let has_reached = |name: &str, version: &str| {
        let mut metadata = shown(name, json!({"type": "work"})).meta().clone();
        metadata.resource_version = Some(version.into());
        intake.index.has_reached(&metadata)
    };
    assert!(has_reached("a", "1") && has_reached("b", "1") && has_reached("gone", "2"));
    assert!(!has_reached("a", "2") && !has_reached("b", "2") && !has_reached("new", "1"));
}

#[test]
fn tasks_of_other_namespaces_are_known_to_hold_slots_and_nothing_else() {
    let settings = Settings { max_running_tasks: Some(1), ..Settings::default() };
    let mut intake = Intake::new(&["docs".into()], Arc::new(Index::new(Arc::default(), settings)));
    let work = json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "TaskType",
        "metadata": {"name": "work", "namespace": "docs"},
        "spec": {"template": {"spec": {"containers": [{"name": "work", "image": "busybox"}]}}}});
    let work: TaskType = serde_json::from_value(work).expect("a type");
    intake.named(&Scope::All, Shown::Event(Event::Apply(Seen::Whole(Arc::new(work)))));
    let elsewhere = |state: &str| {
        let status = json!({"state": state, "admitted": {"queue": "default", "type": "work"}});
        let manifest = json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task",
            "metadata": {"name": "theirs", "namespace": "other", "uid": "theirs", "resourceVersion": "1"},
            "spec": {"type": "work"}, "status": status});
        Seen::Whole(Arc::new(serde_json::from_value::<Task>(manifest).expect("a task")))
    };
    take(&mut intake, [Event::Apply(shown("a", json!({"type": "work"}))), Event::Apply(elsewhere("Processing"))]);
    let waits_for = |intake: &Intake| {
        let known = intake.index.get("a").expect("it is known");
        intake.index.waits_for(&known).map(|told| told.reason)
    };
    assert_eq!(waits_for(&intake), Some(Reason::OperatorLimit));
    assert!(intake.index.get("theirs").is_none() && !intake.index.is_gone("theirs"));
    take(&mut intake, [Event::Apply(elsewhere("Completed"))]);
    assert_eq!(waits_for(&intake), Some(Reason::Queued));
    take(&mut intake, [Event::Apply(elsewhere("Processing")), Event::Init]);
    take(&mut intake, [Event::InitApply(shown("a", json!({"type": "work"}))), Event::InitDone]);
    assert_eq!(waits_for(&intake), Some(Reason::Queued), "it is not on the list");
}
