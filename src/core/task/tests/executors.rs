use serde_json::json;

use super::scene::*;
use crate::attempt::is_left_alone;
use crate::attempt::needs::Needs;
use crate::attempt::reporter::{Standing, standing};
use crate::queue;
use crate::task::*;

/// As a later version of the operator admits a task: `executor` runs it.
fn admitted_to(executor: &str, mut scene: Scene) -> Scene {
    let mut status = scene.status().clone();
    status.admitted.as_mut().expect("a slot").executor = Some(executor.into());
    scene.set(status);
    scene
}

fn is_touched(scene: &Scene) -> bool {
    [0, 9, 130, 100_000].into_iter().any(|second| {
        let Decision { action, wake } = scene.decide(second);
        action != Action::Rest || wake.is_some() || needs(&scene.input(), at(second)) != Needs::Nothing
    })
}

#[test]
fn a_task_whose_executor_is_not_known_here_is_left_alone_whatever_is_asked_for() {
    let of_a_pool = |spec| admitted_to("Pool", with_slot(spec));
    let mut refused = of_a_pool(json!({}));
    refused.observed.refused = Some(crate::attempt::facts::Why::new(Reason::LaunchRefused, "no"));
    let mut without_type = of_a_pool(json!({}));
    without_type.kind = None;
    let mut deleted = of_a_pool(json!({}));
    deleted.task.metadata.deletion_timestamp = deleted.task.metadata.creation_timestamp.clone();
    for scene in [
        of_a_pool(json!({})),
        of_a_pool(json!({"deadlineSeconds": 10})),
        of_a_pool(json!({})).edit(|spec| spec.cancel = true),
        of_a_pool(json!({})).edit(|spec| spec.run_id = "2".into()),
        admitted_to("Pool", running(json!({})).pod_is(exits(1))),
        admitted_to("Pool", running(json!({})).pod_is(gone)),
        refused,
        without_type,
        deleted,
    ] {
        assert!(!is_touched(&scene), "{:?}", scene.decide(9));
        assert!(is_left_alone(&scene.task));
    }
    assert_eq!(admitted_to("Job", with_slot(json!({}))).decide(0).action, Action::Launch, "that one is known");
}

#[test]
fn the_slot_of_a_task_whose_executor_is_not_known_here_stays_counted() {
    let scene = admitted_to("Pool", with_slot(json!({}))).edit(|spec| spec.cancel = true);
    let state = queue::queue_state(&scene.task, scene.kind.as_ref(), 100, &scene.settings);
    assert!(matches!(state, queue::QueueState::Admitted(_)), "{state:?}");
}

#[test]
fn of_a_task_whose_executor_is_not_known_here_no_report_is_taken_or_refused_for_good() {
    let scene = admitted_to("Pool", running(json!({})));
    assert_eq!(standing(&scene.task, &scene.observed, "uid of p1", None), Standing::Unproven);
}

#[test]
fn an_executor_of_a_later_version_is_read_and_one_that_is_a_job_costs_nothing() {
    let read = |status| serde_json::from_value::<TaskStatus>(status).expect("a status").admitted.expect("a slot");
    let later = read(json!({"state": "Processing", "admitted": {"queue": "default", "executor": "Pool/warm"}}));
    assert_eq!(later.executor.as_deref(), Some("Pool/warm"));
    let written = serde_json::to_string(with_slot(json!({})).status()).expect("JSON");
    assert!(!written.contains("executor"), "{written}");
}
