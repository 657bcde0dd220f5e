use serde_json::json;

use super::scene::*;
use crate::attempt::facts::PodFacts;
use crate::attempt::id::AttemptId;
use crate::attempt::reporter::{Standing, standing};
use crate::attempt::reports::{Report, Reports};
use task_manager_api::{Progress, ReportedError, ResultRef};

fn percent(percent: i32) -> Report {
    Report::Progress(Progress { percent: Some(percent), ..Progress::default() })
}

fn error(type_: &str, retryable: Option<bool>) -> Report {
    Report::Error(ReportedError { type_: Some(type_.into()), message: Some("no luck".into()), retryable })
}

fn stored() -> Report {
    Report::Result(ResultRef { content_type: "application/json".into(), bytes: 5_000_000, uid: None })
}

impl Scene {
    fn reports(self, report: Report) -> Self {
        self.reports_from("uid of p1", report)
    }

    fn reports_from(mut self, pod: &str, report: Report) -> Self {
        let attempt = AttemptId::of(&self.task);
        let before = self.observed.reports.take();
        let before = before.filter(|before| before.pod == pod && before.attempt == attempt);
        let mut reports = before.unwrap_or_else(|| Reports::none(attempt, pod));
        reports.take(report);
        self.observed.reports = Some(reports);
        self
    }
}

fn written(status: &TaskStatus) -> Option<i32> {
    status.progress.as_ref().and_then(|progress| progress.percent)
}

/// It runs, and that has been told.
fn told() -> Scene {
    running(json!({})).write(10)
}

#[test]
fn progress_is_written_every_ten_seconds_at_most_and_only_when_it_changed() {
    let scene = running(json!({})).reports(percent(10));
    assert_eq!(scene.wakes(2), Some(10), "a short run is told of by its final write");
    let scene = scene.reports(percent(20)).write(10);
    assert_eq!((scene.status().reason, written(scene.status())), (Reason::Running, Some(20)), "in one write");
    let scene = scene.reports(percent(30));
    assert_eq!(scene.wakes(11), Some(20));
    let scene = scene.write(20);
    assert_eq!(written(scene.status()), Some(30));
    assert!(scene.reports(percent(30)).rests(100), "nothing has changed");
}

#[test]
fn progress_after_a_long_silence_is_written_at_once() {
    assert_eq!(written(&told().reports(percent(50)).writes(300)), Some(50));
}

#[test]
fn the_final_write_carries_the_last_progress() {
    let scene = told().reports(percent(50)).write(30).reports(percent(99)).pod_is(exits(0));
    let status = scene.writes(31);
    assert_eq!((status.state, written(&status)), (State::Completed, Some(99)));
}

#[test]
fn the_next_attempt_begins_without_progress() {
    let scene = told().reports(percent(50)).write(30).pod_is(exits(1)).write(31);
    assert_eq!((scene.status().state, &scene.status().progress), (State::Queued, &None));
}

#[test]
fn an_error_is_written_at_once_and_judged_as_one_in_the_result_file_is() {
    for (retryable, state) in [(Some(false), State::Failed), (Some(true), State::Queued), (None, State::Queued)] {
        let scene = running(json!({})).reports(error("Broken", retryable)).write(1);
        assert_eq!(scene.status().reported_error.as_ref().and_then(|error| error.type_.as_deref()), Some("Broken"));
        // The operator was started again meanwhile: what is written is enough.
        let mut scene = scene.pod_is(exits(1));
        scene.observed.reports = None;
        let status = scene.writes(6);
        assert_eq!((status.state, &status.reported_error), (state, &None));
        let attempt = status.attempts.last().expect("an attempt");
        assert_eq!((attempt.reason, attempt.message.as_deref()), (Reason::ReportedError, Some("Broken: no luck")));
    }
}

#[test]
fn a_types_rule_may_speak_of_an_error_that_was_reported() {
    let mut scene = running(json!({})).reports(error("RateLimited", Some(false))).pod_is(exits(1));
    scene.kind = Some(kind(json!({"failureRules": [{"errorTypes": ["RateLimited"], "action": "Ignore"}]})));
    let status = scene.writes(6);
    assert_eq!((status.state, status.failures, status.disruptions), (State::Queued, 0, 1));
}

#[test]
fn work_that_reported_an_error_and_ends_well_or_is_killed_is_judged_by_its_end() {
    let with_error = || running(json!({})).reports(error("Broken", Some(false)));
    assert_eq!(with_error().pod_is(exits(0)).writes(6).state, State::Completed);
    assert_eq!(with_error().pod_is(evicted).writes(6).disruptions, 1);
    let killed = with_error().pod_is(|pod| PodFacts { out_of_memory: killed("work"), ..exits(137)(pod) });
    let status = killed.writes(6);
    assert_eq!((status.state, status.attempts[0].reason), (State::Queued, Reason::OOMKilled));
}

#[test]
fn a_result_that_was_handed_over_is_written_at_once_and_goes_before_the_result_file() {
    let scene = running(json!({})).reports(stored()).write(1);
    assert_eq!(scene.status().result_ref.as_ref().map(|result| result.bytes), Some(5_000_000));
    let status = scene.pod_is(exits_leaving(0, Some("{}"))).writes(6);
    assert_eq!((status.state, status.result_ref.is_some(), status.result), (State::Completed, true, None));
}

#[test]
fn an_attempt_that_fails_leaves_no_result() {
    for retryable in [true, false] {
        let scene = running(json!({})).reports(stored()).write(1);
        let status = scene.reports(error("Broken", Some(retryable))).pod_is(exits(1)).writes(6);
        assert_eq!(status.result_ref, None);
    }
    let cancelled = running(json!({})).reports(stored()).write(1).edit(|spec| spec.cancel = true).pod_is(exits(143));
    assert_eq!(cancelled.writes(6).result_ref, None);
}

#[test]
fn what_another_pod_reported_counts_for_nothing() {
    let scene = told().reports_from("uid of p0", percent(50)).reports_from("uid of p0", error("Broken", Some(false)));
    assert!(scene.rests(100));
    let status = scene.pod_is(exits(1)).writes(101);
    assert_eq!((status.state, status.attempts[0].reason), (State::Queued, Reason::ExitCode));
}

#[test]
fn a_pod_may_report_while_it_works_on_the_present_attempt_and_not_after() {
    let of = |scene: &Scene, pod: &str| standing(&scene.task, &scene.observed, pod, None);
    let scene = running(json!({}));
    assert_eq!(of(&scene, "uid of p1"), Standing::Present);
    assert_eq!(of(&scene, "uid of p2"), Standing::Stranger);
    assert_eq!(of(&running(json!({})).edit(|spec| spec.run_id = "2".into()), "uid of p1"), Standing::Over);
    let ended = running(json!({})).pod_is(exits(1));
    assert_eq!(of(&ended, "uid of p1"), Standing::Over);
    let waiting = ended.write(6);
    assert_eq!(of(&waiting, "uid of p1"), Standing::Over);
    let again = waiting.admit(60).launch(60);
    assert_eq!(of(&again, "uid of p1"), Standing::Over, "another attempt runs");
}

#[test]
fn a_pod_that_reports_on_while_it_is_stopped_causes_no_more_writes() {
    let scene = told().reports(percent(10)).write(20).edit(|spec| spec.cancel = true);
    let mut scene = scene.pod_is(terminating(21)).job_is(|job| job.deleting = true).write(21);
    assert_eq!(scene.status().reason, Reason::Stopping);
    for (second, done) in [(22, 20), (25, 30), (29, 40)] {
        scene = scene.reports(percent(done));
        assert!(scene.rests(second), "{second}");
    }
}

#[test]
fn another_attempt_in_the_same_pod_inherits_nothing() {
    let first = told().reports(percent(50)).reports(error("Broken", Some(false))).reports(stored());
    let said = first.observed.reports.clone();
    let ended = Scene { observed: Observed::default(), ..first.pod_is(exits(137)).write(31) };
    let mut second = ended.edit(|spec| spec.run_id = "2".into()).write(32).admit(60).launch(60);
    let pod = PodFacts { started_at: Some(at(60)), ..second.pod("p1") };
    second = second.with(pod);
    second.observed.reports = said;
    let running = second.writes(100);
    assert_eq!((written(&running), &running.reported_error, &running.result_ref), (None, &None, &None));
    let status = second.pod_is(exits(1)).writes(101);
    assert_eq!((status.state, status.attempts[0].reason), (State::Queued, Reason::ExitCode));
}

#[test]
fn a_retry_in_the_same_pod_inherits_nothing() {
    let first = told().reports(error("Broken", None)).pod_is(exits(1)).write(31);
    let said = first.observed.reports.clone();
    let mut second = Scene { observed: Observed::default(), ..first }.admit(60).launch(60);
    let pod = PodFacts { started_at: Some(at(60)), ..second.pod("p1") };
    second = second.with(pod);
    second.observed.reports = said;
    assert_eq!((second.status().attempt, second.writes(100).reported_error), (2, None));
}

#[test]
fn a_report_that_names_another_attempt_than_the_present_one_is_too_late() {
    let scene = running(json!({}));
    let named = |attempt| standing(&scene.task, &scene.observed, "uid of p1", Some(attempt));
    assert_eq!((named(0), named(1), named(2)), (Standing::Over, Standing::Present, Standing::Over));
}
