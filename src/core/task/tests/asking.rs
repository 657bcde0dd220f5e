use serde_json::json;

use super::scene::*;
use crate::attempt::Child;
use crate::attempt::facts::{JobFacts, NodeState, PodEvent, PodFacts};
use crate::attempt::needs::{NODES, Needs};
use crate::task::*;

fn asks(input: &Input, second: i64) -> Needs {
    needs(input, at(second))
}

fn decides(input: &Input, second: i64) -> Action {
    decide(input, at(second)).action
}

#[test]
fn the_pods_of_a_job_that_is_over_are_asked_for_and_one_that_is_there_tells_how_it_ended() {
    let scene = launched(json!({})).job_is(finished(false, 20));
    let mut input = scene.input();
    let name = job_name(&scene.task);
    assert_eq!(asks(&input, 30), Needs::PodsOf(name));
    input.pods_are(vec![exits(7)(scene.pod("p1"))]);
    assert_eq!(asks(&input, 30), Needs::Nothing, "it is asked once");
    let Action::Write(status) = decides(&input, 30) else { panic!("it is judged") };
    assert_eq!(status.attempts[0].exit_code, Some(7));
}

#[test]
fn a_job_that_is_found_owns_the_pod_that_seemed_to_be_of_another_one() {
    let mut scene = launched(json!({})).job_is(|job| job.gone = true);
    let name = job_name(&scene.task);
    let relaunched = JobFacts { uid: "another".into(), created_at: at(5), ..scene.job(5) };
    let pod = PodFacts { owner: Some("another".into()), ..scene.pod("p1") };
    scene.observed = Observed::of(&scene.task, scene.observed.jobs.clone(), vec![pod]);
    assert!(scene.observed.pods.is_empty(), "its owner is not known");
    let mut input = scene.input();
    assert_eq!(asks(&input, 6), Needs::PodsOf(name.clone()));
    input.pods_are(vec![]);
    assert_eq!(asks(&input, 6), Needs::Launched { kind: Child::Job, name });
    input.job_is(Some(relaunched));
    assert_eq!(input.observed.pods.len(), 1);
    assert_eq!((asks(&input, 6), decides(&input, 6)), (Needs::Nothing, Action::Rest), "it runs");
}

#[test]
fn what_the_watch_has_shown_of_a_pod_is_kept_when_an_older_answer_arrives() {
    let scene = running(json!({})).pod_is(exits(0));
    let mut input = scene.input();
    input.pods_are(vec![scene.pod("p1")]);
    assert!(input.observed.pods.len() == 1 && input.observed.pods[0].has_ended());
}

#[test]
fn a_job_that_was_found_ends_the_doubt_whether_the_launch_was_answered() {
    let mut scene = with_slot(json!({}));
    let why = crate::attempt::facts::Why::new(Reason::LaunchFailed, "no answer");
    scene.observed.unanswered = Some(crate::attempt::facts::Unanswered { since: at(0), why });
    let mut input = scene.input();
    assert!(matches!(asks(&input, 61), Needs::Launched { .. }));
    input.job_is(Some(scene.job(1)));
    assert_eq!(input.observed.unanswered, None);
    let mut input = scene.input();
    input.job_is(None);
    assert!(matches!(decides(&input, 61), Action::Write(status) if status.state == State::Queued));
}

#[test]
fn the_last_warning_that_is_a_sentence_explains_what_is_stuck() {
    let scene = launched(json!({}));
    let pod = PodFacts { ..waits(Reason::Starting)(scene.pod("p1")) };
    let scene = scene.with(PodFacts { waiting: None, ..pod });
    let mut input = scene.input();
    assert_eq!(asks(&input, 10), Needs::EventsOf("uid of p1".into()));
    let warning = |reason: &str, message: &str, second| PodEvent {
        is_warning: true,
        reason: reason.into(),
        message: message.into(),
        last_seen: Some(at(second)),
        ..PodEvent::default()
    };
    let said = [
        warning("FailedMount", "an older one", 1),
        warning("Failed", "Failed to pull image \"none:1\": not found", 2),
        warning("Failed", "Error: ErrImagePull", 3),
        warning("FailedScheduling", "0/3 nodes are available", 4),
    ];
    input.events_are("uid of p1", &said, at(10));
    assert_eq!(asks(&input, 10), Needs::Nothing);
    let Action::Write(status) = decides(&input, 10) else { panic!("it is told") };
    assert_eq!(status.reason, Reason::ImageUnavailable);
    assert!(status.message.as_ref().is_some_and(|message| message.contains("none:1")), "{:?}", status.message);
    let mut unread = scene.input();
    unread.events_are("uid of p1", &[], at(10));
    assert_eq!((asks(&unread, 10), unread.observed.explained), (Needs::Nothing, None), "events cannot be read");
}

#[test]
fn a_pod_that_vanished_without_a_deletion_is_asked_for_before_it_counts_as_gone() {
    let vanished = || running(json!({})).pod_is(gone);
    let named = Needs::Pod { name: "p1".into(), uid: "uid of p1".into() };
    let mut input = vanished().input();
    assert_eq!(asks(&input, 20), named);
    input.pod_is(Some(vanished().pod("p1")));
    assert_ne!(asks(&input, 20), named, "it is asked once");
    assert!(!matches!(decides(&input, 20), Action::Write(status) if status.state != State::Processing), "it runs on");
    assert_eq!(decide(&input, at(20)).wake, Some(at(25)), "no watch tells of it");
    let mut input = vanished().input();
    input.pod_is(Some(exits(7)(vanished().pod("p1"))));
    let Action::Write(status) = decides(&input, 20) else { panic!("it is judged") };
    assert_eq!(status.attempts[0].exit_code, Some(7));
    let mut input = vanished().input();
    input.pod_is(None);
    assert!(asks(&input, 20) != named && input.observed.pods[0].is_gone());
    let deleted = running(json!({})).pod_is(terminating(3)).pod_is(gone).input();
    assert_ne!(asks(&deleted, 20), named, "somebody deleted it");
}

/// A cancelled task of which so many pods should long be gone, each on a node of its own.
fn on_nodes(count: usize) -> Input {
    let mut scene = running(json!({})).edit(|spec| spec.cancel = true).write(20).job_is(|job| job.gone = true);
    let on = |number: usize| PodFacts {
        uid: format!("uid of {number}"),
        node: Some(format!("node-{number}")),
        ..terminating(20)(scene.pod(&format!("p{number}")))
    };
    scene.observed.pods = (0..count).map(on).collect();
    scene.input()
}

fn is_cancelled(input: &Input, second: i64) -> bool {
    match decides(input, second) {
        Action::Write(status) => status.state == State::Cancelled,
        Action::Record(recording) => recording.then.state == State::Cancelled,
        _ => false,
    }
}

/// Asks for all nodes that are to be asked for, and answers.
fn ask_nodes(input: &mut Input, is: impl Fn(&str) -> NodeState) -> usize {
    (0..)
        .take_while(|_| match asks(input, 200) {
            Needs::Node(name) => {
                input.node_is(&name, is(&name));
                true
            }
            _ => false,
        })
        .count()
}

#[test]
fn each_node_of_a_pod_that_should_be_gone_is_asked_for_and_one_that_answers_is_enough_to_wait() {
    let mut silent = on_nodes(3);
    assert!(!is_cancelled(&silent, 200), "nothing follows before they were asked for");
    assert_eq!(ask_nodes(&mut silent, |_| NodeState::Silent), 3);
    assert!(is_cancelled(&silent, 200));
    let mut one_answers = on_nodes(3);
    let last = |name: &str| if name == "node-2" { NodeState::Answers } else { NodeState::Silent };
    assert_eq!(ask_nodes(&mut one_answers, last), 3);
    assert!(!is_cancelled(&one_answers, 200));
}

#[test]
fn no_more_nodes_are_asked_for_than_a_decision_may_and_the_task_is_not_stuck_for_it() {
    let mut input = on_nodes(NODES + 3);
    assert_eq!(ask_nodes(&mut input, |_| NodeState::Silent), NODES);
    assert!(is_cancelled(&input, 200));
}

/// A pod that its node has taken and that does not say what it waits for.
fn silent_pod() -> Scene {
    let mut scene = launched(json!({}));
    scene.kind = Some(kind(json!({"startDeadlineSeconds": 3600})));
    let pod = PodFacts { waiting: None, ..waits(Reason::Starting)(scene.pod("p1")) };
    scene.with(pod)
}

/// What is known in a later look at the same task: the events that were read stay known with the pod.
fn next_look(before: &Input, second: i64) -> Input {
    let mut scene = silent_pod();
    scene.observed.pods[0].events.clone_from(&before.observed.pods[0].events);
    let mut input = scene.input();
    input.recall_events(at(second));
    input
}

fn failed_mount() -> PodEvent {
    PodEvent {
        is_warning: true,
        reason: "FailedMount".into(),
        message: "MountVolume.SetUp failed for volume \"v\": timed out".into(),
        last_seen: Some(at(5)),
        ..PodEvent::default()
    }
}

#[test]
fn the_events_of_a_pod_that_stays_silent_are_read_less_and_less_often() {
    let (mut input, mut second, mut pauses) = (silent_pod().input(), 10, vec![]);
    for _ in 0..7 {
        assert_eq!(asks(&input, second), Needs::EventsOf("uid of p1".into()));
        input.events_are("uid of p1", &[failed_mount()], at(second));
        let due =
            input.observed.pods[0].events.as_ref().expect("they were read").due_at().as_second() - at(0).as_second();
        let between = next_look(&input, due - 1);
        assert_eq!(asks(&between, due - 1), Needs::Nothing, "not yet");
        assert!(between.observed.explained.is_some(), "what they said is known all the same");
        pauses.push(due - second);
        (input, second) = (next_look(&input, due), due);
    }
    assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300]);
    let other =
        PodEvent { message: "MountVolume.SetUp failed for volume \"v\": no such disk".into(), ..failed_mount() };
    input.events_are("uid of p1", &[other], at(second));
    let read = input.observed.pods[0].events.as_ref().expect("they were read");
    assert_eq!(read.due_at(), at(second + 10), "other words begin anew");
}

#[test]
fn the_events_of_a_pod_are_read_anew_when_it_changes_and_before_it_goes() {
    let mut input = silent_pod().input();
    input.events_are("uid of p1", &[failed_mount()], at(10));
    let read = input.observed.pods[0].clone();
    let again = PodFacts { events: None, ..read.clone() };
    assert_eq!(again.clone().after(&read).events, read.events, "it says what it said");
    let changed = PodFacts { started_at: Some(at(12)), ..again };
    assert_eq!(changed.after(&read).events, None);
    let mut ends = next_look(&input, 11);
    ends.task = std::sync::Arc::new(silent_pod().edit(|spec| spec.cancel = true).task);
    assert_eq!(asks(&ends, 11), Needs::EventsOf("uid of p1".into()), "they may tell that the work has begun");
}
