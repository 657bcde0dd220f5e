//! Pods that a node does not end in time though it answers, and Jobs that somebody's finalizer keeps.

use serde_json::json;

use super::scene::*;
use crate::attempt::facts::container::{Awaited, Awaiting};
use crate::attempt::facts::{JobFacts, NodeState, PodAsked, PodFacts, Why};
use crate::task::*;
use task_manager_api::AttemptOutcome::Disrupted;

/// Its deletion was asked for at second 20, and its node, which answers, has not ended it.
fn held(pod: PodFacts) -> PodFacts {
    let asked = PodAsked { node: NodeState::Answers, ..pod.asked.clone() };
    terminating(20)(PodFacts { asked, ..pod })
}

fn made(pod: PodFacts) -> PodFacts {
    let awaited = Some(Awaited { container: "work".into(), is: Awaiting::Made });
    PodFacts { awaited, waiting: None, ..waits(Reason::Starting)(pod) }
}

fn says(scene: &Scene) -> (Reason, &str) {
    (scene.status().reason, scene.status().message.as_deref().unwrap_or_default())
}

fn held_up_by(scene: &Scene) -> Option<&str> {
    let conditions = &scene.status().conditions;
    conditions.iter().find(|seen| seen.type_ == "HeldUp").map(|seen| seen.message.as_str())
}

const PULLS: &str = "node node-3 still pulls an image, or waits for a hook, and ends it after that";
const SLOW: &str = "node node-3 answers, and has not ended it yet";

#[test]
fn a_pod_that_a_node_does_not_end_in_time_is_told_once_whatever_it_is_ended_for() {
    let pulls = || running(json!({})).pod_is(made).write(10);
    let without_job = |scene: Scene| scene.job_is(|job| job.gone = true);
    let cancelled = without_job(pulls().edit(|spec| spec.cancel = true).write(20));
    let rerun = without_job(running(json!({})).write(10).edit(|spec| spec.run_id = "2".into()).write(20));
    let timed_out = running(json!({})).write(10).pod_is(|mut pod| {
        pod.will_end(15, Reason::Timeout, at(10));
        pod.timeout_seconds = Some(14);
        pod
    });
    for (scene, why, by) in [
        (cancelled, "cancelled while it was processing", PULLS),
        (rerun, "runId is now 2", SLOW),
        (timed_out, "ran longer than timeoutSeconds, 14 s", SLOW),
        (running(json!({})).write(10), "somebody deleted the pod p1", SLOW),
        (without_job(running(json!({})).write(10)), "somebody deleted the Job", SLOW),
    ] {
        let scene = scene.pod_is(held);
        assert!(scene.rests(110) && scene.wakes(60).is_some_and(|wake| wake <= 111), "its node has that long");
        let scene = scene.write(200);
        let (reason, message) = says(&scene);
        assert_eq!(reason, Reason::Stopping);
        assert!(message.starts_with(why) && message.ends_with(&format!("; {by}")), "{message}");
        assert_eq!(held_up_by(&scene), Some(by));
        assert_eq!(scene.wakes(230), Some(260), "it is told, its slot is held, and it is looked at again");
        let over = scene.pod_is(gone).writes(300);
        assert!(over.conditions.iter().all(|seen| seen.type_ != "HeldUp"));
    }
}

#[test]
fn a_start_that_was_given_up_keeps_its_cause_while_its_node_holds_it_up() {
    let scene = running(json!({})).pod_is(made).write(10).write(120);
    let why = "its container is being made; not started within startDeadlineSeconds, 120 s";
    assert_eq!(says(&scene), (Reason::StartTimeout, why));
    let scene = scene.job_is(|job| job.gone = true).pod_is(|pod| terminating(120)(held(pod))).write(300);
    assert_eq!(says(&scene), (Reason::StartTimeout, format!("{why}; {PULLS}").as_str()));
    let mut pulling = scene.input();
    pulling.observed.explained = Some(Why::new(Reason::Starting, "pulling image a:1"));
    let Action::Write(told) = decide(&pulling, at(330)).action else { panic!("it is known better") };
    let better = format!("{why}; node node-3 is still pulling image a:1");
    assert_eq!(told.message.as_deref(), Some(better.as_str()), "in the place of the other");
    let scene = scene.pod_is(gone).write(400);
    assert_eq!(outcomes(scene.status()), [(1, Disrupted, Reason::StartTimeout)]);
    assert_eq!(scene.status().attempts[0].message.as_deref(), Some(why), "that is over");
}

/// Its deletion was asked for at second 130, and somebody's finalizer keeps it.
fn kept(job: &mut JobFacts) {
    (job.deleting, job.deleted_at, job.finalizers) = (true, Some(at(130)), vec!["example.com/keep".into()]);
}

#[test]
fn a_job_that_a_finalizer_keeps_after_its_pod_is_told_with_whose_that_is() {
    let by = |scene: &Scene| format!("the Job {} is kept by the finalizer example.com/keep", job_name(&scene.task));
    let late = running(json!({})).pod_is(made).write(10).write(120).pod_is(|pod| terminating(120)(pod)).pod_is(gone);
    let deleted = launched(json!({}));
    let cancelled = launched(json!({})).edit(|spec| spec.cancel = true).write(20);
    let without_pod = launched(json!({})).write(10);
    for (scene, reason, why) in [
        (late, Reason::StartTimeout, "its container is being made; not started within startDeadlineSeconds, 120 s"),
        (deleted, Reason::Stopping, "somebody deleted the Job"),
        (cancelled, Reason::Stopping, "cancelled while it was processing"),
        (without_pod, Reason::PodNotCreated, "the Job"),
    ] {
        let scene = scene.job_is(kept);
        assert_eq!(scene.wakes(131), Some(140), "the garbage collector may take a moment");
        let scene = scene.write(140);
        let by = by(&scene);
        assert_eq!((says(&scene).0, held_up_by(&scene)), (reason, Some(by.as_str())));
        let message = says(&scene).1;
        assert!(message.starts_with(why) && message.ends_with(&format!("; {by}")), "{message}");
        assert!(scene.rests(500), "{:?}", scene.decide(500));
        let over = scene.job_is(|job| job.gone = true).writes(600);
        let last = over.attempts.last().and_then(|attempt| attempt.message.clone());
        assert!(!last.or(over.message).unwrap_or_default().contains("example.com"), "that is over");
    }
    let foreground = running(json!({})).write(10).job_is(kept).pod_is(|pod| terminating(130)(pod));
    assert!(foreground.rests(150), "its pod is not gone");
}
