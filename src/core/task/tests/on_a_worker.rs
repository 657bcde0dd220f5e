use serde_json::json;

use super::scene::*;
use crate::attempt::facts::worker::{HandedOut, Outcome, ToldToStop, Word, WorkerFacts};
use crate::attempt::facts::{NodeState, Phase, PodFacts, Why};
use crate::attempt::id::AttemptId;
use crate::attempt::needs::Needs;
use crate::attempt::reports::{Report, Reports};
use crate::task::*;
use task_manager_api::{AdmittedWorker, AttemptOutcome, Progress, ReportedError};

/// A worker that was given the task at second 0, and does not share its pod.
fn worker(scene: &Scene) -> WorkerFacts {
    let pod = PodFacts { name: "warm-1".into(), uid: "uid of warm-1".into(), ..scene.pod("warm-1") };
    WorkerFacts {
        pod: Some(pod),
        holds_others: false,
        handed_out: HandedOut::At { first: at(0), times: 1 },
        word: None,
        told_to_stop: None,
        replaced_for: None,
        outlived_oom: false,
        heartbeat: 10,
    }
}

/// Admitted to a worker at second 0.
fn on_a_worker(spec: serde_json::Value) -> Scene {
    let mut scene = queued(spec);
    scene.kind = Some(kind(json!({"executor": "Pool", "workerPool": "warm", "template": null})));
    let mut scene = scene.admit(0);
    let mut status = scene.status().clone();
    let admitted = status.admitted.as_mut().expect("a slot");
    admitted.executor = Some("Pool".into());
    admitted.worker = Some(AdmittedWorker { pool: "warm".into(), uid: "uid of warm-1".into(), slot: 0, beats: true });
    status.worker = Some("warm-1".into());
    scene.set(status);
    scene.observed.worker = Some(worker(&scene));
    scene
}

fn changed(mut scene: Scene, change: impl FnOnce(&mut WorkerFacts)) -> Scene {
    change(scene.observed.worker.as_mut().expect("a worker"));
    scene
}

fn says(outcome: Outcome) -> impl FnOnce(&mut WorkerFacts) {
    move |worker| worker.word = Some(Word { at: at(5), outcome, log: None })
}

fn pod_is(change: impl FnOnce(PodFacts) -> PodFacts) -> impl FnOnce(&mut WorkerFacts) {
    move |worker| worker.pod = worker.pod.take().map(change)
}

fn told(why: Reason, fetched_at: Option<i64>) -> impl FnOnce(&mut WorkerFacts) {
    move |worker| worker.told_to_stop = Some(ToldToStop { why, since: at(20), fetched_at: fetched_at.map(at) })
}

#[test]
fn the_progress_of_a_worker_is_written_once_in_half_a_minute_at_most() {
    let said = |mut scene: Scene, percent| {
        let mut reports = Reports::none(AttemptId::of(&scene.task), "uid of warm-1");
        reports.take(Report::Progress(Progress { percent: Some(percent), ..Progress::default() }));
        scene.observed.reports = Some(reports);
        scene
    };
    let percent = |scene: &Scene| scene.status().progress.as_ref().and_then(|progress| progress.percent);
    let scene = said(on_a_worker(json!({})), 10).write(10);
    assert_eq!(percent(&scene), Some(10), "in one write with that it runs");
    let scene = said(scene, 20);
    assert_eq!(scene.wakes(11), Some(40));
    assert_eq!(percent(&scene.write(40)), Some(20));
}

fn ends(scene: Scene, second: i64) -> (State, Vec<(i32, AttemptOutcome, Reason)>) {
    let scene = scene.write(second);
    (scene.status().state, outcomes(scene.status()))
}

#[test]
fn what_a_worker_hands_in_is_the_end_of_the_task() {
    let done = changed(on_a_worker(json!({})), says(Outcome::Done(Some(r#"{"pages":10}"#.into()))));
    let done = done.write(6);
    assert_eq!((done.status().state, &done.status().result), (State::Completed, &Some(json!({"pages": 10}))));
    assert_eq!(done.status().attempts[0].pod.as_deref(), Some("warm-1"));
    let said = |retryable| ReportedError { type_: Some("Broken".into()), message: None, retryable };
    let failed = |retryable, exit_code| Outcome::Failed { error: said(retryable), exit_code, ended_for: None };
    let retried = changed(on_a_worker(json!({})), says(failed(None, None)));
    assert_eq!(ends(retried, 6), (State::Queued, vec![(1, AttemptOutcome::Failed, Reason::ReportedError)]));
    let ended_for =
        |why| Outcome::Failed { error: ReportedError::default(), exit_code: Some(143), ended_for: Some(why) };
    let overdue = changed(on_a_worker(json!({})), says(ended_for(Reason::Timeout)));
    assert_eq!(ends(overdue, 6), (State::Queued, vec![(1, AttemptOutcome::Failed, Reason::Timeout)]));
    let given_up = changed(on_a_worker(json!({})), says(ended_for(Reason::WorkerLost)));
    assert_eq!(ends(given_up, 6), (State::Queued, vec![(1, AttemptOutcome::Disrupted, Reason::WorkerLost)]));
    let for_good = changed(on_a_worker(json!({})), says(failed(Some(false), None)));
    assert_eq!(ends(for_good, 6).0, State::Failed);
    let mut ruled = changed(
        on_a_worker(json!({})),
        says(Outcome::Failed { error: ReportedError::default(), exit_code: Some(64), ended_for: None }),
    );
    let pool = json!({"executor": "Pool", "workerPool": "warm", "template": null, "failureRules": [{"exitCodes": [64], "action": "Fail"}]});
    ruled.kind = Some(kind(pool));
    assert_eq!(ends(ruled, 6), (State::Failed, vec![(1, AttemptOutcome::Failed, Reason::ExitCode)]));
}

#[test]
fn whose_fault_the_end_of_a_worker_is_depends_on_who_ended_it_and_what_it_held() {
    let lost = (State::Queued, vec![(1, AttemptOutcome::Disrupted, Reason::WorkerLost)]);
    let failed = |reason| (State::Queued, vec![(1, AttemptOutcome::Failed, reason)]);
    let killed = |pod| PodFacts { out_of_memory: killed("work"), ..exits(137)(pod) };
    let ended = |change: fn(&mut WorkerFacts)| ends(changed(on_a_worker(json!({})), change), 30);
    assert_eq!(ended(|worker| pod_is(exits(1))(worker)), failed(Reason::ExitCode));
    assert_eq!(ended(|worker| pod_is(exits(0))(worker)), failed(Reason::ExitCode), "it never handed the task in");
    assert_eq!(ends(changed(on_a_worker(json!({})), pod_is(killed)), 30), failed(Reason::OOMKilled));
    let after_another = changed(changed(on_a_worker(json!({})), pod_is(killed)), |worker| worker.outlived_oom = true);
    assert_eq!(ends(after_another, 30), failed(Reason::ExitCode), "the runtime may speak of another task");
    assert_eq!(ended(|worker| pod_is(evicted)(worker)), lost);
    assert_eq!(ended(|worker| pod_is(|pod| gone(terminating(5)(pod)))(worker)), lost);
    assert_eq!(ended(|worker| worker.pod = None), lost, "the API server has no such pod");
    let sharing = |worker: &mut WorkerFacts| {
        worker.holds_others = true;
        pod_is(exits(1))(worker);
    };
    assert_eq!(ended(sharing), lost, "nobody knows which of its tasks ended it");
    let silent = |worker: &mut WorkerFacts| {
        worker.replaced_for = Some(Why::new(Reason::WorkerLost, "it was not heard for 25 s"));
        pod_is(exits(143))(worker);
    };
    assert_eq!(ended(silent), lost);
}

#[test]
fn a_worker_that_ends_with_0_when_it_is_drained_has_failed_nothing() {
    let lost = (State::Queued, vec![(1, AttemptOutcome::Disrupted, Reason::WorkerLost)]);
    for drained in [|pod| evicted(exits(0)(pod)), |pod| terminating(3)(exits(0)(pod))] {
        let drained = |pod| PodFacts { phase: Phase::Succeeded, ..exits_at_5(0)(drained(pod)) };
        assert_eq!(ends(changed(on_a_worker(json!({})), pod_is(drained)), 30), lost);
    }
    let after_its_end = |pod| terminating(9)(exits(0)(pod));
    let failed = (State::Queued, vec![(1, AttemptOutcome::Failed, Reason::ExitCode)]);
    assert_eq!(ends(changed(on_a_worker(json!({})), pod_is(after_its_end)), 30), failed);
}

fn exits_at_5(exit_code: i32) -> impl FnOnce(PodFacts) -> PodFacts {
    move |pod| PodFacts { disrupted_at: pod.disruption.is_some().then(|| at(3)), ..exits(exit_code)(pod) }
}

#[test]
fn a_worker_whose_container_has_ended_beside_another_has_ended() {
    let beside = |exit_code| pod_is(move |pod| PodFacts { phase: Phase::Running, ..exits(exit_code)(pod) });
    let failed = (State::Queued, vec![(1, AttemptOutcome::Failed, Reason::ExitCode)]);
    for exit_code in [0, 1] {
        assert_eq!(ends(changed(on_a_worker(json!({})), beside(exit_code)), 6), failed);
    }
}

#[test]
fn of_several_tasks_none_is_counted_for_the_end_of_their_worker_and_its_exit_code_tells_so() {
    for exit_code in [0, 1, 137] {
        let scene = changed(on_a_worker(json!({})), |worker| {
            worker.holds_others = true;
            pod_is(exits(exit_code))(worker);
        });
        let scene = scene.write(30);
        let ended = &scene.status().attempts[0];
        assert_eq!((ended.reason, ended.exit_code), (Reason::WorkerLost, Some(exit_code)));
        assert!(crate::attempt::lease::runs_alone(scene.status()));
    }
}

#[test]
fn work_whose_worker_had_to_be_ended_for_its_time_is_counted_as_timeout() {
    let overdue = |end: fn(PodFacts) -> PodFacts| {
        changed(changed(on_a_worker(json!({})), told(Reason::Timeout, None)), pod_is(end))
    };
    let timeout = (State::Queued, vec![(1, AttemptOutcome::Failed, Reason::Timeout)]);
    assert_eq!(ends(overdue(|pod| gone(terminating(700)(pod))), 731), timeout);
    assert_eq!(ends(overdue(|pod| terminating(3)(exits(143)(pod))), 731), timeout);
    let replaced = changed(overdue(|pod| terminating(3)(exits(143)(pod))), |worker| {
        worker.replaced_for = Some(Why::new(Reason::WorkerLost, "it went on with a task that was to stop"));
    });
    assert_eq!(ends(replaced, 731), timeout, "its own pool replaces it for that");
    let lost = (State::Queued, vec![(1, AttemptOutcome::Disrupted, Reason::WorkerLost)]);
    let beside = changed(on_a_worker(json!({})), pod_is(|pod| terminating(3)(exits(143)(pod))));
    assert_eq!(ends(beside, 731), lost, "another task on the same worker");
}

#[test]
fn a_worker_on_a_node_that_does_not_answer_is_given_up_when_its_pod_should_long_be_gone() {
    let mut scene = changed(on_a_worker(json!({})).write(20), pod_is(terminating(5)));
    scene.observed.worker.as_mut().expect("a worker").pod.as_mut().expect("a pod").node = Some("node-3".into());
    assert_eq!(needs(&scene.input(), at(90)), Needs::Nothing);
    assert_eq!(needs(&scene.input(), at(96)), Needs::Node("node-3".into()));
    let mut input = scene.input();
    input.node_is("node-3", NodeState::Answers);
    let Action::Write(told) = decide(&input, at(96)).action else { panic!("its node is only slow, and that is told") };
    let message = told.message.as_deref().unwrap_or_default();
    assert!(
        told.attempts.is_empty() && message.contains("node-3 answers, and has not ended the worker warm-1"),
        "{message}"
    );
    input.node_is("node-3", NodeState::Silent);
    let Action::Write(status) = decide(&input, at(96)).action else { panic!("it is over") };
    assert_eq!(outcomes(&status), [(1, AttemptOutcome::Disrupted, Reason::WorkerLost)]);
}

#[test]
fn the_log_that_was_handed_in_is_kept_of_attempts_that_failed() {
    let failed = |limit| {
        let error = Outcome::Failed { error: ReportedError::default(), exit_code: Some(1), ended_for: None };
        changed(on_a_worker(json!({"retry": {"limit": limit}})), |worker| {
            worker.word = Some(Word { at: at(5), outcome: error, log: Some("no such page".into()) });
        })
    };
    let last = failed(0).records(6);
    assert_eq!((last.log.as_deref(), last.log_of), (Some("no such page"), None));
    let (scene, away) = (failed(0), last.meanwhile.expect("a status"));
    assert!(!keeps_handed_in_log(&scene.task, &last.then), "its record has it");
    assert!(keeps_handed_in_log(&scene.task, &away), "the archive is away");
    let scene = failed(1);
    assert!(keeps_handed_in_log(&scene.task, &scene.writes(6)), "another attempt follows");
    let done = changed(on_a_worker(json!({})), |worker| {
        worker.word = Some(Word { at: at(5), outcome: Outcome::Done(None), log: Some("page 1".into()) });
    });
    assert_eq!(done.records(6).log, None, "as of a Job");
    assert!(!keeps_handed_in_log(&done.task, &done.writes(6)));
}

#[test]
fn a_worker_that_asks_again_and_again_while_it_holds_the_task_has_failed_it() {
    let times =
        |times| changed(on_a_worker(json!({})), |worker| worker.handed_out = HandedOut::At { first: at(0), times });
    assert_eq!(times(5).decide(6).action, Action::Rest);
    assert_eq!(ends(times(6), 6), (State::Queued, vec![(1, AttemptOutcome::Failed, Reason::WorkerRestarted)]));
}

#[test]
fn a_task_is_handed_out_only_when_nothing_else_of_it_runs() {
    let not_yet = || changed(on_a_worker(json!({})), |worker| worker.handed_out = HandedOut::NotYet);
    assert_eq!(not_yet().decide(0).action, Action::Launch);
    let mut scene = not_yet();
    let earlier = scene.job(0);
    scene.observed.jobs.push(earlier.clone());
    let Action::Delete(deletion) = scene.decide(0).action else { panic!("the Job goes first") };
    assert_eq!(deletion.uid, earlier.uid);
}

#[test]
fn a_worker_that_went_before_it_was_given_the_task_costs_no_attempt() {
    let scene = changed(on_a_worker(json!({})), |worker| {
        worker.handed_out = HandedOut::NotYet;
        worker.pod = None;
    });
    let scene = scene.write(3);
    assert_eq!((scene.status().state, scene.status().attempt, scene.status().disruptions), (State::Queued, 0, 0));
}

#[test]
fn a_cancel_reaches_the_worker_and_is_written_when_it_has_stopped() {
    let scene = on_a_worker(json!({})).edit(|spec| spec.cancel = true).write(20);
    assert_eq!(scene.status().reason, Reason::Stopping);
    assert_eq!(scene.decide(20).action, Action::TellWorker(Reason::Cancelled));
    let asked = |fetched| {
        changed(on_a_worker(json!({})).edit(|spec| spec.cancel = true).write(20), told(Reason::Cancelled, fetched))
    };
    assert_eq!(asked(None).decide(34).action, Action::Rest, "a heartbeat and five seconds");
    assert!(matches!(asked(None).decide(35).action, Action::Delete(Deletion { child: Child::Pod, .. })));
    assert_eq!(asked(Some(30)).decide(59).action, Action::Rest, "its grace");
    assert!(matches!(asked(Some(30)).decide(60).action, Action::Delete(_)));
    let stopped = changed(
        asked(Some(30)),
        says(Outcome::Failed { error: ReportedError::default(), exit_code: Some(143), ended_for: None }),
    );
    assert_eq!(ends(stopped, 40), (State::Cancelled, vec![(1, AttemptOutcome::Cancelled, Reason::Cancelled)]));
}

#[test]
fn a_cancel_before_the_hand_out_needs_no_worker() {
    let scene = changed(on_a_worker(json!({})), |worker| worker.handed_out = HandedOut::NotYet);
    let scene = changed(scene.edit(|spec| spec.cancel = true).write(20), told(Reason::Cancelled, None));
    assert_eq!(ends(scene, 21), (State::Cancelled, vec![]));
}

#[test]
fn a_timeout_counts_from_the_hand_out_and_ends_by_the_workers_stop() {
    let late = changed(on_a_worker(json!({})), |worker| worker.handed_out = HandedOut::At { first: at(100), times: 1 });
    let late = late.write(111);
    assert_eq!(late.decide(699).action, Action::Rest);
    assert_eq!((late.status().reason, late.status().worker.as_deref()), (Reason::Running, Some("warm-1")));
    assert_eq!(late.decide(700).action, Action::TellWorker(Reason::Timeout));
}

#[test]
fn the_times_of_a_lease_are_recorded_as_the_status_keeps_them() {
    let nanoseconds = |second| at(second) + jiff::SignedDuration::from_nanos(1001);
    let done = changed(on_a_worker(json!({})), |worker| {
        worker.handed_out = HandedOut::At { first: nanoseconds(0), times: 1 };
        worker.word = Some(Word { at: nanoseconds(5), outcome: Outcome::Done(None), log: None });
    });
    let ended = done.records(6).ended;
    let written: TaskStatus = serde_json::from_value(serde_json::to_value(&ended).expect("JSON")).expect("a status");
    assert_eq!(written, ended);
}

#[test]
fn a_worker_of_which_nobody_remembers_anything_is_looked_for_first() {
    let mut scene = on_a_worker(json!({}));
    scene.observed.worker = None;
    let asked = needs(&scene.input(), at(3));
    assert_eq!(asked, Needs::Worker { name: "warm-1".into(), uid: "uid of warm-1".into() });
}

#[test]
fn an_idle_workers_own_end_is_no_end_of_a_task_that_was_handed_in() {
    let scene = changed(on_a_worker(json!({})), |worker| {
        says(Outcome::Done(None))(worker);
        pod_is(|pod| PodFacts { phase: Phase::Failed, ..evicted(pod) })(worker);
    });
    assert_eq!(ends(scene, 6).0, State::Completed);
}
