use serde_json::json;

use super::scene::*;
use crate::attempt::facts::{Why, no_pod};
use crate::task::room::{beyond, first_to_go, spare};
use crate::task::*;

const OF_JOBS: &str = r#"jobs.batch "a" is forbidden: exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=2, limited: count/jobs.batch=2"#;
const OF_PODS: &str =
    r#"Error creating: pods "a" is forbidden: exceeded quota: q, requested: count/pods=1, used: count/pods=2"#;

fn is_spared(scene: &Scene) -> bool {
    spare(&scene.task, &scene.observed, scene.record_in_doubt).next().is_some()
}

#[test]
fn a_launch_that_a_quota_of_jobs_refuses_makes_room_for_a_minute_and_is_then_told() {
    let mut scene = with_slot(json!({}));
    scene.observed.refused = Some(no_pod(OF_JOBS));
    for second in [0, 59] {
        let Action::MakeRoom(otherwise) = scene.decide(second).action else { panic!("{:?}", scene.decide(second)) };
        assert_eq!((otherwise.state, otherwise.reason), (State::Queued, Reason::QuotaExceeded));
    }
    assert_eq!(scene.writes(60).reason, Reason::QuotaExceeded);
    scene.observed.refused = Some(Why::new(Reason::QuotaExceeded, "exceeded quota: q, requested: pods=1"));
    assert_eq!(scene.writes(1).reason, Reason::QuotaExceeded, "of those that have ended it counts none");
}

#[test]
fn a_job_whose_pod_a_quota_of_pods_refuses_makes_room_before_that_is_told() {
    let mut scene = launched(json!({}));
    scene.observed.explained = Some(no_pod(OF_PODS));
    assert!(matches!(scene.decide(10).action, Action::MakeRoom(told) if told.state == State::Processing));
    scene.observed.explained = Some(no_pod("exceeded quota: q, requested: pods=1"));
    assert_eq!(scene.writes(10).reason, Reason::QuotaExceeded);
}

#[test]
fn a_job_may_go_when_its_outcome_is_written_and_never_before() {
    let ended = || running(json!({})).pod_is(exits(0)).job_is(finished(true, 6));
    assert!(!is_spared(&running(json!({}))) && !is_spared(&ended()), "nothing of it is written");
    assert!(!is_spared(&ended().write_without_archive(10)), "the archive has not taken it");
    let mut recorded = ended().write(10);
    assert!(is_spared(&recorded));
    recorded.record_in_doubt = true;
    assert!(!is_spared(&recorded));
    assert!(!is_spared(&ended().write(10).job_is(|job| job.deleting = true)), "it goes already");
}

#[test]
fn a_failed_attempts_job_may_go_for_the_next_one() {
    let failed = running(json!({})).pod_is(exits(1)).job_is(finished(false, 5)).write(10);
    assert_eq!(failed.status().state, State::Queued);
    assert!(is_spared(&failed));
    let again = failed.admit(100);
    assert!(is_spared(&again));
    let again = again.launch(100).job_is(finished(true, 101));
    let spared: Vec<_> = spare(&again.task, &again.observed, false).map(|job| job.name.as_str()).collect();
    assert_eq!(spared, [again.observed.jobs[0].name.as_str()], "that of the present attempt stays");
}

#[test]
fn the_oldest_go_first_and_few_at_a_time() {
    let at = |second: &i64| Some(at(*second));
    assert_eq!(first_to_go(vec![5, 3, 9, 1, 7, 2], at), [1, 2, 3, 5]);
    assert_eq!(first_to_go(vec![], at), Vec::<i64>::new());
    assert_eq!(beyond(4, vec![5, 3, 9, 1, 7, 2], at), [1, 2]);
    assert_eq!(beyond(6, vec![5, 3, 9, 1, 7, 2], at), Vec::<i64>::new());
}
