use serde_json::json;

use super::scene::*;
use crate::task::*;

fn failed() -> Scene {
    let scene = running(json!({"retry": {"limit": 0}})).pod_is(exits(1)).job_is(finished(false, 6));
    assert_eq!(scene.writes(10).state, State::Failed);
    scene
}

#[test]
fn a_run_ends_with_its_record_and_then_with_one_write() {
    let recording = running(json!({})).pod_is(exits(0)).records(10);
    assert_eq!((recording.ended.state, recording.then.archived), (State::Completed, Some(true)));
    assert_eq!(recording.ended, recording.then);
    let meanwhile = recording.meanwhile.expect("a status");
    assert_eq!(meanwhile, TaskStatus { archived: Some(false), ..recording.then });
}

#[test]
fn every_way_to_end_is_recorded_first() {
    let above = json!({"resources": {"limits": {"memory": "2Gi"}}});
    let mut refused = queued(above);
    refused.kind = Some(kind(json!({"maximum": {"resources": {"memory": "1Gi"}}})));
    for (scene, state) in [
        (queued(json!({"cancel": true})), State::Cancelled),
        (queued(json!({"deadlineSeconds": 5})), State::Failed),
        (refused, State::Failed),
        (with_slot(json!({"cancel": true})), State::Cancelled),
        (failed(), State::Failed),
    ] {
        assert_eq!(scene.records(10).ended.state, state);
    }
}

#[test]
fn the_log_of_a_run_that_failed_belongs_into_its_record_and_no_other() {
    let log_of = failed().records(10).log_of;
    assert_eq!(log_of, Some(LogOf { pod: "p1".into(), container: "work".into() }));
    assert_eq!(running(json!({})).pod_is(exits(0)).records(10).log_of, None, "a success costs no request");
    assert_eq!(failed().pod_is(gone).records(10).log_of, None, "nothing is left to be read");
}

#[test]
fn the_log_of_an_attempt_that_failed_is_kept_when_another_follows_and_once() {
    let again = running(json!({"retry": {"limit": 1}})).pod_is(exits(1)).job_is(finished(false, 6)).write(10);
    assert_eq!(again.status().state, State::Queued);
    let input = again.input();
    let job = &input.observed.jobs[0].name;
    let log_of = LogOf { pod: "p1".into(), container: "work".into() };
    assert_eq!(log_of_attempt(&again.task, job, &input.observed, false), Some((1, log_of)));
    assert_eq!(log_of_attempt(&again.task, "another", &input.observed, true), None);
    let over = failed().write(10);
    let input = over.input();
    let last = |lacks| log_of_attempt(&over.task, &input.observed.jobs[0].name, &input.observed, lacks);
    assert_eq!(last(false), None, "its record has it");
    assert_eq!(last(true).map(|(attempt, _)| attempt), Some(1), "it did not come as the record was put");
}

#[test]
fn a_run_that_the_archive_did_not_take_is_recorded_later_with_its_log_and_written_once_more() {
    let scene = failed().write_without_archive(10);
    let recording = scene.records(11);
    assert_eq!((recording.meanwhile, recording.log_of.is_some()), (None, true));
    let before = scene.status().clone();
    let scene = scene.write(11);
    assert_eq!(*scene.status(), TaskStatus { archived: Some(true), ..before });
    assert!(scene.rests(12));
}

#[test]
fn nothing_is_removed_before_its_record_is_there() {
    let spec = json!({"ttlSecondsAfterFinished": 60});
    let scene = running(spec).pod_is(exits(0)).job_is(finished(true, 6)).write_without_archive(10);
    assert!(matches!(scene.decide(10_000).action, Action::Record(_)));
    assert_eq!(scene.write(10_000).decide(10_000).action, Action::DeleteTask);
    let scene = running(json!({})).pod_is(exits(0)).job_is(finished(true, 6)).write_without_archive(10);
    assert!(matches!(scene.decide(10_000).action, Action::Record(_)));
    assert!(matches!(scene.write(10_000).decide(10_000).action, Action::Delete(Deletion { child: Child::Job, .. })));
}

#[test]
fn what_still_runs_is_ended_though_the_archive_takes_nothing() {
    let mut scene = running(json!({})).pod_is(exits(0)).job_is(finished(true, 6)).write_without_archive(10);
    let mut late = scene.job(8);
    (late.name, late.uid) = ("late".into(), "uid of late".into());
    scene.observed.jobs.push(late);
    assert!(
        matches!(scene.decide(11).action, Action::Delete(Deletion { child: Child::Job, name, .. }) if name == "late")
    );
}

#[test]
fn a_run_that_is_superseded_is_recorded_with_the_attempt_that_was_stopped() {
    let scene = running(json!({})).edit(|spec| spec.run_id = "2".into()).pod_is(exits(143)).pod_is(gone);
    let Recording { ended, then, .. } = scene.records(20);
    assert_eq!((ended.state, ended.reason, ended.run_id.as_deref()), (State::Cancelled, Reason::Superseded, Some("1")));
    assert_eq!(outcomes(&ended), [(1, task_manager_api::AttemptOutcome::Cancelled, Reason::Superseded)]);
    assert_eq!((then.state, then.run_id.as_deref(), then.archived), (State::Queued, Some("2"), None));
}

#[test]
fn work_that_was_done_before_it_was_superseded_is_recorded_as_done() {
    let scene = running(json!({})).edit(|spec| spec.run_id = "2".into()).pod_is(exits_leaving(0, Some("7")));
    let ended = scene.records(20).ended;
    assert_eq!((ended.state, ended.result), (State::Completed, Some(json!(7))));
}

#[test]
fn a_run_that_was_never_launched_is_superseded_without_a_record() {
    let scene = queued(json!({"suspend": true})).write(5).edit(|spec| spec.run_id = "2".into());
    assert!(matches!(scene.decide(10).action, Action::Write(_)));
}

#[test]
fn a_new_run_waits_for_the_record_of_the_one_before_and_its_conditions_say_so() {
    let scene = running(json!({})).pod_is(exits(0)).job_is(finished(true, 6)).write_without_archive(10);
    let before = scene.status().clone();
    let scene = scene.edit(|spec| spec.run_id = "2".into()).write_without_archive(20);
    let is = scene.status().clone();
    assert_eq!((is.state, is.reason, is.run_id.as_deref()), (State::Completed, Reason::Succeeded, Some("1")));
    assert_eq!((&is.attempts, &is.result, &is.finished_at), (&before.attempts, &before.result, &before.finished_at));
    assert_eq!(scene.condition("Complete"), Some(("True", "Succeeded")));
    assert_eq!(scene.condition("Ready"), Some(("False", "WaitingForArchive")));
    assert_eq!(scene.condition("Reconciling"), Some(("True", "WaitingForArchive")));
    assert_eq!(scene.records(21).meanwhile, None, "it is said once");
    let scene = scene.write(22);
    assert_eq!((scene.status().state, scene.status().run_id.as_deref()), (State::Queued, Some("2")));
}

#[test]
fn a_new_run_that_is_taken_back_while_it_waits_leaves_the_end_as_it_was() {
    let scene = running(json!({})).pod_is(exits(0)).job_is(finished(true, 6)).write_without_archive(10);
    let before = scene.status().clone();
    let scene = scene.edit(|spec| spec.run_id = "2".into()).write_without_archive(20);
    let scene = scene.edit(|spec| spec.run_id = "1".into()).write(30);
    assert_eq!((scene.status().archived, scene.status().finished_at.clone()), (Some(false), before.finished_at));
    assert_eq!(scene.condition("Ready"), Some(("True", "Succeeded")));
    assert_eq!(scene.condition("Reconciling"), None);
}

#[test]
fn a_deleted_task_is_told_of_unless_its_run_is_archived() {
    let scene = running(json!({})).pod_is(exits(0)).job_is(finished(true, 6));
    assert!(leaves_unrecorded(&scene.task) && leaves_unrecorded(&queued(json!({})).task));
    let scene = scene.write_without_archive(10);
    assert!(leaves_unrecorded(&scene.task));
    assert!(!leaves_unrecorded(&scene.write(11).task));
}

#[test]
fn where_the_record_may_tell_of_another_end_than_the_status_it_is_put_again() {
    let mut scene = running(json!({})).pod_is(exits(0)).job_is(finished(true, 6)).write(10);
    assert!(scene.rests(11));
    scene.record_in_doubt = true;
    let recording = scene.records(11);
    assert_eq!((&recording.ended, &recording.then, recording.meanwhile), (scene.status(), scene.status(), None));
}

#[test]
fn where_the_record_may_tell_of_another_end_it_is_put_again_before_a_new_run_takes_the_place_of_that() {
    let mut scene = running(json!({})).pod_is(exits(0)).job_is(finished(true, 6)).write(10);
    let ended = scene.status().clone();
    scene = scene.edit(|spec| spec.run_id = "2".into());
    scene.record_in_doubt = true;
    let recording = scene.records(11);
    assert_eq!((recording.ended, recording.then.run_id.as_deref()), (ended, Some("2")));
    scene.record_in_doubt = false;
    assert_eq!(scene.writes(11).run_id.as_deref(), Some("2"));
}
