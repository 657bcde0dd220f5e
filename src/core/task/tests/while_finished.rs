use serde_json::json;

use super::scene::*;
use crate::task::*;

fn completed(spec: serde_json::Value) -> Scene {
    running(spec).pod_is(exits(0)).job_is(finished(true, 6)).write(10)
}

fn deletes_job(scene: &Scene, second: i64) -> bool {
    matches!(scene.decide(second).action, Action::Delete(Deletion { child: Child::Job, .. }))
}

#[test]
fn a_finished_task_rests_and_an_unchanged_one_is_never_written_again() {
    let scene = completed(json!({}));
    assert_eq!(scene.status().state, State::Completed);
    assert!(scene.rests(11));
}

#[test]
fn the_generation_is_followed_and_nothing_else_changes() {
    for change in [
        |spec: &mut task_manager_api::TaskSpec| spec.cancel = true,
        |spec: &mut task_manager_api::TaskSpec| spec.suspend = true,
    ] {
        let scene = completed(json!({}));
        let before = scene.status().clone();
        let scene = scene.edit(change).write(11);
        assert_eq!(*scene.status(), TaskStatus { observed_generation: 2, ..before });
        assert!(scene.rests(12));
    }
}

#[test]
fn its_job_is_kept_for_an_hour_and_then_removed() {
    let scene = completed(json!({}));
    assert_eq!(scene.wakes(11), Some(10 + 3600));
    assert!(deletes_job(&scene, 10 + 3600));
    let scene = scene.job_is(|job| job.gone = true);
    assert_eq!(scene.wakes(10 + 3601), None);
}

#[test]
fn the_job_of_an_attempt_before_is_removed_at_once_though_the_last_one_ended_before_that_was_done() {
    let scene = running(json!({})).pod_is(exits(1)).job_is(finished(false, 5)).write(10).admit(100).launch(100);
    let pod = scene.pod("p2");
    let mut scene = scene.with(pod).pod_is(exits(0)).job_is(finished(true, 105)).write(106);
    let before = scene.observed.jobs[0].name.clone();
    assert!(
        matches!(scene.decide(107).action, Action::Delete(Deletion { child: Child::Job, name, .. }) if name == before)
    );
    scene.observed.jobs[0].deleting = true;
    assert!(scene.rests(108));
}

#[test]
fn the_last_job_is_kept_though_another_attempt_was_admitted_and_never_launched() {
    let scene = running(json!({})).pod_is(exits(1)).job_is(finished(false, 5)).write(10).admit(100);
    let scene = scene.edit(|spec| spec.cancel = true).write(101);
    assert!(scene.rests(102));
}

#[test]
fn every_job_that_may_still_run_is_ended_at_once_whichever_comes_first() {
    let scene = completed(json!({}));
    let mut late = scene.job(8);
    (late.name, late.uid) = ("late".into(), "uid of late".into());
    for place in [0, 1] {
        let mut scene = completed(json!({}));
        scene.observed.jobs.insert(place, late.clone());
        assert!(
            matches!(scene.decide(11).action, Action::Delete(Deletion { child: Child::Job, name, .. }) if name == "late"),
            "at place {place}"
        );
    }
}

#[test]
fn a_task_with_a_time_to_live_is_deleted_when_it_is_over() {
    let scene = completed(json!({"ttlSecondsAfterFinished": 60}));
    assert_eq!(scene.wakes(11), Some(70));
    assert_eq!(scene.decide(70).action, Action::DeleteTask);
    assert_eq!(completed(json!({"ttlSecondsAfterFinished": 0})).decide(10).action, Action::DeleteTask);
}

#[test]
fn a_types_time_to_live_does_not_apply() {
    let mut scene = completed(json!({}));
    scene.kind = Some(kind(json!({"defaults": {"ttlSecondsAfterFinished": 1}})));
    assert!(scene.rests(3000));
}

#[test]
fn another_run_id_begins_a_new_run_and_goes_before_the_time_to_live() {
    let scene = completed(json!({"ttlSecondsAfterFinished": 60})).edit(|spec| spec.run_id = "2".into());
    let status = scene.writes(1000);
    assert_eq!((status.state, status.run_id.as_deref(), status.result), (State::Queued, Some("2"), None));
    assert_eq!(status.finished_at, None);
}

#[test]
fn a_new_run_has_arrived_when_it_was_seen_however_long_the_one_before_takes_to_end() {
    let ended = running(json!({})).pod_is(exits(0)).job_is(finished(true, 6)).write_without_archive(10);
    let asked = ended.edit(|spec| spec.run_id = "2".into());
    let waited = asked.version();
    let told = asked.write_without_archive(20).write(700);
    let asked = running(json!({})).edit(|spec| spec.run_id = "2".into());
    let lingered = asked.version();
    let ended = asked.write(20).pod_is(exits(143)).job_is(finished(false, 600)).write(700);
    for (scene, seen) in [(told, waited), (ended, lingered)] {
        assert_eq!(scene.status().run_id.as_deref(), Some("2"));
        assert_eq!(scene.status().arrival, Some(seen.to_string()));
    }
}

#[test]
fn a_run_id_that_comes_back_runs_anew_and_does_not_take_over_what_ran_before() {
    let scene = completed(json!({})).edit(|spec| spec.run_id = "2".into()).write(20);
    let mut scene = scene.edit(|spec| spec.run_id = "1".into()).write(21);
    // Whatever is left of the first run goes, and then there is a launch; nothing is judged in between.
    for _ in 0..3 {
        if scene.status().state == State::Queued {
            scene = scene.admit(22);
        }
        match scene.decide(23).action {
            Action::Delete(Deletion { child: Child::Job, .. }) => scene.observed = Observed::default(),
            action => {
                assert_eq!(action, Action::Launch);
                return;
            }
        }
    }
    panic!("never launched");
}
