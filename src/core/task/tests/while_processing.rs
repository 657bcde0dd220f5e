use serde_json::json;

use super::scene::*;
use crate::attempt::backoff;
use crate::attempt::facts::container::{Awaited, Awaiting};
use crate::attempt::facts::{JobFacts, Phase, PodAsked, PodFacts, Unanswered, Why, Work};
use crate::attempt::reporter::{Standing, standing};
use crate::task::*;
use task_manager_api::AttemptOutcome::*;

fn deletes_job(scene: &Scene, second: i64) -> bool {
    matches!(scene.decide(second).action, Action::Delete(Deletion { child: Child::Job, .. }))
}

fn deletes_pod(scene: &Scene, second: i64) -> bool {
    matches!(scene.decide(second).action, Action::Delete(Deletion { child: Child::Pod, .. }))
}

/// The reason for which its pod is ended, and after how many seconds from its start.
fn ends_pod(scene: &Scene, second: i64) -> Option<(Reason, i64)> {
    match scene.decide(second).action {
        Action::EndPod(PodEnd { name, ended_for, seconds, .. }) if name == "p1" => Some((ended_for, seconds)),
        _ => None,
    }
}

/// Its deadline was lowered at `second`, as the watch shows by now.
fn ended_for(why: Reason, seconds: i64, second: i64) -> impl FnOnce(PodFacts) -> PodFacts {
    move |mut pod| {
        pod.will_end(seconds, why, at(second));
        pod
    }
}

/// Its work ended so, and by its pod's deadline, at `second`.
fn killed_at(exit_code: i32, second: i64) -> impl FnOnce(PodFacts) -> PodFacts {
    move |pod| {
        let reason = Some("DeadlineExceeded".into());
        let work = Work::Ended { exit_code, started_at: Some(at(0)), at: Some(at(second)), left: None };
        PodFacts { phase: Phase::Failed, reason, work, beside: vec![], ..pod }
    }
}

fn is(scene: &Scene) -> (State, Reason) {
    (scene.status().state, scene.status().reason)
}

/// (failures, disruptions, attempt)
fn counts(scene: &Scene) -> (i32, i32, i32) {
    (scene.status().failures, scene.status().disruptions, scene.status().attempt)
}

#[test]
fn admission_writes_the_attempt_and_what_it_holds_before_anything_is_launched() {
    let scene = with_slot(json!({"priority": "high"}));
    let status = scene.status();
    assert_eq!(is(&scene), (State::Processing, Reason::Admitted));
    assert_eq!((status.attempt, status.arrival.as_deref(), status.run_id.as_deref()), (1, Some("100"), Some("1")));
    let held = status.admitted.as_ref().expect("a slot");
    assert_eq!((held.queue.as_str(), held.resources["cpu"].0.as_str()), ("default", "1"));
    assert_eq!(scene.condition("Admitted"), Some(("True", "Admitted")));
    assert_eq!(scene.decide(0).action, Action::Launch);
}

#[test]
fn a_refused_launch_gives_the_slot_back_and_counts_nothing() {
    let mut scene = with_slot(json!({}));
    scene.observed.refused = Some(Why { reason: Reason::LaunchRefused, message: "a webhook said no".into() });
    let scene = scene.write(2);
    assert_eq!((is(&scene), counts(&scene)), ((State::Queued, Reason::LaunchRefused), (0, 0, 0)));
    let status = scene.status();
    assert_eq!(
        (&status.admitted, status.attempts.len(), status.message.as_deref()),
        (&None, 0, Some("a webhook said no; the slot was given back; tried again from 1970-01-12T13:47:12Z on"))
    );
    assert_eq!(status.next_attempt_at.as_ref().map(|time| time.0), Some(at(32)));
}

#[test]
fn a_launch_that_nobody_answers_is_tried_on_then_told_and_after_a_minute_given_back_uncounted() {
    let mut scene = with_slot(json!({}));
    let why = Why { reason: Reason::LaunchFailed, message: "failed calling webhook".into() };
    scene.observed.unanswered = Some(Unanswered { since: at(1), why });
    assert_eq!(scene.decide(10).action, Action::Launch);
    let mut scene = scene.write(11);
    assert_eq!((is(&scene), counts(&scene)), ((State::Processing, Reason::LaunchFailed), (0, 0, 1)));
    assert_eq!(scene.condition("Reconciling"), Some(("True", "LaunchFailed")));
    assert_eq!(scene.decide(60).action, Action::Launch, "it is told once, and tried on");
    assert!(!scene.doubts(60) && scene.doubts(61));
    let given_back = scene.writes(61);
    assert_eq!(
        (given_back.state, given_back.reason, given_back.attempt, given_back.attempts.len()),
        (State::Queued, Reason::LaunchFailed, 0, 0)
    );
    assert_eq!(given_back.next_attempt_at.map(|time| time.0), Some(at(61 + 61)), "as long as it held the slot");
    scene.observed.jobs.push(scene.job(5));
    assert!(!scene.doubts(61));
    assert_eq!(scene.writes(61).reason, Reason::PodNotCreated, "it took place after all, and goes on as any other");
}

#[test]
fn a_launch_that_was_refused_is_doubted_until_its_job_is_seen() {
    let mut scene = with_slot(json!({}));
    scene.observed.refused = Some(Why { reason: Reason::QuotaExceeded, message: "exceeded quota".into() });
    assert!(scene.doubts(1), "an earlier try may use up the quota");
    let scene = scene.launch(1);
    assert!(!scene.doubts(1));
    assert_eq!(scene.wakes(2), Some(11));
}

#[test]
fn whatever_gives_the_slot_back_doubts_the_launch_until_its_job_is_seen() {
    let mut without_type = with_slot(json!({}));
    without_type.kind = None;
    for scene in [
        with_slot(json!({})).edit(|spec| spec.cancel = true),
        with_slot(json!({})).edit(|spec| spec.run_id = "2".into()),
        with_slot(json!({"deadlineSeconds": 10})),
        without_type,
    ] {
        assert!(scene.doubts(10), "somebody may have launched it: {:?}", scene.decide(10));
        assert!(!scene.launch(1).doubts(10));
    }
    assert!(!with_slot(json!({})).doubts(10), "it is launched, which shows what is there");
    assert!(!queued(json!({})).edit(|spec| spec.cancel = true).doubts(10), "it holds nothing");
}

#[test]
fn a_job_that_only_a_pod_speaks_of_is_asked_for() {
    let scene = with_slot(json!({}));
    let pod = scene.pod("p1");
    let scene = scene.with(pod);
    assert!(scene.doubts(1) && !scene.launch(0).doubts(1));
}

#[test]
fn what_changed_between_admission_and_launch_goes_through_admission_again() {
    let asks_more = with_slot(json!({})).edit(|spec| {
        spec.resources = Some(task_manager_api::Resources { requests: cpu("2"), ..Default::default() });
    });
    let mut without_type = with_slot(json!({}));
    without_type.kind = None;
    let mut with_a_bad_type = with_slot(json!({}));
    with_a_bad_type.kind = Some(kind(json!({"template": {}})));
    for (scene, reason) in
        [(asks_more, Reason::SpecChanged), (without_type, Reason::TypeMissing), (with_a_bad_type, Reason::TypeNotReady)]
    {
        let scene = scene.write(1);
        assert_eq!((is(&scene), counts(&scene)), ((State::Queued, reason), (0, 0, 0)));
    }
}

/// A type whose pods get a proxy, as the dry run of whoever led before has said; here nobody has asked yet.
fn admitted_with_more_than_the_template_says() -> Scene {
    let mut scene = with_slot(json!({}));
    let status = scene.task.status.as_mut().expect("a status");
    let admitted = status.admitted.as_mut().expect("a slot");
    admitted.resources.insert("cpu".into(), task_manager_api::Quantity("1250m".into()));
    scene
}

#[test]
fn a_new_leader_waits_for_the_first_dry_run_before_it_launches_or_takes_a_slot_back() {
    let mut waits = with_slot(json!({})).edit(|spec| {
        spec.resources = Some(task_manager_api::Resources { requests: cpu("2"), ..Default::default() });
    });
    waits.dry_run_awaited = Some(at(5));
    assert_eq!((waits.wakes(1), waits.doubts(1)), (Some(5), false));
    assert_eq!(waits.writes(5).reason, Reason::SpecChanged, "that one has changed in truth");
    let mut scene = admitted_with_more_than_the_template_says();
    scene.dry_run_awaited = Some(at(5));
    assert_eq!(scene.wakes(1), Some(5));
    assert_eq!(scene.decide(5).action, Action::Launch, "nobody answered, and its slot is large enough");
}

#[test]
fn an_answer_that_is_refused_takes_no_slot_back_that_a_better_answer_gave() {
    let scene = admitted_with_more_than_the_template_says();
    assert_eq!(scene.decide(1).action, Action::Launch);
    let changed = scene.edit(|spec| {
        spec.resources = Some(task_manager_api::Resources { requests: cpu("500m"), ..Default::default() })
    });
    assert_eq!(changed.writes(1).reason, Reason::SpecChanged, "what its author changed is admitted as it is now");
}

#[test]
fn a_task_that_is_readmitted_again_and_again_pauses_longer_and_longer() {
    let mut second = 0;
    let mut pauses = vec![];
    let mut scene = queued(json!({}));
    for round in 0..4 {
        scene = scene.admit(second).edit(|spec| {
            spec.resources =
                Some(task_manager_api::Resources { requests: cpu(&format!("{}", round + 2)), ..Default::default() });
        });
        let status = scene.writes(second + 1);
        assert_eq!((status.reason, status.given_back), (Reason::SpecChanged, round + 1));
        let due = status.next_attempt_at.as_ref().expect("a time").0.as_second() - at(second + 1).as_second();
        pauses.push(due);
        second += 1 + due;
        scene = scene.write(second - due);
    }
    assert_eq!(pauses, [0, 60, 120, 240]);
}

#[test]
fn other_changes_between_admission_and_launch_do_not_matter() {
    let scene = with_slot(json!({})).edit(|spec| (spec.timeout_seconds, spec.suspend) = (Some(5), true));
    assert_eq!(scene.decide(1).action, Action::Launch);
}

#[test]
fn a_job_without_a_pod_is_told_after_ten_seconds_and_given_up_after_sixty() {
    let mut scene = launched(json!({}));
    assert_eq!(scene.wakes(9), Some(10));
    assert_eq!(scene.writes(10).reason, Reason::PodNotCreated);
    scene.observed.explained = Some(Why { reason: Reason::QuotaExceeded, message: "exceeded quota: small".into() });
    let scene = scene.write(10);
    assert_eq!(is(&scene), (State::Processing, Reason::QuotaExceeded));
    assert_eq!(scene.wakes(11), Some(60));
    assert!(deletes_job(&scene, 60));
    let scene = scene.job_is(|job| job.gone = true).write(61);
    assert_eq!((is(&scene), counts(&scene)), ((State::Queued, Reason::QuotaExceeded), (0, 0, 0)), "no attempt at all");
    assert_eq!(scene.status().next_attempt_at.as_ref().map(|time| time.0), Some(at(61 + 61)));
}

#[test]
fn a_job_that_somebody_deleted_before_its_pod_came_is_a_disruption() {
    let scene = launched(json!({})).job_is(|job| job.gone = true).write(3);
    assert_eq!(outcomes(scene.status()), [(1, Disrupted, Reason::JobDeleted)]);
    assert_eq!((is(&scene), counts(&scene)), ((State::Queued, Reason::WaitingForRetry), (0, 1, 1)));
}

#[test]
fn a_short_start_is_not_told_and_a_long_one_once() {
    let scene = running(json!({})).pod_is(|pod| PodFacts { waiting: None, ..waits(Reason::Starting)(pod) });
    assert_eq!(scene.wakes(9), Some(10));
    let scene = scene.write(10);
    assert_eq!((is(&scene), scene.status().worker.as_deref()), ((State::Processing, Reason::Starting), Some("p1")));
    assert_eq!(scene.wakes(11), Some(21), "its events may tell more by then");
    assert_eq!(scene.wakes(115), Some(120), "the deadline for its start");
}

#[test]
fn a_long_start_says_what_it_waits_for_and_what_it_waits_for_next() {
    let scene = running(json!({})).pod_is(waits(Reason::Unschedulable)).write(10);
    assert_eq!(
        (scene.status().reason, scene.status().message.as_deref()),
        (Reason::Unschedulable, Some("said of Unschedulable"))
    );
    assert!(scene.rests(20));
    let scene = scene.pod_is(waits(Reason::ImageUnavailable)).write(21);
    assert_eq!(scene.status().reason, Reason::ImageUnavailable);
    let scene = scene.pod_is(|pod| PodFacts {
        waiting: Some(Why { reason: Reason::ImageUnavailable, message: "other words".into() }),
        ..pod
    });
    assert!(scene.rests(22), "two wordings of one trouble are told once");
}

/// The container does not start for `reason`; up to the moment at which its pod is gone.
fn not_started(reason: Reason) -> Scene {
    let scene = running(json!({})).pod_is(waits(reason)).write(10);
    let due = if reason == Reason::Unschedulable { 60 } else { 120 };
    assert!(!deletes_job(&scene, due - 1) && deletes_job(&scene, due));
    let scene = scene.job_is(|job| job.gone = true);
    assert!(deletes_pod(&scene, 121));
    let scene = scene.pod_is(terminating(121));
    assert!(scene.rests(122), "{:?}", scene.decide(122));
    // A pod that ends says nothing any more of what it waited for.
    scene.pod_is(|pod| PodFacts { waiting: None, phase: Phase::Failed, ..gone(pod) })
}

#[test]
fn a_missing_image_or_configuration_is_tried_again_uncounted() {
    for reason in [Reason::ImageUnavailable, Reason::ContainerConfig] {
        let scene = not_started(reason).write(123);
        assert_eq!((is(&scene), counts(&scene)), ((State::Queued, Reason::WaitingForRetry), (0, 1, 1)));
        assert_eq!(outcomes(scene.status()), [(1, Disrupted, reason)]);
        let message = scene.status().attempts[0].message.as_deref();
        let told = format!("said of {reason}; not started within startDeadlineSeconds, 120 s");
        assert_eq!(message, Some(told.as_str()));
    }
}

#[test]
fn a_node_that_goes_silent_under_its_work_is_told_and_so_is_its_return() {
    let scene = running(json!({})).write(10);
    let on_its_node = scene.status().message.clone();
    let silent = scene.pod_is(|pod| PodFacts { node_silent_since: Some(at(60)), ..pod });
    let silent = silent.write(61);
    let told = format!("on node-3, which does not answer since {}", at(60));
    assert_eq!(
        (is(&silent), silent.status().message.as_deref()),
        ((State::Processing, Reason::Running), Some(told.as_str()))
    );
    assert!(silent.rests(62));
    let back = silent.pod_is(|pod| PodFacts { node_silent_since: None, ..pod }).write(90);
    assert_eq!(back.status().message, on_its_node);
}

#[test]
fn an_image_that_the_registry_refuses_fails_for_good_after_a_minute() {
    let refused = |pod: PodFacts| PodFacts {
        waiting: Some(Why::new(Reason::ImageUnavailable, "container work: image R/a:1: 403 Forbidden")),
        ..waits(Reason::Starting)(pod)
    };
    let scene = running(json!({})).pod_is(refused).write(10);
    assert!(scene.rests(59) && deletes_job(&scene, 60), "others wait for its slot");
    let after = |scene: Scene| {
        let scene = scene.write(123);
        assert_eq!((is(&scene), counts(&scene)), ((State::Failed, Reason::ImageUnavailable), (1, 0, 1)));
        let message = scene.status().message.as_deref();
        assert_eq!(message, Some("container work: image R/a:1: 403 Forbidden; not tried again"), "no limit matters");
    };
    let scene = scene.job_is(|job| job.gone = true).pod_is(terminating(61));
    let scene = scene.pod_is(|pod| PodFacts { waiting: None, phase: Phase::Failed, ..gone(pod) });
    // By another leader, who has seen nothing of it before.
    let unseen = Scene { task: scene.task.clone(), ..running(json!({})) };
    after(unseen.job_is(|job| job.gone = true).pod_is(|pod| gone(waits(Reason::Starting)(pod))));
    after(scene);
}

/// Its start waits for this container.
fn awaits(container: &'static str, is: Awaiting) -> impl FnOnce(PodFacts) -> PodFacts {
    move |pod| {
        let awaited = Some(Awaited { container: container.into(), is });
        PodFacts { waiting: None, awaited, ..waits(Reason::Starting)(pod) }
    }
}

#[test]
fn what_hangs_before_the_work_is_named_and_given_up_and_never_told_as_running() {
    for (container, is, told) in [
        ("fetch", Awaiting::Done, "init container fetch has not ended"),
        ("proxy", Awaiting::Up, "sidecar proxy is not up"),
        ("proxy", Awaiting::Lasting { exit_code: 7 }, "sidecar proxy ends again and again, with exit code 7"),
        ("work", Awaiting::Made, "its container is being made"),
    ] {
        let scene = running(json!({})).pod_is(awaits(container, is)).write(10);
        assert_eq!((scene.status().reason, scene.status().message.as_deref()), (Reason::Starting, Some(told)));
        assert_eq!(scene.status().started_at, None);
        let scene = scene.write(120);
        let late = format!("{told}; not started within startDeadlineSeconds, 120 s");
        let told = Some(late.as_str());
        assert_eq!((scene.status().reason, scene.status().message.as_deref()), (Reason::StartTimeout, told));
        assert!(deletes_job(&scene, 120));
        let scene = scene.job_is(|job| job.gone = true).pod_is(gone).write(123);
        assert_eq!((outcomes(scene.status()), counts(&scene)), (vec![(1, Disrupted, Reason::StartTimeout)], (0, 1, 1)));
        assert_eq!(scene.status().attempts[0].message.as_deref(), told);
    }
}

#[test]
fn another_part_of_a_long_start_is_told_and_other_words_for_it_are_not() {
    let mut scene = running(json!({})).pod_is(awaits("proxy", Awaiting::Up));
    let probe = |said: &str| Some(Why::new(Reason::Starting, said));
    scene.observed.explained = probe("Startup probe failed: 1");
    let mut scene = scene.write(10);
    assert_eq!(scene.status().message.as_deref(), Some("sidecar proxy is not up: Startup probe failed: 1"));
    scene.observed.explained = probe("Startup probe failed: 2");
    assert!(scene.rests(20), "{:?}", scene.decide(20));
    let scene = scene.pod_is(awaits("fetch", Awaiting::Done)).write(30);
    assert_eq!(scene.status().message.as_deref(), Some("init container fetch has not ended"));
}

#[test]
fn a_pull_that_takes_long_is_told_and_eats_no_timeout() {
    let mut scene = running(json!({})).pod_is(awaits("work", Awaiting::Made));
    scene.observed.explained = Some(Why::new(Reason::Starting, "pulling image R/slow:1 since 10:00:03 UTC"));
    let scene = scene.write(10);
    assert_eq!(scene.status().message.as_deref(), Some("pulling image R/slow:1 since 10:00:03 UTC"));
    let began = Work::Running { started_at: Some(at(100)) };
    let mut scene = scene.pod_is(|pod| PodFacts { work: began, phase: Phase::Running, started_at: Some(at(0)), ..pod });
    scene.observed.explained = None;
    let scene = scene.write(110);
    assert_eq!(scene.status().started_at.as_ref().map(|time| time.0), Some(at(100)));
    assert_eq!(scene.wakes(111), Some(640), "a tenth before its timeout is over");
    assert_eq!(ends_pod(&scene, 640), Some((Reason::Timeout, 701)));
}

#[test]
fn work_that_an_event_says_has_begun_is_neither_given_up_nor_deleted() {
    let hidden = || {
        let scene = running(json!({})).pod_is(awaits("work", Awaiting::Made));
        scene.pod_is(|mut pod| {
            (pod.started_at, pod.asked.work_started_at) = (Some(at(0)), Some(at(20)));
            pod
        })
    };
    let scene = hidden().write(130);
    assert_eq!(
        (scene.status().reason, scene.status().started_at.as_ref().map(|time| time.0)),
        (Reason::Running, Some(at(20)))
    );
    assert!(scene.rests(131));
    let cancelled = hidden().edit(|spec| spec.cancel = true).write(140);
    assert_eq!(ends_pod(&cancelled, 140), Some((Reason::Cancelled, 1)));
}

#[test]
fn a_gated_pod_is_waited_for_and_its_clock_begins_when_the_gate_is_gone() {
    let gated = |pod: PodFacts| PodFacts {
        gates: vec!["example.com/quota".into()],
        node: None,
        ..awaits("work", Awaiting::Made)(pod)
    };
    let scene = running(json!({})).pod_is(|pod| gated(pod).first_seen(at(0))).write(10);
    assert_eq!(is(&scene), (State::Processing, Reason::PodGated));
    assert!(scene.status().message.as_ref().is_some_and(|message| message.contains("example.com/quota")));
    assert_eq!(scene.wakes(5000), None);
    let before = scene.observed.pods[0].clone();
    let free = scene.pod_is(|pod| {
        PodFacts { gates: vec![], node: Some("node-3".into()), ..pod }.first_seen(at(5000)).after(&before)
    });
    assert_eq!(free.writes(5001).reason, Reason::Starting);
    let free = free.write(5001);
    assert!(!matches!(free.decide(5119).action, Action::Write(_)));
    assert_eq!(free.writes(5120).reason, Reason::StartTimeout);
}

#[test]
fn a_job_that_somebody_suspended_before_its_pod_is_waited_for() {
    let held = launched(json!({})).job_is(|job| *job = JobFacts { suspended: true, ..job.clone() }.first_seen(at(0)));
    let scene = held.write(10);
    assert_eq!(is(&scene), (State::Processing, Reason::JobSuspended));
    assert_eq!(scene.wakes(5000), None, "its slot is held");
    let resumed = scene.job_is(|job| {
        let before = job.clone();
        *job = JobFacts { suspended: false, ..before.clone() }.first_seen(at(5000)).after(&before);
    });
    assert_eq!(resumed.wakes(5001), Some(5010), "its pod is waited for anew");
    let scene = resumed.write(5010);
    assert!(!deletes_job(&scene, 5059) && deletes_job(&scene, 5060));
}

#[test]
fn a_job_suspended_while_it_runs_is_preempted_and_gone_before_the_next() {
    let scene = running(json!({})).write(10).job_is(|job| job.suspended = true);
    assert!(scene.rests(20), "its pod is not deleted yet");
    let scene = scene.pod_is(terminating(20)).write(20);
    assert_eq!(is(&scene), (State::Processing, Reason::Preempted));
    assert!(deletes_job(&scene, 20));
    let mut lost = Scene { task: scene.task.clone(), ..running(json!({})) };
    lost.observed = Observed::default();
    for scene in [lost, scene.job_is(|job| job.gone = true).pod_is(killed_at(143, 25)).pod_is(gone)] {
        let scene = scene.write(30);
        assert_eq!((outcomes(scene.status()), counts(&scene)), (vec![(1, Disrupted, Reason::Preempted)], (0, 1, 1)));
    }
}

#[test]
fn refusals_by_nodes_pause_longer_and_longer_whatever_the_policy_says() {
    let refused = |pod: PodFacts| PodFacts {
        phase: Phase::Failed,
        work: Work::NotStarted,
        lists_no_container: true,
        reason: Some("OutOfcpu".into()),
        ..pod
    };
    let mut scene = queued(json!({"retry": {"initialSeconds": 0, "maxSeconds": 0, "disruptionLimit": 20}}));
    let mut pauses = vec![];
    for round in 0..4 {
        scene = scene.admit(round * 1000).launch(round * 1000);
        let pod = scene.pod("p");
        scene = scene.with(refused(pod)).write(round * 1000 + 1);
        pauses.push(
            scene.status().next_attempt_at.as_ref().expect("a pause").0.duration_since(at(round * 1000 + 1)).as_secs(),
        );
        scene.observed = Observed::default();
    }
    assert_eq!((pauses, counts(&scene)), (vec![5, 10, 20, 40], (0, 4, 4)));
}

#[test]
fn a_task_that_no_node_takes_in_time_goes_back_to_the_queue_uncounted() {
    let scene = not_started(Reason::Unschedulable).write(123);
    assert_eq!((is(&scene), counts(&scene)), ((State::Queued, Reason::Unschedulable), (0, 0, 1)));
    assert_eq!((&scene.status().admitted, scene.status().attempts.len()), (&None, 0));
}

/// The pauses after attempts that no node took, one after another.
fn pauses_of_what_no_node_takes(mut scene: Scene, times: i64) -> (Scene, Vec<i64>) {
    let mut pauses = vec![];
    for round in 0..times {
        let second = round * 1000;
        scene = scene.admit(second).launch(second);
        let pod = waits(Reason::Unschedulable)(scene.pod("p"));
        scene = scene.with(pod).write(second + 10).job_is(|job| job.gone = true).pod_is(gone).write(second + 121);
        let next = scene.status().next_attempt_at.as_ref().expect("a pause").0;
        pauses.push(next.duration_since(at(second + 121)).as_secs());
        scene.observed = Observed::default();
    }
    (scene, pauses)
}

#[test]
fn what_no_node_takes_again_and_again_waits_longer_and_longer_and_each_launch_has_its_number() {
    let (scene, pauses) = pauses_of_what_no_node_takes(queued(json!({})), 6);
    assert_eq!(pauses, [121, 242, 484, 968, 1800, 1800]);
    assert_eq!((counts(&scene), scene.status().attempts.len()), ((0, 0, 6), 0));
    let message = scene.status().message.as_deref();
    let until = "the slot was given back; tried again from 1970-01-12T15:42:01Z on";
    assert_eq!(message, Some(format!("said of Unschedulable; {until}").as_str()));
    let scene = scene.admit(9000).launch(9000);
    let pod = scene.pod("p");
    let scene = scene.with(exits(1)(pod)).write(9010);
    let (_, pauses) = pauses_of_what_no_node_takes(Scene { observed: Observed::default(), ..scene }, 1);
    assert_eq!(pauses, [121], "an attempt that ran begins the count anew");
}

#[test]
fn a_late_start_is_told_before_it_is_given_up_however_short_its_time() {
    let mut scene = running(json!({})).pod_is(waits(Reason::ImageUnavailable));
    scene.kind = Some(kind(json!({"startDeadlineSeconds": 1})));
    let scene = scene.write(2);
    assert_eq!(is(&scene), (State::Processing, Reason::ImageUnavailable));
    assert!(deletes_job(&scene, 3));
}

#[test]
fn what_started_in_time_is_not_given_up() {
    let scene = running(json!({})).pod_is(waits(Reason::ImageUnavailable)).write(10);
    let pod = scene.pod("p1");
    let scene = scene.pod_is(|_| pod).write(130);
    assert_eq!(is(&scene), (State::Processing, Reason::Running));
    assert!(scene.rests(131));
}

#[test]
fn work_that_begins_as_it_is_given_up_is_judged_by_its_own_end_or_as_given_up() {
    let scene = running(json!({})).pod_is(waits(Reason::ContainerConfig)).write(10);
    assert!(deletes_job(&scene, 120));
    let began = || {
        let scene = running(json!({})).pod_is(waits(Reason::ContainerConfig)).write(10);
        let pod = terminating(121)(scene.pod("p1"));
        scene.pod_is(|_| pod).job_is(|job| job.gone = true)
    };
    assert!(began().rests(122), "its grace is not over: {:?}", began().decide(122));
    assert!(began().rests(140), "that it runs is no news: {:?}", began().decide(140));
    let ended = |exit_code, second| {
        let scene = began().pod_is(exits(exit_code)).pod_is(|mut pod| {
            if let Work::Ended { at: ended, .. } = &mut pod.work {
                *ended = Some(at(second));
            }
            pod
        });
        let scene = scene.write(151);
        (is(&scene), counts(&scene))
    };
    assert_eq!(ended(143, 125), ((State::Queued, Reason::WaitingForRetry), (0, 1, 1)));
    assert_eq!(ended(5, 125), ((State::Queued, Reason::WaitingForRetry), (0, 1, 1)));
    assert_eq!(ended(5, 120), ((State::Queued, Reason::WaitingForRetry), (1, 0, 1)));
    assert_eq!(ended(0, 125), ((State::Completed, Reason::Succeeded), (0, 0, 1)));
}

#[test]
fn work_whose_image_is_missing_is_given_up_also_when_its_init_container_has_run() {
    let scene = running(json!({})).pod_is(|pod| waits(Reason::ImageUnavailable)(pod)).write(10);
    assert_eq!(scene.status().reason, Reason::ImageUnavailable);
    assert!(deletes_job(&scene, 120));
}

#[test]
fn a_run_is_told_after_ten_seconds_once() {
    let scene = running(json!({}));
    assert_eq!(scene.wakes(9), Some(10));
    let scene = scene.write(10);
    let status = scene.status();
    assert_eq!((status.reason, status.worker.as_deref()), (Reason::Running, Some("p1")));
    assert_eq!(status.started_at.as_ref().map(|time| time.0), Some(at(0)));
    assert!(status.message.as_ref().is_some_and(|message| message.contains("node-3")));
    assert_eq!(scene.wakes(11), Some(540), "a tenth before its timeout is over");
}

#[test]
fn anything_shorter_is_told_by_the_final_write_alone() {
    let scene = running(json!({})).pod_is(exits_leaving(0, Some(r#"{"pages": 10}"#))).write(6);
    let status = scene.status();
    assert_eq!((is(&scene), counts(&scene)), ((State::Completed, Reason::Succeeded), (0, 0, 1)));
    assert_eq!((status.result.clone(), status.result_truncated), (Some(json!({"pages": 10})), false));
    assert_eq!((status.worker.as_deref(), status.started_at.as_ref().map(|time| time.0)), (Some("p1"), Some(at(0))));
    assert_eq!((&status.admitted, status.finished_at.as_ref().map(|time| time.0)), (&None, Some(at(6))));
    let attempt = &status.attempts[0];
    assert_eq!((attempt.outcome, attempt.exit_code, attempt.node.as_deref()), (Succeeded, Some(0), Some("node-3")));
    assert_eq!(
        attempt.finished_at.as_ref().map(|time| time.0),
        Some(at(5)),
        "when the work ended, and not when it was seen"
    );
    assert_eq!(scene.condition("Complete"), Some(("True", "Succeeded")));
}

#[test]
fn a_result_that_its_pod_had_no_room_for_is_told_as_cut_off() {
    let left = "x".repeat(3072);
    let of =
        |containers| running(json!({})).pod_is(|pod| PodFacts { containers, ..exits_leaving(0, Some(&left))(pod) });
    assert!(of(4).writes(6).result_truncated);
    assert!(!of(3).writes(6).result_truncated);
}

#[test]
fn the_deadline_is_lowered_just_before_the_timeout_and_short_runs_cost_nothing() {
    let scene = running(json!({})).write(10);
    assert!(scene.rests(539));
    assert_eq!(ends_pod(&scene, 540), Some((Reason::Timeout, 601)));
    let scene = scene.pod_is(ended_for(Reason::Timeout, 601, 540));
    assert_eq!(scene.wakes(541), Some(601 + 30 + 60), "when it should long have ended");
    let timed_out = |exit_code, second| {
        let scene = running(json!({})).write(10).pod_is(ended_for(Reason::Timeout, 601, 540));
        let scene = scene.pod_is(killed_at(exit_code, second)).write(640);
        (scene.status().attempts[0].outcome, scene.status().attempts[0].reason)
    };
    assert_eq!(timed_out(143, 601), (Failed, Reason::Timeout));
    assert_eq!(timed_out(3, 603), (Failed, Reason::Timeout), "it ended by itself, in its grace");
    assert_eq!(timed_out(3, 600), (Failed, Reason::ExitCode), "it ended by itself, in time");
    assert_eq!(timed_out(0, 603), (Succeeded, Reason::Succeeded));
}

#[test]
fn the_pod_of_an_older_operator_is_ended_by_the_deadline_that_it_has() {
    let old = |pod: PodFacts| PodFacts { timeout_seconds: None, deadline_seconds: Some(600), ..pod };
    let scene = running(json!({})).pod_is(old).write(10);
    assert_eq!(scene.wakes(11), Some(690));
    let scene = scene.pod_is(killed_at(143, 600)).write(601);
    assert_eq!(outcomes(scene.status()), [(1, Failed, Reason::Timeout)]);
    assert!(
        scene.status().attempts[0].message.as_ref().is_some_and(|message| message.contains("timeoutSeconds, 600 s"))
    );
}

#[test]
fn a_pod_a_minute_past_its_deadline_and_grace_is_deleted_and_timed_out() {
    let scene = running(json!({})).write(10).pod_is(ended_for(Reason::Timeout, 601, 540));
    assert!(!deletes_job(&scene, 690) && deletes_job(&scene, 691));
    let scene = scene.job_is(|job| job.gone = true).pod_is(terminating(691));
    assert_eq!(scene.wakes(692), Some(721 + 61), "when its node counts as lost");
    let scene = scene.pod_is(gone).write(723);
    assert_eq!(outcomes(scene.status()), [(1, Failed, Reason::Timeout)]);
}

#[test]
fn where_the_end_of_a_pod_is_refused_it_is_deleted() {
    let refused = |pod: PodFacts| {
        let asked = PodAsked { end_refused: true, ..pod.asked };
        PodFacts { asked, ..pod }
    };
    let scene = running(json!({})).write(10).pod_is(refused);
    assert!(!deletes_job(&scene, 659) && deletes_job(&scene, 660), "a minute past its timeout");
    let cancelled = scene.edit(|spec| spec.cancel = true).write(100);
    assert!(deletes_job(&cancelled, 100));
}

/// Its work ended so at second 5, and a helper runs on.
fn helped(exit_code: i32) -> Scene {
    let beside = |runs| vec![crate::attempt::facts::container::Beside { container: "proxy".into(), runs }];
    running(json!({})).pod_is(|pod| PodFacts { phase: Phase::Running, beside: beside(true), ..exits(exit_code)(pod) })
}

#[test]
fn a_helper_that_runs_on_is_told_and_ended_ten_seconds_after_the_work() {
    for (exit_code, outcome, reason) in [(0, Succeeded, Reason::Succeeded), (3, Failed, Reason::ExitCode)] {
        let scene = helped(exit_code);
        assert_eq!(scene.wakes(6), Some(15));
        let scene = scene.write(15);
        let told = format!("the work ended with {exit_code}, container proxy still runs");
        assert_eq!(
            (is(&scene), scene.status().message.as_deref()),
            ((State::Processing, Reason::Stopping), Some(told.as_str()))
        );
        assert_eq!(ends_pod(&scene, 15), Some((Reason::Stopping, 1)));
        let scene = scene.pod_is(ended_for(Reason::Stopping, 1, 15));
        assert_eq!(scene.wakes(16), Some(15 + 30 + 60));
        assert!(deletes_job(&scene, 105));
        let ended =
            |pod| PodFacts { phase: Phase::Failed, reason: Some("DeadlineExceeded".into()), beside: vec![], ..pod };
        let scene = scene.pod_is(ended).write(20);
        assert_eq!(outcomes(scene.status()), [(1, outcome, reason)]);
        assert_eq!(scene.status().attempts[0].finished_at.as_ref().map(|time| time.0), Some(at(5)));
    }
}

#[test]
fn a_helper_that_ends_soon_after_the_work_is_waited_for() {
    let scene = helped(0);
    assert!(scene.rests(14));
    let ended = |pod| PodFacts { phase: Phase::Failed, beside: vec![], ..pod };
    assert_eq!(scene.pod_is(ended).writes(14).state, State::Completed);
}

#[test]
fn what_its_deadline_ends_anyhow_keeps_the_reason_for_that() {
    let scene = running(json!({})).write(10).pod_is(ended_for(Reason::Timeout, 601, 540));
    let beside = vec![crate::attempt::facts::container::Beside { container: "proxy".into(), runs: true }];
    let scene =
        scene.pod_is(|pod| PodFacts { phase: Phase::Running, beside, reason: None, ..killed_at(143, 601)(pod) });
    let scene = scene.pod_is(|pod| PodFacts { phase: Phase::Running, ..pod });
    assert!(scene.rests(630), "{:?}", scene.decide(630));
}

#[test]
fn a_job_that_failed_only_by_its_helpers_goes_once_its_record_is_there() {
    let ended = |pod| PodFacts { phase: Phase::Failed, beside: vec![], ..pod };
    let scene = helped(0).pod_is(ended).write(14);
    assert!(scene.rests(14), "its Job has not said how it ended");
    assert!(deletes_job(&scene.job_is(finished(false, 15)), 15));
    let badly = running(json!({"retry": {"limit": 0}})).pod_is(exits(1)).job_is(finished(false, 6)).write(7);
    assert!(badly.rests(8), "that one is kept for its log");
}

/// By a clock that is 100 s ahead of the cluster's.
fn seen_by_a_clock_ahead(mut scene: Scene) -> Scene {
    let observed = std::mem::take(&mut scene.observed);
    scene.observed.jobs = observed.jobs.into_iter().map(|job| job.first_seen(at(100))).collect();
    scene.observed.pods = observed.pods.into_iter().map(|pod| pod.first_seen(at(100))).collect();
    scene
}

#[test]
fn a_clock_that_is_ahead_gives_up_nothing_before_its_time() {
    let without_pod = seen_by_a_clock_ahead(launched(json!({})));
    assert_eq!(without_pod.wakes(100), Some(110));
    let told = without_pod.write(110);
    assert_eq!(is(&told), (State::Processing, Reason::PodNotCreated));
    assert!(!deletes_job(&told, 159) && deletes_job(&told, 160));

    let finished_unseen = seen_by_a_clock_ahead(launched(json!({})).job_is(finished(true, 0)));
    assert_eq!(finished_unseen.wakes(100), Some(105));

    let runs = seen_by_a_clock_ahead(running(json!({}))).write(110);
    assert!(!deletes_job(&runs, 909) && deletes_job(&runs, 910), "a minute past its deadline and grace");

    let in_its_grace = seen_by_a_clock_ahead(running(json!({})).pod_is(terminating(0)));
    assert_eq!(in_its_grace.wakes(111), Some(130 + 61));
    assert!(in_its_grace.rests(190));
    assert_eq!(outcomes(&in_its_grace.writes(191)), [(1, Disrupted, Reason::NodeLost)]);
}

#[test]
fn a_lost_node_is_given_up_a_minute_after_its_pod_should_be_gone() {
    let scene = running(json!({})).write(10).pod_is(terminating(100));
    assert!(scene.rests(190));
    let scene = scene.write(191);
    assert_eq!(outcomes(scene.status()), [(1, Disrupted, Reason::NodeLost)]);
}

/// Runs through attempts that all end so, until the task is final or 50 have passed.
fn attempts_that(end: fn(PodFacts) -> PodFacts, spec: serde_json::Value) -> Scene {
    let mut scene = queued(spec);
    for round in 0..50 {
        if scene.status().state.is_final() {
            break;
        }
        scene = scene.admit(round * 1000).launch(round * 1000);
        let pod = scene.pod("p");
        scene = scene.with(end(pod));
        while deletes_job(&scene, round * 1000 + 1) {
            scene.observed.jobs.remove(0);
        }
        scene = scene.write(round * 1000 + 1);
        scene.observed = Observed::default();
    }
    scene
}

#[test]
fn the_retry_limit_is_exact() {
    for limit in [0, 1, 2, 5] {
        let scene = attempts_that(|pod| exits(1)(pod), json!({"retry": {"limit": limit}}));
        assert_eq!((is(&scene), counts(&scene)), ((State::Failed, Reason::ExitCode), (limit + 1, 0, limit + 1)));
        assert!(scene.status().message.as_ref().is_some_and(|message| message.contains("retries used up")));
    }
}

#[test]
fn the_disruption_limit_is_exact_and_counts_apart() {
    for limit in [0, 1, 4] {
        let scene = attempts_that(evicted, json!({"retry": {"limit": 0, "disruptionLimit": limit}}));
        assert_eq!((is(&scene), counts(&scene)), ((State::Failed, Reason::Evicted), (0, limit + 1, limit + 1)));
    }
}

#[test]
fn a_status_keeps_the_last_ten_attempts() {
    let scene = attempts_that(|pod| exits(1)(pod), json!({"retry": {"limit": 14}}));
    let numbers: Vec<i32> = scene.status().attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, (6..=15).collect::<Vec<_>>());
}

#[test]
fn memory_does_not_shrink_when_an_old_attempt_is_no_longer_listed() {
    let out_of_memory = |pod: PodFacts| PodFacts { out_of_memory: killed("work"), ..exits(137)(pod) };
    let retry = json!({"retry": {"limit": 50, "oomMemoryFactor": 2}});
    let scene = running(retry).pod_is(out_of_memory).write(20);
    let asked = |scene: &Scene| scene.status().admitted.as_ref().expect("a slot").resources["memory"].0.clone();
    let mut scene = scene.admit(100);
    let grown = asked(&scene);
    assert_eq!(grown, "256Mi");
    for round in 2..15 {
        scene.observed = Observed::default();
        scene = scene.launch(round * 100);
        let pod = scene.pod("p");
        scene = scene.with(exits(1)(pod)).write(round * 100 + 1).admit(round * 100 + 99);
    }
    assert_eq!(asked(&scene), grown);
}

#[test]
fn a_permanent_error_is_not_tried_again() {
    let left = Some(r#"{"error": {"type": "BadInput", "message": "no such page", "retryable": false}}"#);
    let scene = running(json!({})).pod_is(exits_leaving(1, left)).write(6);
    assert_eq!((is(&scene), counts(&scene)), ((State::Failed, Reason::ReportedError), (1, 0, 1)));
    assert_eq!(scene.status().message.as_deref(), Some("BadInput: no such page; not tried again"));
}

#[test]
fn a_rule_of_the_type_decides() {
    let rules =
        json!({"failureRules": [{"exitCodes": [64], "action": "Fail"}, {"exitCodes": [75], "action": "Ignore"}]});
    for (code, expected) in [(64, (State::Failed, 1, 0)), (75, (State::Queued, 0, 1)), (1, (State::Queued, 1, 0))] {
        let mut scene = running(json!({})).pod_is(exits(code));
        scene.kind = Some(kind(rules.clone()));
        let status = scene.writes(6);
        assert_eq!((status.state, status.failures, status.disruptions), expected, "exit code {code}");
    }
}

#[test]
fn each_failure_pauses_longer_and_disruptions_have_their_own_count() {
    let scene = running(json!({})).pod_is(evicted).write(20);
    let pause =
        |scene: &Scene, now: i64| scene.status().next_attempt_at.as_ref().expect("a time").0.duration_since(at(now));
    let retry = crate::Policy::of(&scene.task.spec, scene.kind.as_ref().map(|kind| &kind.spec)).retry;
    assert_eq!(pause(&scene, 20), backoff::pause(&retry, 1, "uid-1", 1));
    let mut scene = scene.admit(50);
    scene.observed = Observed::default();
    let scene = scene.launch(50);
    let pod = scene.pod("p2");
    let scene = scene.with(exits(1)(pod)).write(60);
    assert_eq!(
        pause(&scene, 60),
        backoff::pause(&retry, 1, "uid-1", 2),
        "the first failure, though the second attempt"
    );
    assert!(scene.status().message.as_ref().is_some_and(|message| message.contains("attempt 2: ExitCode")));
}

#[test]
fn a_retry_gives_the_slot_back_and_keeps_its_arrival() {
    let scene = running(json!({})).write(10).pod_is(exits(1)).write(20);
    let status = scene.status();
    assert_eq!((&status.admitted, &status.started_at, &status.worker), (&None, &None, &None));
    assert_eq!(status.arrival.as_deref(), Some("100"));
    assert_eq!(scene.condition("Admitted"), Some(("False", "WaitingForRetry")));
}

#[test]
fn the_job_before_is_removed_once_the_next_one_is_there() {
    let scene = running(json!({})).pod_is(exits(1)).job_is(finished(false, 6)).write(7).admit(100);
    assert_eq!(scene.decide(100).action, Action::Launch);
    let before = scene.observed.jobs[0].uid.clone();
    let mut scene = scene.launch(100);
    assert!(
        matches!(scene.decide(101).action, Action::Delete(Deletion { child: Child::Job, uid, .. }) if uid == before)
    );
    scene.observed.jobs[0].gone = true;
    assert!(scene.rests(102));
}

#[test]
fn nothing_is_launched_while_something_of_another_run_may_run() {
    // A launch whose answer was lost, and then another run.
    let scene = launched(json!({}));
    let of_run_1 = scene.job(0);
    let pod_of_run_1 = scene.pod("p1");
    let mut scene = scene.edit(|spec| spec.run_id = "2".into());
    scene.observed = Observed::default();
    let mut scene = scene.write(1).admit(2);
    scene.observed.jobs.push(of_run_1);
    assert!(deletes_job(&scene, 3), "{:?}", scene.decide(3).action);
    scene.observed.jobs[0].gone = true;
    scene.observed.pods.push(pod_of_run_1);
    assert_ne!(scene.decide(4).action, Action::Launch, "its pod runs on");
    scene.observed.pods[0].gone_at = Some(at(4));
    assert_eq!(scene.decide(5).action, Action::Launch);
}

#[test]
fn of_two_pods_of_one_job_the_one_that_runs_counts() {
    let scene = running(json!({})).write(10);
    let second = PodFacts { created_at: at(5), ..gone(scene.pod("p2")) };
    assert!(scene.with(PodFacts { gone_at: None, phase: Phase::Failed, ..exits(1)(second) }).rests(20), "p1 runs on");
}

#[test]
fn a_cancelled_task_says_so_and_is_cancelled_only_when_its_pod_has_ended() {
    let scene = running(json!({})).write(10).edit(|spec| spec.cancel = true).write(20);
    assert_eq!((is(&scene), scene.status().admitted.is_some()), ((State::Processing, Reason::Stopping), true));
    assert_eq!(ends_pod(&scene, 20), Some((Reason::Cancelled, 1)));
    let scene = scene.pod_is(ended_for(Reason::Cancelled, 1, 20));
    assert_eq!(scene.wakes(22), Some(20 + 30 + 60));
    assert!(deletes_job(&scene, 110));
    let deleted = Scene { observed: scene.observed.clone(), task: scene.task.clone(), ..running(json!({})) };
    let deleted = deleted.job_is(|job| job.gone = true);
    assert!(deletes_pod(&deleted, 110));
    assert_eq!(deleted.pod_is(terminating(110)).wakes(111), Some(140 + 61));
    let scene = scene.pod_is(killed_at(143, 25)).write(30);
    assert_eq!((is(&scene), counts(&scene)), ((State::Cancelled, Reason::Cancelled), (0, 0, 1)));
    assert_eq!((outcomes(scene.status()), &scene.status().admitted), (vec![(1, Cancelled, Reason::Cancelled)], &None));
}

#[test]
fn a_task_that_is_cancelled_before_its_launch_made_no_attempt_to_speak_of() {
    let scene = with_slot(json!({})).edit(|spec| spec.cancel = true).write(1);
    assert_eq!((is(&scene), scene.status().attempts.len()), ((State::Cancelled, Reason::Cancelled), 0));
}

#[test]
fn a_pod_that_was_made_in_the_name_of_a_job_before_it_was_there_is_not_believed() {
    let forged =
        |scene: &Scene| PodFacts { owner: Some("guessed".into()), ..exits_leaving(0, Some("forged"))(scene.pod("p0")) };
    let scene = with_slot(json!({}));
    let pod = forged(&scene);
    let scene = scene.with(pod);
    assert_eq!(scene.decide(1).action, Action::Launch);
    let scene = scene.launch(1);
    assert!(scene.rests(2), "{:?}", scene.decide(2));
    let pod = scene.pod("p1");
    let status = scene.with(exits_leaving(0, Some("true"))(pod)).writes(6);
    assert_eq!((status.result, status.worker.as_deref()), (Some(json!(true)), Some("p1")));
}

#[test]
fn a_pod_that_was_made_in_the_name_of_a_job_that_is_not_there_ends_before_anything_is_launched() {
    let scene = with_slot(json!({}));
    let pod = PodFacts { owner: Some("guessed".into()), ..scene.pod("p0") };
    let scene = scene.with(pod);
    assert!(deletes_pod(&scene, 1));
    assert_eq!(standing(&scene.task, &scene.observed, "uid of p0", None), Standing::Unproven);
    assert_eq!(scene.pod_is(gone).decide(2).action, Action::Launch);
}

#[test]
fn a_pod_whose_job_nobody_remembers_is_believed_where_the_status_names_it() {
    let mut scene = running(json!({})).write(10);
    scene.observed.jobs.clear();
    assert!(scene.rests(20), "it runs on");
    assert_eq!(scene.pod_is(exits_leaving(0, Some("7"))).writes(30).result, Some(json!(7)));
}

#[test]
fn of_two_pods_of_one_job_that_have_ended_the_first_counts() {
    let scene = running(json!({})).pod_is(exits_leaving(0, Some("1")));
    let second = PodFacts { created_at: at(1), ..scene.pod("p2") };
    let status = scene.with(exits_leaving(0, Some("2"))(second)).writes(6);
    assert_eq!(status.result, Some(json!(1)));
}

#[test]
fn a_command_that_does_not_exist_fails_for_good_without_an_exit_code() {
    let no_such_command = |pod: PodFacts| PodFacts {
        phase: Phase::Failed,
        work: Work::NotStarted,
        not_startable: Some("container work: StartError: no such file".into()),
        ..pod
    };
    let scene = running(json!({})).pod_is(no_such_command).write(2);
    assert_eq!((is(&scene), counts(&scene)), ((State::Failed, Reason::ContainerConfig), (1, 0, 1)));
    let message = scene.status().message.as_deref();
    assert_eq!(message, Some("container work: StartError: no such file; not tried again"));
    assert_eq!(scene.status().attempts[0].exit_code, None);
}

#[test]
fn a_result_that_was_cut_off_is_told_with_what_to_do() {
    let scene = running(json!({})).pod_is(exits_leaving(0, Some(&"x".repeat(4096)))).write(6);
    assert_eq!((is(&scene), scene.status().result_truncated), ((State::Completed, Reason::Succeeded), true));
    let complete = scene.status().conditions.iter().find(|seen| seen.type_ == "Complete").expect("a condition");
    assert!(complete.message.contains("PUT /worker/v1/result"), "{}", complete.message);
    assert_eq!(scene.status().message.as_deref(), Some(complete.message.as_str()));
}

#[test]
fn what_follows_is_told_however_long_the_works_own_words_are() {
    let left = json!({"error": {"message": "word ".repeat(500), "retryable": false}}).to_string();
    let message = running(json!({})).pod_is(exits_leaving(1, Some(&left))).writes(6).message.expect("a message");
    assert!(message.ends_with("word…; not tried again") && message.chars().count() <= 1024, "{message}");
}

#[test]
fn an_attempt_that_was_being_stopped_is_on_the_list_though_nothing_of_it_is_left() {
    let mut scene = running(json!({})).edit(|spec| spec.cancel = true).write(20);
    assert!(ends_pod(&scene, 20).is_some(), "what follows may be all that is seen of it");
    scene.observed = Observed::default();
    assert_eq!(outcomes(scene.write(30).status()), vec![(1, Cancelled, Reason::Cancelled)]);
}

#[test]
fn work_that_ends_well_after_it_was_cancelled_is_cancelled() {
    let scene = running(json!({})).edit(|spec| spec.cancel = true).pod_is(exits(0)).write(20);
    assert_eq!(is(&scene), (State::Cancelled, Reason::Cancelled));
}

#[test]
fn another_run_waits_until_the_pod_of_the_present_one_has_ended() {
    let scene = running(json!({})).write(10).edit(|spec| spec.run_id = "2".into()).write(20);
    assert_eq!(ends_pod(&scene, 20), Some((Reason::Superseded, 1)));
    let scene = scene.pod_is(ended_for(Reason::Superseded, 1, 20));
    assert_eq!((is(&scene), scene.status().run_id.as_deref()), ((State::Processing, Reason::Stopping), Some("1")));
    let scene = scene.pod_is(gone).write(30);
    assert_eq!((is(&scene), scene.status().run_id.as_deref()), ((State::Queued, Reason::Queued), Some("2")));
    assert_eq!(counts(&scene), (0, 0, 0));
}

#[test]
fn work_that_runs_past_the_tasks_deadline_is_ended_and_fails() {
    let scene = running(json!({"deadlineSeconds": 100})).write(10);
    assert_eq!(scene.wakes(99), Some(100));
    let scene = scene.write(100);
    assert_eq!(ends_pod(&scene, 100), Some((Reason::DeadlineExceeded, 1)));
    let scene = scene.pod_is(ended_for(Reason::DeadlineExceeded, 1, 100)).pod_is(killed_at(143, 101)).write(102);
    assert_eq!((is(&scene), counts(&scene)), ((State::Failed, Reason::DeadlineExceeded), (0, 0, 1)));
}

#[test]
fn work_that_succeeded_is_not_thrown_away_for_a_deadline() {
    let scene = running(json!({"deadlineSeconds": 100})).write(10);
    assert_eq!(scene.pod_is(exits(0)).writes(101).state, State::Completed);
    let unseen = launched(json!({"deadlineSeconds": 100})).job_is(finished(true, 50));
    assert_eq!((unseen.writes(101).state, unseen.writes(101).reason), (State::Completed, Reason::ResultLost));
}

#[test]
fn a_succeeded_attempt_whose_pod_is_gone_is_completed_and_never_run_again() {
    let scene = launched(json!({})).job_is(finished(true, 10));
    assert_eq!(scene.wakes(12), Some(15), "its pod may only not have been seen");
    let scene = scene.write(15);
    assert_eq!((is(&scene), counts(&scene)), ((State::Completed, Reason::ResultLost), (0, 0, 1)));
    assert_eq!(outcomes(scene.status()), [(1, Succeeded, Reason::ResultLost)]);
}

#[test]
fn a_failed_job_whose_pod_is_gone_is_a_disruption() {
    let scene = launched(json!({})).job_is(finished(false, 10)).write(15);
    assert_eq!(outcomes(scene.status()), [(1, Disrupted, Reason::PodDeleted)]);
}

#[test]
fn what_ran_and_left_no_trace_is_not_launched_again_under_the_same_number() {
    let mut scene = running(json!({})).write(10);
    scene.observed = Observed::default();
    let scene = scene.write(20);
    assert_eq!((outcomes(scene.status()), counts(&scene)), (vec![(1, Disrupted, Reason::JobDeleted)], (0, 1, 1)));
    let attempt = &scene.status().attempts[0];
    assert_eq!((attempt.started_at.as_ref().map(|time| time.0), attempt.pod.as_deref()), (Some(at(0)), Some("p1")));
}

#[test]
fn a_wake_lies_ahead_also_when_a_job_outlives_its_lost_pod() {
    let stuck = running(json!({})).write(10).edit(|spec| spec.cancel = true).job_is(|job| job.deleting = true);
    let given_up =
        running(json!({})).pod_is(waits(Reason::ImageUnavailable)).write(10).job_is(|job| job.deleting = true);
    for scene in [stuck, given_up.pod_is(terminating(10))] {
        for second in [130, 200, 5000] {
            let decision = scene.decide(second);
            assert!(decision.wake.is_none_or(|wake| wake > at(second)), "{decision:?} at {second}");
        }
    }
}

#[test]
fn a_type_that_is_deleted_meanwhile_does_not_harm_what_runs() {
    let mut scene = running(json!({})).write(10);
    (scene.kind, scene.queue) = (None, None);
    assert!(scene.rests(20));
    assert_eq!(scene.pod_is(exits(0)).writes(30).state, State::Completed);
}

#[test]
fn no_status_and_no_child_makes_a_decision_panic() {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
    for time in [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH] {
        for number in [i32::MIN, -1, i32::MAX] {
            for state in [State::Queued, State::Processing, State::Completed] {
                let mut scene = running(json!({"deadlineSeconds": 31_536_000, "ttlSecondsAfterFinished": 31_536_000}));
                let written = Some(MicroTime(time));
                scene.set(TaskStatus {
                    state,
                    run_id: Some("1".into()),
                    attempt: number,
                    failures: number,
                    disruptions: number,
                    queued_at: written.clone(),
                    admitted_at: written.clone(),
                    started_at: written.clone(),
                    finished_at: written.clone(),
                    next_attempt_at: written,
                    ..TaskStatus::default()
                });
                let pod = PodFacts {
                    created_at: time,
                    started_at: Some(time),
                    due_gone_at: Some(time),
                    deleted_at: Some(time),
                    ..scene.pod("p")
                };
                let starts = PodFacts { work: Work::NotStarted, ..pod.clone() };
                let ended = exits(1)(PodFacts { deleted_at: None, ..pod.clone() });
                let job = crate::attempt::facts::JobFacts { created_at: time, ..scene.job(0) };
                let mut done = job.clone();
                finished(false, 0)(&mut done);
                done.finished = done.finished.map(|end| crate::attempt::facts::JobEnd { at: time, ..end });
                for (jobs, pods) in [
                    (vec![], vec![]),
                    (vec![job.clone()], vec![]),
                    (vec![done], vec![]),
                    (vec![job.clone()], vec![pod]),
                    (vec![job.clone()], vec![starts]),
                    (vec![job], vec![ended]),
                ] {
                    scene.observed = Observed { jobs, pods, ..Observed::default() };
                    let _ = scene.decide(0);
                }
                let _ = scene.admit(0);
            }
        }
    }
}

#[test]
fn a_deadline_before_the_work_began_is_judged_by_what_it_waited_for() {
    let overdue = |pod: PodFacts| PodFacts {
        phase: Phase::Failed,
        reason: Some("DeadlineExceeded".into()),
        waiting: None,
        work: Work::NotStarted,
        ..pod
    };
    let scene = launched(json!({}));
    let pod = waits(Reason::ImageUnavailable)(scene.pod("p1"));
    let scene = scene.with(pod).write(11).pod_is(overdue).write(721);
    assert_eq!((outcomes(scene.status()), counts(&scene)), (vec![(1, Disrupted, Reason::ImageUnavailable)], (0, 1, 1)));
    let silent = launched(json!({}));
    let pod = overdue(silent.pod("p1"));
    let scene = silent.with(pod).write(721);
    assert_eq!(outcomes(scene.status()), [(1, Disrupted, Reason::StartTimeout)], "nobody knows why");
    let told = "its pod was ended 720 s after its start, startDeadlineSeconds and timeoutSeconds together";
    assert_eq!(scene.status().attempts[0].message.as_deref(), Some(told));
    let lowered = launched(json!({}));
    let pod = PodFacts { deadline_seconds: Some(30), ..overdue(lowered.pod("p1")) };
    let scene = lowered.with(pod).write(31);
    assert_eq!(outcomes(scene.status()), [(1, Disrupted, Reason::PodDeleted)], "a stranger's deadline");
}
