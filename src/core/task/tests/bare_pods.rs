//! Attempts that a bare pod runs.

use serde_json::{Value, json};

use super::scene::*;
use crate::attempt::facts::{BarePod, JobFacts, NodeState, PodFacts, Unanswered, Why, Work};
use crate::attempt::needs::Needs;
use crate::attempt::reporter::{Standing, standing};
use crate::queue::{QueueState, queue_state};
use crate::task::*;
use task_manager_api::AttemptOutcome::*;
use task_manager_api::Executor;

/// A queued task whose type names this executor.
fn of_type(executor: Executor, spec: Value) -> Scene {
    let mut scene = queued(spec);
    scene.kind = Some(kind(json!({ "executor": executor })));
    scene
}

/// As the queue admits it, at `second`.
fn admit(mut scene: Scene, second: i64) -> Scene {
    let QueueState::Pending(pending) = queue_state(&scene.task, scene.kind.as_ref(), scene.first_seen, &scene.settings)
    else {
        panic!("it waits for a slot")
    };
    let admission = Admission { arrival: scene.first_seen, holds: pending.admitted(), worker: None };
    let status = admitted(&scene.task, scene.kind.as_ref().expect("a type"), &admission, at(second));
    scene.set(status);
    scene
}

fn with_slot(spec: Value) -> Scene {
    admit(of_type(Executor::Pod, spec), 0)
}

/// The bare pod of the present attempt, whose work runs since second 0.
fn bare_pod(scene: &Scene) -> PodFacts {
    let name = job_name(&scene.task);
    let uid = format!("uid of {name}");
    let bare = Some(BarePod { task: "uid-1".into(), finalizers: vec![] });
    PodFacts { job: name.clone(), owner: Some(uid.clone()), uid, bare, ..scene.pod(&name) }
}

fn running(spec: Value) -> Scene {
    let scene = with_slot(spec);
    let pod = bare_pod(&scene);
    sees(scene, vec![pod])
}

/// These pods are all that the watches show.
fn sees(mut scene: Scene, pods: Vec<PodFacts>) -> Scene {
    scene.observed = Observed::of(&scene.task, vec![], pods);
    scene
}

fn pod_is(scene: Scene, change: impl FnOnce(PodFacts) -> PodFacts) -> Scene {
    let pod = scene.observed.pods[0].clone();
    sees(scene, vec![change(pod)])
}

fn is(scene: &Scene) -> (State, Reason) {
    (scene.status().state, scene.status().reason)
}

/// (failures, disruptions, attempt)
fn counts(scene: &Scene) -> (i32, i32, i32) {
    (scene.status().failures, scene.status().disruptions, scene.status().attempt)
}

/// The name of the pod that is deleted.
fn deletes(scene: &Scene, second: i64) -> Option<String> {
    match scene.decide(second).action {
        Action::Delete(Deletion { child: Child::Pod, name, .. }) => Some(name),
        _ => None,
    }
}

fn asks(scene: &Scene, second: i64) -> Needs {
    needs(&scene.input(), at(second))
}

fn asks_for_it(scene: &Scene) -> Needs {
    Needs::Launched { kind: Child::Pod, name: job_name(&scene.task) }
}

fn message_of_attempt(scene: &Scene, number: usize) -> &str {
    scene.status().attempts[number - 1].message.as_deref().unwrap_or_default()
}

#[test]
fn the_executor_of_an_attempt_is_written_before_anything_is_launched() {
    let executor = |scene: Scene| scene.status().admitted.clone().expect("a slot").executor;
    assert_eq!(executor(with_slot(json!({}))).as_deref(), Some("Pod"));
    assert_eq!(executor(admit(of_type(Executor::Job, json!({})), 0)), None);
    assert_eq!(with_slot(json!({})).decide(0).action, Action::Launch);
}

#[test]
fn a_bare_pod_that_ends_well_completes_its_task_and_is_kept_for_its_log() {
    let scene = pod_is(running(json!({})), exits_leaving(0, Some("7"))).write(6);
    assert_eq!((is(&scene), counts(&scene)), ((State::Completed, Reason::Succeeded), (0, 0, 1)));
    assert_eq!((&scene.status().result, &scene.status().admitted), (&Some(json!(7)), &None));
    let name = job_name(&scene.task);
    assert_eq!(scene.status().attempts[0].pod.as_ref(), Some(&name));
    assert_eq!(scene.wakes(7), Some(3606));
    assert_eq!(deletes(&scene, 3606), Some(name));
}

#[test]
fn a_failed_pod_goes_once_the_one_of_the_next_attempt_is_there() {
    let scene = pod_is(running(json!({})), exits(3)).write(6);
    assert_eq!((is(&scene), counts(&scene)), ((State::Queued, Reason::WaitingForRetry), (1, 0, 1)));
    let first = scene.observed.pods[0].clone();
    let scene = admit(scene, 20);
    let second = bare_pod(&scene);
    assert_ne!(first.name, second.name);
    let scene = sees(scene, vec![first.clone(), second.clone()]).write(21);
    assert_eq!(deletes(&scene, 21), Some(first.name.clone()));
    let over = sees(scene, vec![first.clone(), exits(0)(second)]).write(22);
    assert_eq!(over.status().state, State::Completed);
    assert_eq!(deletes(&over, 23), Some(first.name), "nobody had time to before");
}

#[test]
fn what_the_cluster_or_somebody_does_to_a_bare_pod_is_told_of_the_pod() {
    let name = job_name(&running(json!({})).task);
    let removed = |pod: PodFacts| gone(PodFacts { phase: exits(143)(pod.clone()).phase, ..terminating(5)(pod) });
    let lost = |pod: PodFacts| PodFacts { asked: silent_node(), ..terminating(5)(pod) };
    type Change = Box<dyn FnOnce(PodFacts) -> PodFacts>;
    let cases: [(Change, Reason, String); 3] = [
        (Box::new(evicted), Reason::Evicted, "EvictionByEvictionAPI: drained".into()),
        (Box::new(removed), Reason::PodDeleted, format!("somebody deleted the pod {name}")),
        (Box::new(lost), Reason::NodeLost, "the pod on node-3".into()),
    ];
    for (change, reason, said) in cases {
        let scene = pod_is(running(json!({})), change).write(500);
        assert_eq!((outcomes(scene.status()), counts(&scene)), (vec![(1, Disrupted, reason)], (0, 1, 1)));
        let message = message_of_attempt(&scene, 1);
        assert!(message.contains(&said) && !message.contains("Job"), "{message}");
    }
}

fn silent_node() -> crate::attempt::facts::PodAsked {
    crate::attempt::facts::PodAsked { node: NodeState::Silent, ..Default::default() }
}

#[test]
fn a_bare_pod_that_went_while_nobody_looked_is_asked_for_before_its_slot_goes_back() {
    let told = running(json!({})).write(10);
    assert!(told.status().started_at.is_some());
    let unseen = sees(told, vec![]);
    assert_eq!(asks(&unseen, 60), asks_for_it(&unseen));
    let mut input = unseen.input();
    input.bare_pod_is(None);
    assert_eq!(needs(&input, at(60)), Needs::Nothing);
    let scene = unseen.write(60);
    assert_eq!(outcomes(scene.status()), [(1, Disrupted, Reason::PodDeleted)]);
    assert_eq!(message_of_attempt(&scene, 1), format!("the pod {} is gone", job_name(&scene.task)));
}

#[test]
fn without_a_word_that_it_ran_a_pod_that_is_not_there_is_launched_once_more() {
    let unseen = sees(running(json!({})), vec![]);
    assert_eq!((asks(&unseen, 60), unseen.decide(60).action), (Needs::Nothing, Action::Launch));
}

#[test]
fn a_bare_pod_that_no_node_takes_goes_and_its_slot_goes_back() {
    let scene = pod_is(running(json!({})), waits(Reason::Unschedulable)).write(10);
    assert_eq!(deletes(&scene, 60), Some(job_name(&scene.task)));
    let scene = pod_is(scene, gone).write(61);
    assert_eq!((is(&scene), counts(&scene)), ((State::Queued, Reason::Unschedulable), (0, 0, 1)));
    assert_eq!((scene.status().given_back, &scene.status().admitted), (1, &None));
}

#[test]
fn a_bare_pod_whose_image_is_missing_is_given_up_uncounted() {
    let scene = pod_is(running(json!({})), waits(Reason::ImageUnavailable)).write(10);
    assert_eq!((deletes(&scene, 119), deletes(&scene, 120)), (None, Some(job_name(&scene.task))));
    let scene = pod_is(scene, |pod| gone(terminating(120)(pod))).write(121);
    assert_eq!(outcomes(scene.status()), [(1, Disrupted, Reason::ImageUnavailable)]);
}

#[test]
fn a_cancel_before_the_launch_asks_for_the_pod_and_one_while_it_runs_ends_it() {
    let early = with_slot(json!({})).edit(|spec| spec.cancel = true);
    assert_eq!(asks(&early, 1), asks_for_it(&early));
    assert_eq!((early.writes(1).state, early.writes(1).attempts.len()), (State::Cancelled, 0));
    let found = {
        let mut input = early.input();
        input.bare_pod_is(Some(bare_pod(&early)));
        decide(&input, at(1)).action
    };
    assert!(matches!(found, Action::Write(status) if status.reason == Reason::Stopping), "somebody has launched it");

    let scene = running(json!({})).edit(|spec| spec.cancel = true).write(20);
    let Action::EndPod(end) = scene.decide(20).action else { panic!("its work has begun") };
    assert_eq!((&end.name, end.seconds, end.ended_for), (&job_name(&scene.task), 1, Reason::Cancelled));
    let ended = pod_is(scene, exits(143)).writes(25);
    assert_eq!((ended.state, ended.attempts[0].outcome), (State::Cancelled, Cancelled));
    let waiting = pod_is(running(json!({})), waits(Reason::Starting)).edit(|spec| spec.cancel = true).write(2);
    assert_eq!(deletes(&waiting, 2), Some(job_name(&waiting.task)));
}

#[test]
fn a_bare_pod_that_a_finalizer_keeps_after_its_end_is_told_with_whose_that_is() {
    let kept = |pod: PodFacts| {
        let bare = pod.bare.clone().map(|bare| BarePod { finalizers: vec!["example.com/keep".into()], ..bare });
        PodFacts { bare, ..terminating(120)(waits(Reason::ImageUnavailable)(pod)) }
    };
    let scene = pod_is(running(json!({})), waits(Reason::ImageUnavailable)).write(10);
    let ended = |pod: PodFacts| PodFacts { phase: exits(1)(pod.clone()).phase, ..pod };
    let scene = pod_is(scene, |pod| ended(kept(pod))).write(140);
    let by = format!("the pod {} is kept by the finalizer example.com/keep", job_name(&scene.task));
    assert_eq!(scene.condition("HeldUp"), Some(("True", "ImageUnavailable")));
    assert!(scene.status().message.as_ref().is_some_and(|message| message.ends_with(&by)), "{:?}", scene.status());
    assert_eq!(outcomes(&pod_is(scene, gone).writes(200)), [(1, Disrupted, Reason::ImageUnavailable)]);
}

#[test]
fn a_bare_pod_that_lost_its_label_is_asked_for_and_runs_on() {
    let scene = pod_is(running(json!({})), gone);
    let name = job_name(&scene.task);
    assert_eq!(asks(&scene, 20), Needs::Pod { uid: format!("uid of {name}"), name });
    let mut input = scene.input();
    input.pod_is(Some(bare_pod(&scene)));
    assert_eq!(needs(&input, at(20)), Needs::Nothing);
    assert!(!input.observed.jobs[0].gone);
    assert!(matches!(decide(&input, at(20)).action, Action::Write(status) if status.reason == Reason::Running));
}

#[test]
fn a_launch_that_nobody_answered_is_found_by_its_name() {
    let mut scene = with_slot(json!({}));
    scene.observed.unanswered = Some(Unanswered { since: at(0), why: Why::new(Reason::LaunchFailed, "no answer") });
    assert_eq!(asks(&scene, 61), asks_for_it(&scene));
    let mut input = scene.input();
    input.bare_pod_is(Some(bare_pod(&scene)));
    assert_eq!((&input.observed.unanswered, input.observed.jobs.len()), (&None, 1));
    assert!(matches!(decide(&input, at(61)).action, Action::Write(status) if status.reason == Reason::Running));
}

#[test]
fn a_type_whose_executor_changed_between_admission_and_launch_is_admitted_again() {
    for (admitted_as, now) in [(Executor::Pod, Executor::Job), (Executor::Job, Executor::Pod)] {
        let mut scene = admit(of_type(admitted_as, json!({})), 0);
        scene.kind = of_type(now, json!({})).kind;
        let scene = scene.write(1);
        assert_eq!((is(&scene), counts(&scene)), ((State::Queued, Reason::SpecChanged), (0, 0, 0)));
        let message = scene.status().message.as_deref();
        assert_eq!(message, Some("its type had another executor when it was admitted"));
        assert_eq!(admit(scene, 2).decide(2).action, Action::Launch);
    }
}

#[test]
fn a_type_that_changes_its_executor_ends_nothing_that_runs() {
    let mut scene = running(json!({}));
    scene.kind = of_type(Executor::Job, json!({})).kind;
    assert!(scene.rests(5));
    let scene = pod_is(scene, exits(1)).write(6);
    let first = scene.observed.pods[0].clone();
    let scene = admit(scene, 20);
    let job = scene.job(20);
    let mut scene = sees(scene, vec![first.clone()]);
    scene.observed.jobs.push(job);
    assert_eq!(deletes(&scene, 21), Some(first.name));
}

#[test]
fn a_bare_pod_of_the_name_of_the_attempt_to_come_goes_before_anything_is_launched() {
    let scene = of_type(Executor::Pod, json!({}));
    let name = job_name(&with_slot(json!({})).task);
    let forged = PodFacts { name: name.clone(), job: name.clone(), ..bare_pod(&scene) };
    let scene = sees(scene, vec![exits(0)(forged)]);
    assert_eq!(deletes(&scene, 1), Some(name));
}

#[test]
fn of_two_children_of_one_name_the_one_counts_that_its_slot_names() {
    let scene = running(json!({}));
    let (pod, forged) = (bare_pod(&scene), JobFacts { uid: "forged".into(), ..scene.job(1) });
    let mut scene = sees(scene, vec![pod]);
    scene.observed.jobs.push(forged);
    let Action::Delete(Deletion { child, uid, .. }) = scene.decide(5).action else { panic!("it goes") };
    assert_eq!((child, uid.as_str()), (Child::Job, "forged"));
}

#[test]
fn a_bare_pod_of_another_task_is_none_of_this_one() {
    let scene = running(json!({}));
    let others = PodFacts { bare: Some(BarePod { task: "uid-2".into(), finalizers: vec![] }), ..bare_pod(&scene) };
    let scene = sees(scene, vec![others]);
    assert_eq!((scene.observed.jobs.len(), scene.observed.pods.len()), (0, 0));
}

#[test]
fn the_present_bare_pod_may_report_and_that_of_an_attempt_before_may_not() {
    let scene = pod_is(running(json!({})), exits(1)).write(6);
    let first = scene.observed.pods[0].clone();
    let scene = admit(scene, 20);
    let second = bare_pod(&scene);
    let unended = PodFacts { phase: second.phase, work: Work::Running { started_at: None }, ..first };
    let scene = sees(scene, vec![unended.clone(), second.clone()]);
    let of = |pod: &PodFacts| standing(&scene.task, &scene.observed, &pod.uid, None);
    assert_eq!((of(&second), of(&unended)), (Standing::Present, Standing::Over));
}
