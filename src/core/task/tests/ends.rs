//! What a task says of how its attempts ended.

use serde_json::json;

use super::scene::*;
use crate::attempt::facts::container::EndBeside;
use crate::attempt::facts::{Phase, PodEvent, PodFacts, Work};
use crate::attempt::needs::Needs;
use crate::task::*;

fn complete(scene: &Scene) -> &str {
    let conditions = &scene.status().conditions;
    conditions.iter().find(|seen| seen.type_ == "Complete").map_or("", |seen| seen.message.as_str())
}

#[test]
fn a_task_that_completed_though_its_pod_was_evicted_says_so() {
    let scene = running(json!({})).pod_is(|pod| exits(0)(evicted(pod))).write(6);
    let told = "the work ended with 0 after the pod was evicted: EvictionByEvictionAPI: drained";
    assert_eq!((scene.status().state, scene.status().message.as_deref()), (State::Completed, Some(told)));
    assert_eq!((scene.condition("Complete"), complete(&scene)), (Some(("True", "Succeeded")), told));
    let plain = running(json!({})).pod_is(exits(0)).write(6);
    assert_eq!((plain.status().message.as_deref(), complete(&plain)), (None, ""), "nothing is to be said");
    let cut = running(json!({})).pod_is(|pod| exits_leaving(0, Some(&"x".repeat(4096)))(evicted(pod))).write(6);
    let message = cut.status().message.as_deref().unwrap_or_default();
    assert!(message.starts_with(told) && message.ends_with("PUT /worker/v1/result"), "{message}");
}

#[test]
fn a_task_whose_job_fails_by_a_helper_names_it_and_keeps_the_log_of_its_work() {
    let crashed = |pod: PodFacts| {
        let end = EndBeside {
            container: "proxy".into(),
            is_sidecar: false,
            exit_code: Some(3),
            at: Some(at(2)),
            out_of_memory: None,
        };
        PodFacts { phase: Phase::Failed, ends_beside: vec![end], ..exits(0)(pod) }
    };
    let scene = running(json!({})).pod_is(crashed);
    let log = Some(LogOf { pod: "p1".into(), container: "work".into() });
    assert_eq!(scene.records(6).log_of, log);
    let late = running(json!({})).pod_is(crashed).job_is(finished(false, 6)).write_without_archive(7);
    assert_eq!(late.records(60).log_of, log, "its Job waits for the record");
    let scene = scene.write(6);
    assert_eq!(scene.status().message.as_deref(), Some("container proxy ended with exit code 3"));
    assert_eq!(scene.status().state, State::Completed);
    assert_eq!(running(json!({})).pod_is(exits(0)).records(6).log_of, None, "a plain success costs no request");
}

#[test]
fn memory_grows_only_where_the_work_itself_ran_out_of_it() {
    let retry = json!({"retry": {"limit": 5, "oomMemoryFactor": 2}});
    for (container, asked) in [("work", "256Mi"), ("proxy", "128Mi")] {
        let out_of_memory = |pod| PodFacts { out_of_memory: killed(container), ..exits(137)(pod) };
        let scene = running(retry.clone()).pod_is(out_of_memory).write(20);
        assert_eq!(scene.status().attempts[0].reason, Reason::OOMKilled, "{container}");
        let scene = scene.admit(100);
        let admitted = scene.status().admitted.as_ref().expect("a slot");
        assert_eq!(admitted.resources["memory"].0, asked, "{container}");
    }
}

#[test]
fn events_are_asked_for_once_where_a_probe_may_have_ended_the_work() {
    let probed = |pod| PodFacts { may_be_killed_after: Some(4), ..exits(137)(pod) };
    let scene = running(json!({"retry": {"limit": 0}})).pod_is(probed);
    let mut input = scene.input();
    let event = |reason: &str, message: &str| PodEvent {
        reason: reason.into(),
        message: message.into(),
        container: Some("work".into()),
        ..PodEvent::default()
    };
    let said = [event("Unhealthy", "Liveness probe failed: no heartbeat"), event("Killing", "Stopping container work")];
    for (events, cause) in [(&said[..], " after its liveness probe failed: no heartbeat"), (&[], "")] {
        assert_eq!(needs(&input, at(7)), Needs::EventsOfEnd("uid of p1".into()));
        input.events_are("uid of p1", events, at(7));
        assert_eq!(needs(&input, at(7)), Needs::Nothing, "it is judged with what came");
        let Action::Record(recording) = decide(&input, at(7)).action else { panic!("it is judged") };
        let message = format!("the work ended with exit code 137{cause}; failed once, retries used up");
        assert_eq!(recording.ended.message, Some(message));
        input = scene.input();
    }
    assert_eq!(needs(&running(json!({})).pod_is(exits(137)).input(), at(7)), Needs::Nothing, "it has no probe");
}

#[test]
fn a_task_that_was_disrupted_too_often_says_by_what() {
    let mut scene = queued(json!({"retry": {"disruptionLimit": 2}}));
    for (round, ends) in [evicted as fn(PodFacts) -> PodFacts, late, late].into_iter().enumerate() {
        let second = 1000 * i64::try_from(round).expect("a round");
        scene = scene.admit(second).launch(second);
        let pod = ends(scene.pod("p"));
        scene = scene.with(PodFacts { created_at: at(second), ..pod }).write(second + 120);
        if scene.status().state == State::Processing {
            scene = scene.job_is(|job| job.gone = true).pod_is(gone).write(second + 121);
        }
        scene.observed = Observed::default();
    }
    let message = scene.status().message.as_deref().unwrap_or_default();
    let why = "disrupted 3 times, by StartTimeout 2 times, Evicted once, and retry.disruptionLimit is 2";
    assert_eq!((scene.status().state, scene.status().reason), (State::Failed, Reason::StartTimeout));
    assert!(message.ends_with(why), "{message}");
}

fn late(pod: PodFacts) -> PodFacts {
    PodFacts { waiting: None, ..waits(Reason::Starting)(pod) }
}

#[test]
fn work_that_its_kubelet_lost_track_of_at_its_deadline_has_timed_out() {
    let lost = |pod| PodFacts {
        phase: Phase::Failed,
        reason: Some("DeadlineExceeded".into()),
        deadline_seconds: Some(631),
        ended_for: Some(Reason::Timeout),
        work: Work::NotStarted,
        ..pod
    };
    let scene = running(json!({})).pod_is(lost).write(700);
    assert_eq!(outcomes(scene.status()), [(1, task_manager_api::AttemptOutcome::Failed, Reason::Timeout)]);
}
