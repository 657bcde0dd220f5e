use serde_json::json;

use super::scene::*;
use crate::attempt::facts::PodFacts;
use crate::attempt::reports::{Said, Word};
use crate::task::*;
use task_manager_api::{Progress, ReportedError, ResultRef};

fn percent(percent: i32) -> Word {
    Word::Progress(Progress { percent: Some(percent), ..Progress::default() })
}

fn error(type_: &str, retryable: Option<bool>) -> Word {
    Word::Error(ReportedError { type_: Some(type_.into()), message: Some("no luck".into()), retryable })
}

fn stored() -> Word {
    Word::Result(ResultRef { content_type: "application/json".into(), bytes: 5_000_000, uid: None })
}

impl Scene {
    fn says(self, word: Word) -> Self {
        self.says_as("uid of p1", word)
    }

    fn says_as(mut self, pod: &str, word: Word) -> Self {
        let before = self.observed.said.take().filter(|said| said.pod == pod);
        let mut said = before.unwrap_or_else(|| Said::of(pod));
        said.hear(word);
        self.observed.said = Some(said);
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
    let scene = running(json!({})).says(percent(10));
    assert_eq!(scene.wakes(2), Some(10), "a short run is told of by its final write");
    let scene = scene.says(percent(20)).write(10);
    assert_eq!((scene.status().reason, written(scene.status())), (Reason::Running, Some(20)), "in one write");
    let scene = scene.says(percent(30));
    assert_eq!(scene.wakes(11), Some(20));
    let scene = scene.write(20);
    assert_eq!(written(scene.status()), Some(30));
    assert!(scene.says(percent(30)).rests(100), "nothing has changed");
}

#[test]
fn progress_after_a_long_silence_is_written_at_once() {
    assert_eq!(written(&told().says(percent(50)).writes(300)), Some(50));
}

#[test]
fn the_final_write_carries_the_last_progress() {
    let scene = told().says(percent(50)).write(30).says(percent(99)).pod_is(exits(0));
    let status = scene.writes(31);
    assert_eq!((status.state, written(&status)), (State::Completed, Some(99)));
}

#[test]
fn the_next_attempt_begins_without_progress() {
    let scene = told().says(percent(50)).write(30).pod_is(exits(1)).write(31);
    assert_eq!((scene.status().state, &scene.status().progress), (State::Queued, &None));
}

#[test]
fn an_error_is_written_at_once_and_judged_as_one_in_the_result_file_is() {
    for (retryable, state) in [(Some(false), State::Failed), (Some(true), State::Queued), (None, State::Queued)] {
        let scene = running(json!({})).says(error("Broken", retryable)).write(1);
        assert_eq!(scene.status().reported_error.as_ref().and_then(|error| error.type_.as_deref()), Some("Broken"));
        // The operator was started again meanwhile: what is written is enough.
        let mut scene = scene.pod_is(exits(1));
        scene.observed.said = None;
        let status = scene.writes(6);
        assert_eq!((status.state, &status.reported_error), (state, &None));
        let attempt = status.attempts.last().expect("an attempt");
        assert_eq!((attempt.reason, attempt.message.as_deref()), (Reason::ReportedError, Some("Broken: no luck")));
    }
}

#[test]
fn a_types_rule_may_speak_of_an_error_that_was_said() {
    let mut scene = running(json!({})).says(error("RateLimited", Some(false))).pod_is(exits(1));
    scene.kind = Some(kind(json!({"failureRules": [{"errorTypes": ["RateLimited"], "action": "Ignore"}]})));
    let status = scene.writes(6);
    assert_eq!((status.state, status.failures, status.disruptions), (State::Queued, 0, 1));
}

#[test]
fn work_that_said_it_fails_and_ends_well_or_is_killed_is_judged_by_its_end() {
    let says_error = || running(json!({})).says(error("Broken", Some(false)));
    assert_eq!(says_error().pod_is(exits(0)).writes(6).state, State::Completed);
    assert_eq!(says_error().pod_is(evicted).writes(6).disruptions, 1);
    let killed = says_error().pod_is(|pod| PodFacts { out_of_memory: Some("work".into()), ..exits(137)(pod) });
    let status = killed.writes(6);
    assert_eq!((status.state, status.attempts[0].reason), (State::Queued, Reason::OOMKilled));
}

#[test]
fn a_result_that_was_handed_over_is_written_at_once_and_goes_before_the_result_file() {
    let scene = running(json!({})).says(stored()).write(1);
    assert_eq!(scene.status().result_ref.as_ref().map(|result| result.bytes), Some(5_000_000));
    let status = scene.pod_is(exits_leaving(0, Some("{}"))).writes(6);
    assert_eq!((status.state, status.result_ref.is_some(), status.result), (State::Completed, true, None));
}

#[test]
fn an_attempt_that_fails_leaves_no_result() {
    for retryable in [true, false] {
        let scene = running(json!({})).says(stored()).write(1);
        let status = scene.says(error("Broken", Some(retryable))).pod_is(exits(1)).writes(6);
        assert_eq!(status.result_ref, None);
    }
    let cancelled = running(json!({})).says(stored()).write(1).edit(|spec| spec.cancel = true).pod_is(exits(143));
    assert_eq!(cancelled.writes(6).result_ref, None);
}

#[test]
fn what_another_pod_said_counts_for_nothing() {
    let scene = told().says_as("uid of p0", percent(50)).says_as("uid of p0", error("Broken", Some(false)));
    assert!(scene.rests(100));
    let status = scene.pod_is(exits(1)).writes(101);
    assert_eq!((status.state, status.attempts[0].reason), (State::Queued, Reason::ExitCode));
}

#[test]
fn a_pod_may_speak_while_it_works_on_the_present_attempt_and_not_after() {
    let hears = |scene: &Scene, pod: &str| hearing(&scene.task, &scene.observed, pod);
    let scene = running(json!({}));
    assert_eq!(hears(&scene, "uid of p1"), Hearing::Present);
    assert_eq!(hears(&scene, "uid of p2"), Hearing::Stranger);
    assert_eq!(hears(&running(json!({})).edit(|spec| spec.run_id = "2".into()), "uid of p1"), Hearing::Over);
    let ended = running(json!({})).pod_is(exits(1));
    assert_eq!(hears(&ended, "uid of p1"), Hearing::Over);
    let waiting = ended.write(6);
    assert_eq!(hears(&waiting, "uid of p1"), Hearing::Over);
    let again = waiting.admit(60).launch(60);
    assert_eq!(hears(&again, "uid of p1"), Hearing::Over, "another attempt runs");
}

#[test]
fn a_pod_that_speaks_on_while_it_is_stopped_causes_no_more_writes() {
    let scene = told().says(percent(10)).write(20).edit(|spec| spec.cancel = true);
    let mut scene = scene.pod_is(terminating(21)).job_is(|job| job.deleting = true).write(21);
    assert_eq!(scene.status().reason, Reason::Stopping);
    for (second, said) in [(22, 20), (25, 30), (29, 40)] {
        scene = scene.says(percent(said));
        assert!(scene.rests(second), "{second}");
    }
}
