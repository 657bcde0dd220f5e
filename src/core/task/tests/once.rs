use serde_json::json;

use super::scene::*;
use crate::launch::names::ANNOTATION_BODY_DIGEST;
use crate::task::*;
use kube_core::ResourceExt;
use task_manager_api::ResultRef;

fn once(earlier: Earlier) -> Scene {
    let mut scene = queued(json!({"once": true}));
    scene.earlier = earlier;
    scene
}

/// An earlier task of the same name, which ended so.
fn found(ended: TaskStatus) -> Earlier {
    let task = queued(json!({})).task;
    Earlier::found(&task, Some(earlier(ended)))
}

fn earlier(ended: TaskStatus) -> Task {
    let mut earlier = queued(json!({})).task;
    (earlier.metadata.uid, earlier.status) = (Some("earlier".into()), Some(ended));
    earlier
}

fn made_by(mut task: Task, request: &str) -> Task {
    task.annotations_mut().insert(ANNOTATION_BODY_DIGEST.into(), request.into());
    task
}

fn completed() -> TaskStatus {
    running(json!({})).pod_is(exits_leaving(0, Some("7"))).records(10).ended
}

#[test]
fn a_task_that_ran_before_ends_as_it_did_then_without_running() {
    let recording = once(found(completed())).records(20);
    let ended = recording.ended;
    assert_eq!((ended.state, ended.reason, ended.result), (State::Completed, Reason::RanBefore, Some(json!(7))));
    assert_eq!((ended.attempt, ended.attempts.len(), ended.finished_at.map(|time| time.0)), (0, 0, Some(at(20))));
}

#[test]
fn a_failure_stays_a_failure_and_says_why_it_was_one_however_often_it_is_created_again() {
    let failed = running(json!({"retry": {"limit": 0}})).pod_is(exits(3)).records(10).ended;
    let second = once(found(failed)).records(20).ended;
    assert_eq!((second.state, second.reason), (State::Failed, Reason::RanBefore));
    let message = second.message.clone().expect("a message");
    assert!(message.contains("Failed (ExitCode)") && message.contains("exit code 3"), "{message}");
    assert_eq!(once(found(second)).records(30).ended.message, Some(message));
}

#[test]
fn a_large_result_is_referred_to_as_that_of_the_task_that_left_it_however_often_it_is_created_again() {
    let left = ResultRef { content_type: "text/plain".into(), bytes: 5_000_000, uid: None };
    let large = TaskStatus { result_ref: Some(left.clone()), ..completed() };
    let second = once(found(large)).records(20).ended;
    let referred = Some(ResultRef { uid: Some("earlier".into()), ..left });
    assert_eq!(second.result_ref, referred);
    let Earlier::Ended(third) = found(second) else { panic!("it counts") };
    assert_eq!(third.result_ref, referred);
}

#[test]
fn the_end_of_another_request_under_the_same_key_is_not_taken_over() {
    let task = made_by(queued(json!({})).task, "second");
    let found = |earlier| Earlier::found(&task, Some(earlier));
    let ended = once(found(made_by(earlier(completed()), "first"))).records(20).ended;
    assert_eq!((ended.state, ended.reason, ended.result), (State::Failed, Reason::KeyReused, None));
    assert!(matches!(found(made_by(earlier(completed()), "second")), Earlier::Ended(_)), "the same request");
    assert!(matches!(found(earlier(completed())), Earlier::Ended(_)), "made by no key");
}

#[test]
fn one_that_was_refused_before_it_was_launched_may_be_corrected() {
    let refused = |reason| TaskStatus { state: State::Failed, reason, ..TaskStatus::default() };
    for reason in [Reason::AboveMaximum, Reason::PayloadTooLarge, Reason::Cancelled] {
        assert_eq!(found(refused(reason)), Earlier::Never, "{reason}");
    }
}

#[test]
fn one_that_was_deleted_before_it_was_launched_has_run_nothing() {
    let deleted =
        |attempt| TaskStatus { state: State::Cancelled, reason: Reason::Deleted, attempt, ..TaskStatus::default() };
    assert_eq!(found(deleted(0)), Earlier::Never);
    assert!(matches!(found(deleted(1)), Earlier::Ended(_)), "it may have done a part");
    assert_eq!(Earlier::found(&queued(json!({})).task, None), Earlier::Never);
}

#[test]
fn while_the_archive_does_not_answer_it_waits_and_says_so_and_looks_again() {
    let scene = once(Earlier::NotKnown).write(20);
    assert_eq!((scene.status().state, scene.status().reason), (State::Queued, Reason::WaitingForArchive));
    assert_eq!(scene.wakes(21), Some(31));
    let mut scene = scene;
    scene.earlier = Earlier::Never;
    assert_eq!(scene.writes(40).reason, Reason::Queued);
}

#[test]
fn only_a_run_with_once_that_has_not_begun_asks_the_archive() {
    assert!(asks_the_archive(&once(Earlier::NotAsked).task));
    assert!(!asks_the_archive(&queued(json!({})).task));
    assert!(!asks_the_archive(&with_slot(json!({"once": true})).task));
    let retried = running(json!({"once": true})).pod_is(exits(1)).write(10);
    assert_eq!(retried.status().state, State::Queued);
    assert!(!asks_the_archive(&retried.task));
    let again = running(json!({"once": true})).pod_is(exits(0)).write(10).edit(|spec| spec.run_id = "2".into());
    assert!(asks_the_archive(&again.write(20).task), "another run is asked for on its own");
}
