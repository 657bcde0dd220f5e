//! Tasks that somebody deleted: kept by somebody else's finalizer, or gone.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::scene::*;
use crate::attempt::facts::PodFacts;
use crate::task::*;
use task_manager_api::AttemptOutcome::Cancelled;

/// Deleted at second 20, and kept.
fn deleted(mut scene: Scene) -> Scene {
    scene.task.metadata.deletion_timestamp = Some(Time(at(20)));
    scene.touch();
    scene
}

fn ended_for_it(mut pod: PodFacts) -> PodFacts {
    pod.will_end(1, Reason::Deleted, at(20));
    exits(143)(pod)
}

#[test]
fn a_deleted_task_that_is_kept_says_so_ends_its_pod_and_is_recorded_with_its_attempt_and_log() {
    let scene = deleted(running(json!({})).write(10)).write(20);
    let told = "deleted while it was processing; waiting for its pod to end";
    assert_eq!((scene.status().reason, scene.status().message.as_deref()), (Reason::Stopping, Some(told)));
    let Action::EndPod(PodEnd { ended_for, seconds, .. }) = scene.decide(20).action else { panic!("its pod ends") };
    assert_eq!((ended_for, seconds), (Reason::Deleted, 1), "its kubelet keeps the log");
    let scene = scene.pod_is(ended_for_it);
    let recording = scene.records(25);
    assert_eq!(recording.log_of, Some(LogOf { pod: "p1".into(), container: "work".into() }));
    assert_eq!((recording.ended.state, recording.ended.reason), (State::Cancelled, Reason::Deleted));
    assert_eq!(outcomes(&recording.ended), [(1, Cancelled, Reason::Deleted)]);
    let attempt = &recording.ended.attempts[0];
    assert_eq!((attempt.pod.as_deref(), attempt.node.as_deref()), (Some("p1"), Some("node-3")));
    let scene = scene.write(25);
    assert!(scene.rests(1000), "final, and everything else goes with it: {:?}", scene.decide(1000));
}

#[test]
fn a_deleted_task_is_never_launched_tried_again_or_run_anew() {
    let ended = running(json!({})).pod_is(exits(1)).job_is(finished(false, 5));
    for scene in [queued(json!({"cancel": true})), with_slot(json!({})), ended] {
        let scene = deleted(scene).write(100);
        assert_eq!((scene.status().state, scene.status().reason), (State::Cancelled, Reason::Deleted));
        assert!(scene.edit(|spec| spec.run_id = "2".into()).rests(1000));
    }
    let over = running(json!({"ttlSecondsAfterFinished": 1})).pod_is(exits(0)).write(10);
    assert!(deleted(over).rests(1000), "it has been deleted");
}

#[test]
fn a_task_that_is_kept_in_a_namespace_that_ends_says_so_as_any_other() {
    let kept = Scene { namespace_ends: Some(at(20)), ..deleted(running(json!({})).write(10)) };
    assert_eq!(kept.writes(20).reason, Reason::Stopping);
    let status = kept.pod_is(ended_for_it).writes(25);
    assert_eq!((status.state, status.reason), (State::Cancelled, Reason::Deleted));
}

#[test]
fn the_end_of_a_kept_task_is_recorded_late_where_the_archive_was_away() {
    let scene = deleted(running(json!({})).pod_is(exits(1))).write_without_archive(20);
    assert_eq!((scene.status().reason, scene.status().archived), (Reason::Deleted, Some(false)));
    assert_eq!(scene.records(30).ended.state, State::Cancelled);
}

#[test]
fn an_end_that_the_work_had_come_to_by_itself_stays_though_its_task_was_deleted() {
    let of = |spec, end: fn(PodFacts) -> PodFacts| {
        let status = deleted(running(spec).pod_is(end)).writes(20);
        (status.state, status.reason)
    };
    assert_eq!(of(json!({}), |pod| exits(0)(pod)), (State::Completed, Reason::Succeeded));
    assert_eq!(of(json!({"retry": {"limit": 0}}), |pod| exits(1)(pod)), (State::Failed, Reason::ExitCode));
    let gone = (State::Cancelled, Reason::Deleted);
    assert_eq!(of(json!({}), |pod| exits(1)(pod)), gone, "it would be tried again");
    for end in [|pod| exits(0)(evicted(pod)), |pod| exits(0)(ended_for_it(pod)), evicted, ended_for_it] {
        assert_eq!(of(json!({"retry": {"disruptionLimit": 0, "limit": 0}}), end), gone);
    }
}

#[test]
fn what_else_runs_of_a_deleted_task_is_ended_for_that() {
    let mut other = launched(json!({})).job(0);
    (other.name, other.uid) = ("late".into(), "uid of late".into());
    for scene in [queued(json!({})), with_slot(json!({}))] {
        let mut scene = deleted(scene);
        scene.observed.jobs.push(other.clone());
        let action = scene.decide(30).action;
        assert!(matches!(&action, Action::Delete(Deletion { why: Reason::Deleted, .. })), "{action:?}");
    }
    let waits = running(json!({})).pod_is(waits(Reason::ImageUnavailable));
    let action = deleted(waits).write(20).decide(20).action;
    assert!(matches!(action, Action::Delete(Deletion { child: Child::Job, why: Reason::Deleted, .. })));
    let without_job = deleted(running(json!({})).job_is(|job| job.gone = true)).write(20);
    let action = without_job.decide(20).action;
    assert!(matches!(action, Action::Delete(Deletion { child: Child::Pod, why: Reason::Deleted, .. })));
}

#[test]
fn whatever_gives_a_deleted_tasks_slot_back_doubts_the_launch_until_its_job_is_seen() {
    assert!(deleted(with_slot(json!({}))).doubts(30) && !deleted(launched(json!({}))).doubts(30));
}

#[test]
fn a_task_that_is_gone_had_the_attempt_that_was_under_way() {
    let attempts = |scene: &Scene| attempts_of_deleted(&scene.task, &scene.observed, at(30));
    let told = |scene: &Scene| {
        let attempts = attempts(scene).into_iter();
        attempts.map(|attempt| (attempt.number, attempt.outcome, attempt.reason, attempt.pod)).collect::<Vec<_>>()
    };
    let ran = [(1, Cancelled, Reason::Deleted, Some("p1".to_owned()))];
    assert_eq!(told(&running(json!({}))), ran);
    let mut unseen = running(json!({})).write(10);
    unseen.observed = Observed::default();
    assert_eq!(told(&unseen), ran, "by its status");
    for scene in [queued(json!({})), with_slot(json!({}))] {
        assert_eq!(told(&scene), [], "nothing was launched");
    }
    let over = running(json!({})).pod_is(exits(0)).write(10);
    assert_eq!(attempts(&over), over.status().attempts);
}
