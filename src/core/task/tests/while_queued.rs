use serde_json::json;

use super::scene::*;
use crate::attempt::facts::Why;
use crate::attempt::others::is_forestalled;
use crate::task::*;
use task_manager_api::TaskQueueSpec;

#[test]
fn a_task_that_nobody_has_touched_and_that_simply_waits_is_not_written_to() {
    assert_eq!(queued(json!({})).decide(0), Decision::rest());
}

#[test]
fn an_arrival_is_kept_as_soon_as_something_else_writes_to_the_task() {
    let mut scene = queued(json!({}));
    scene.touch();
    let scene = scene.write(5);
    assert_eq!((scene.status().arrival.as_deref(), scene.status().reason), (Some("100"), Reason::Queued));
    assert!(scene.rests(6));
}

#[test]
fn what_was_launched_though_nobody_knew_ends_before_anything_is_said_of_a_task_that_holds_no_slot() {
    let refused = |mut scene: Scene| {
        scene.observed.refused = Some(Why { reason: Reason::QuotaExceeded, message: "exceeded quota".into() });
        scene.write(1)
    };
    let late = launched(json!({}));
    let (job, pod) = (late.job(0), late.pod("p1"));
    for last_word in [refused(with_slot(json!({}))), queued(json!({"cancel": true})).write(1)] {
        let mut scene = last_word.edit(|spec| spec.run_id = "2".into());
        scene.observed = Observed { jobs: vec![job.clone()], pods: vec![pod.clone()], ..Observed::default() };
        assert!(
            matches!(scene.decide(2).action, Action::Delete(Deletion { child: Child::Job, name, .. }) if name == job.name)
        );
        scene.observed.jobs[0].gone = true;
        assert!(
            matches!(scene.decide(2).action, Action::Delete(Deletion { child: Child::Pod, name, .. }) if name == "p1")
        );
        let scene = scene.pod_is(terminating(2));
        assert!(scene.rests(3), "its pod runs on");
        assert_eq!(scene.pod_is(gone).writes(4).run_id.as_deref(), Some("2"));
    }
}

#[test]
fn a_job_that_was_made_in_the_name_of_the_attempt_to_come_goes_also_when_it_has_ended() {
    for scene in [queued(json!({})), running(json!({})).pod_is(exits(1)).job_is(finished(false, 6)).write(7)] {
        let of_next = Scene { task: scene.task.clone(), ..queued(json!({})) }.admit(0);
        let mut forged = of_next.job(0);
        finished(true, 1)(&mut forged);
        let mut scene = scene;
        assert!(scene.rests(8) && !is_forestalled(&scene.task, &scene.observed, 100), "the attempt before is ours");
        scene.observed.jobs.push(forged.clone());
        assert!(is_forestalled(&scene.task, &scene.observed, 100));
        assert!(
            matches!(scene.decide(8).action, Action::Delete(Deletion { child: Child::Job, uid, .. }) if uid == forged.uid)
        );
        let mut scene = scene.job_is(|job| job.deleting = true);
        let told = scene.writes(8);
        assert_eq!((told.state, told.reason), (State::Queued, Reason::LaunchRefused), "somebody keeps it");
        scene.observed.jobs.pop();
        assert!(!is_forestalled(&scene.task, &scene.observed, 100));
    }
}

#[test]
fn what_a_task_waits_for_is_told_once_and_untold_when_it_is_over() {
    let without_queue = |scene: &mut Scene| scene.queue = None;
    let without_type = |scene: &mut Scene| scene.kind = None;
    let with_a_bad_type =
        |scene: &mut Scene| scene.kind = Some(kind(json!({"template": {"spec": {"containers": []}}})));
    let in_a_small_queue = |scene: &mut Scene| {
        let spec: TaskQueueSpec =
            serde_json::from_value(json!({"capacity": {"resources": {"cpu": "500m"}}})).expect("a queue");
        scene.queue = Some(Quota::of(&spec));
    };
    let suspended = |scene: &mut Scene| scene.task.spec.suspend = true;
    type Change<'a> = (Reason, &'a str, &'a dyn Fn(&mut Scene));
    let changes: [Change; 5] = [
        (Reason::QueueMissing, "default", &without_queue),
        (Reason::TypeMissing, "reports", &without_type),
        (Reason::TypeNotReady, "containers", &with_a_bad_type),
        (Reason::TooLargeForQueue, "cpu", &in_a_small_queue),
        (Reason::Suspended, "spec.suspend", &suspended),
    ];
    for (reason, word, change) in changes {
        let mut scene = queued(json!({}));
        change(&mut scene);
        let mut scene = scene.write(5);
        let status = scene.status();
        assert_eq!((status.state, status.reason, status.observed_generation), (State::Queued, reason, 1));
        assert!(
            status.message.as_ref().is_some_and(|message| message.contains(word)),
            "{reason}: {:?}",
            status.message
        );
        let shown = if reason == Reason::TooLargeForQueue { "Stalled" } else { "Reconciling" };
        assert_eq!(scene.condition(shown), Some(("True", reason.as_str())));
        assert!(scene.rests(6), "{reason} is told once");

        let well = queued(json!({}));
        (scene.kind, scene.queue, scene.task.spec.suspend) = (well.kind, well.queue, false);
        assert_eq!(scene.writes(7).reason, Reason::Queued, "{reason} is over");
    }
}

#[test]
fn a_start_that_lies_ahead_is_told_and_waited_for() {
    let scene = queued(json!({"startAfter": at(60).to_string()})).write(0);
    assert_eq!(scene.status().reason, Reason::NotYetDue);
    assert_eq!(scene.wakes(1), Some(60));
    assert_eq!(scene.writes(60).reason, Reason::Queued);
}

#[test]
fn a_cancelled_task_leaves_the_queue() {
    let scene = queued(json!({"cancel": true})).write(5);
    let status = scene.status();
    assert_eq!((status.state, status.reason, status.attempt), (State::Cancelled, Reason::Cancelled, 0));
    assert_eq!(status.finished_at.as_ref().map(|time| time.0), Some(at(5)));
    assert_eq!(scene.condition("Ready"), Some(("True", "Cancelled")));
}

#[test]
fn a_task_that_waits_past_its_deadline_fails() {
    let scene = queued(json!({"deadlineSeconds": 60, "suspend": true})).write(0);
    assert_eq!(scene.wakes(59), Some(60));
    let status = scene.writes(60);
    assert_eq!((status.state, status.reason), (State::Failed, Reason::DeadlineExceeded));
    assert!(status.message.is_some_and(|message| message.contains("60 s")));
    assert_eq!(queued(json!({"deadlineSeconds": 60})).wakes(1), Some(60), "also when nobody touched it");
}

#[test]
fn a_cancelled_task_does_not_fail_for_its_deadline() {
    assert_eq!(queued(json!({"deadlineSeconds": 60, "cancel": true})).writes(61).state, State::Cancelled);
}

#[test]
fn what_its_type_does_not_let_in_fails_at_once() {
    let mut large = queued(json!({"payload": {"text": "more than sixteen bytes"}}));
    large.kind = Some(kind(json!({"maximum": {"payloadBytes": 16}})));
    let mut above = queued(json!({"resources": {"limits": {"memory": "2Gi"}}}));
    above.kind = Some(kind(json!({"maximum": {"resources": {"memory": "1Gi"}}})));
    for (scene, reason) in [(large, Reason::PayloadTooLarge), (above, Reason::AboveMaximum)] {
        let status = scene.writes(0);
        assert_eq!((status.state, status.reason, status.attempt), (State::Failed, reason, 0));
        assert!(status.message.is_some(), "{reason} needs its sentence");
    }
}

#[test]
fn another_run_id_begins_a_new_run_in_the_queue() {
    let failed = running(json!({})).pod_is(exits(1)).write(20);
    assert_eq!((failed.status().state, failed.status().failures), (State::Queued, 1));
    let version = failed.task.metadata.resource_version.clone();
    let scene = failed.edit(|spec| spec.run_id = "2".into());
    let status = scene.writes(30);
    assert_eq!((status.run_id.as_deref(), status.state, status.reason), (Some("2"), State::Queued, Reason::Queued));
    assert_eq!((status.attempt, status.failures, status.disruptions, status.attempts.len()), (0, 0, 0, 0));
    assert_eq!((status.next_attempt_at, status.started_at, status.result), (None, None, None));
    assert_eq!(status.queued_at.map(|time| time.0), Some(at(30)));
    assert_eq!(status.arrival, scene.task.metadata.resource_version);
    assert_ne!(status.arrival, version);
}

#[test]
fn a_run_id_that_changes_before_anything_was_written_needs_no_new_run() {
    let mut scene = queued(json!({})).edit(|spec| spec.run_id = "2".into());
    assert!(scene.rests(5), "it has arrived as it is now");
    scene.touch();
    let scene = scene.write(6);
    assert_eq!((scene.status().run_id.as_deref(), scene.status().arrival.as_deref()), (Some("2"), Some("101")));
}

#[test]
fn a_failed_attempt_is_shown_until_its_pause_is_well_over() {
    let scene = running(json!({})).pod_is(exits(1)).write(20);
    let next = scene.status().next_attempt_at.as_ref().expect("a time").0;
    assert_eq!(scene.status().reason, Reason::WaitingForRetry);
    let second = |time: Timestamp| time.as_second() - at(0).as_second();
    let wake = scene.wakes(21).expect("a time");
    assert!((second(next)..=second(next) + 3).contains(&wake), "{wake}");
    assert_eq!(scene.writes(wake + 1).reason, Reason::Queued);
}

#[test]
fn a_task_whose_type_goes_while_it_waits_for_its_retry_tells_what_failed_and_what_to_do() {
    let mut scene = running(json!({})).pod_is(exits(1)).write(20);
    scene.kind = None;
    let scene = scene.write(21);
    assert_eq!(scene.status().reason, Reason::TypeMissing);
    let message = scene.status().message.clone().unwrap_or_default();
    for words in ["there is no TaskType reports", "create it", "attempt 1: ExitCode: the work ended with exit code 1"] {
        assert!(message.contains(words), "{message}");
    }
    assert!(scene.rests(22));
}

#[test]
fn a_task_that_was_suspended_during_its_pause_does_not_say_so_afterwards() {
    let scene = running(json!({})).pod_is(exits(1)).write(20);
    let scene = scene.edit(|spec| spec.suspend = true).write(21);
    assert_eq!(scene.status().reason, Reason::Suspended);
    let scene = scene.edit(|spec| spec.suspend = false).write(22);
    assert_eq!(scene.status().reason, Reason::WaitingForRetry);
    assert!(
        scene.status().message.as_ref().is_some_and(|message| message.contains("ExitCode")),
        "{:?}",
        scene.status().message
    );
}

#[test]
fn a_task_that_is_told_what_it_waits_for_says_so_once_and_until_it_is_told_again() {
    let mut scene = queued(json!({}));
    scene.waits_for = Some(Why::new(Reason::QueueFull, "tasks: 1 of 1 used"));
    let mut scene = scene.write(15);
    let status = scene.status();
    assert_eq!((status.state, status.reason), (State::Queued, Reason::QueueFull));
    assert_eq!((status.message.as_deref(), status.arrival.as_deref()), (Some("tasks: 1 of 1 used"), Some("100")));
    assert_eq!(scene.condition("Reconciling"), Some(("True", "QueueFull")));
    assert!(scene.rests(16));
    scene.waits_for = None;
    assert!(scene.rests(17), "another leader knows of no notice");
    scene.waits_for = Some(Why::new(Reason::KeyLimit, "type reports, kbId kb: 1 of 1 tasks run"));
    assert_eq!(scene.writes(80).reason, Reason::KeyLimit);
    scene.waits_for = Some(Why::new(Reason::Queued, ""));
    assert_eq!(scene.writes(90).reason, Reason::Queued);
}

#[test]
fn what_a_task_is_told_gives_way_to_what_it_waits_for_by_itself() {
    let mut scene = queued(json!({}));
    scene.waits_for = Some(Why::new(Reason::QueueFull, "tasks: 1 of 1 used"));
    let scene = scene.write(15).edit(|spec| spec.suspend = true).write(16);
    assert_eq!(scene.status().reason, Reason::Suspended);
}

#[test]
fn what_a_task_waits_for_is_followed_by_the_attempt_that_failed() {
    let mut scene = running(json!({})).pod_is(exits(1)).write(20);
    let wake = scene.wakes(21).expect("a time");
    scene.waits_for = Some(Why::new(Reason::QueueFull, "tasks: 1 of 1 used"));
    assert_eq!(scene.status().reason, Reason::WaitingForRetry);
    let mut scene = scene.write(wake + 1);
    let told = "tasks: 1 of 1 used; before: attempt 1: ExitCode: the work ended with exit code 1";
    assert_eq!((scene.status().reason, scene.status().message.as_deref()), (Reason::QueueFull, Some(told)));
    scene.waits_for = None;
    assert!(scene.rests(wake + 2));
}

#[test]
fn a_task_that_gave_its_slot_back_says_why_also_when_it_waits_for_room() {
    let mut scene = running(json!({})).pod_is(waits(Reason::Unschedulable)).write(10);
    scene = scene.job_is(|job| job.gone = true).pod_is(gone).write(123);
    scene.observed = Observed::default();
    assert_eq!(scene.status().reason, Reason::Unschedulable);
    scene.waits_for = Some(Why::new(Reason::QueueFull, "tasks: 1 of 1 used"));
    let mut scene = scene.write(1000);
    let told = scene.status().message.clone().unwrap_or_default();
    assert_eq!(scene.status().reason, Reason::QueueFull);
    assert!(told.starts_with("tasks: 1 of 1 used; before: Unschedulable: said of Unschedulable"), "{told}");
    assert!(scene.rests(1001));
    scene.waits_for = Some(Why::new(Reason::Queued, ""));
    assert_eq!(scene.writes(1100).reason, Reason::Unschedulable, "nothing else holds it back");
}

#[test]
fn the_first_word_of_a_queued_task_follows_its_spec() {
    let scene = queued(json!({"priority": "high", "suspend": true})).write(0);
    assert_eq!(scene.status().priority, Some(task_manager_api::Priority::High));
    let scene = scene.edit(|spec| spec.priority = Some(task_manager_api::Priority::Low)).write(1);
    assert_eq!(
        (scene.status().priority, scene.status().observed_generation),
        (Some(task_manager_api::Priority::Low), 2)
    );
}

#[test]
fn in_a_namespace_that_is_being_deleted_nothing_is_begun_or_retried() {
    let ending = |scene: Scene| Scene { namespace_ends: Some(at(0)), ..scene };
    assert!(ending(with_slot(json!({}))).rests(1), "not launched");
    assert!(ending(running(json!({})).pod_is(exits(1))).rests(7), "not tried again");
    assert!(ending(queued(json!({"cancel": true}))).rests(1));
}

#[test]
fn a_task_whose_namespace_is_long_in_going_says_so_once() {
    let ending = |scene: Scene| Scene { namespace_ends: Some(at(100)), ..scene };
    let suspended = queued(json!({"suspend": true})).write(0).edit(|spec| spec.suspend = false);
    for (scene, state) in [
        (ending(suspended), State::Queued),
        (ending(queued(json!({}))), State::Queued),
        (ending(running(json!({})).write(10)), State::Processing),
    ] {
        assert_eq!(scene.wakes(101), Some(110), "it may be gone by then");
        let (held, scene) = (scene.status().admitted.clone(), scene.write(110));
        assert_eq!((scene.status().state, scene.status().reason), (state, Reason::NamespaceTerminating));
        assert_eq!(
            (scene.status().admitted.clone(), scene.status().observed_generation),
            (held, scene.task.metadata.generation.unwrap_or_default())
        );
        assert!(scene.rests(111) && scene.edit(|spec| spec.suspend = true).rests(112), "and nothing more");
    }
    let ended = running(json!({})).pod_is(exits(0)).write(20);
    assert!(ending(ended).rests(200), "final is final");
}
