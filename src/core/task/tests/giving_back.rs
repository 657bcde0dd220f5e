use serde_json::json;

use super::scene::*;
use crate::attempt::facts::{PodEvent, PodFacts, Why};
use crate::attempt::needs::Needs;
use crate::queue::Order;
use crate::task::*;
use task_manager_api::Priority;

fn deletes_job(scene: &Scene, second: i64) -> bool {
    matches!(scene.decide(second).action, Action::Delete(Deletion { child: Child::Job, .. }))
}

/// Its pod has been waiting for a node since second 0, and the status says so.
fn without_a_node() -> Scene {
    launched(json!({})).with_pod_without_a_node().write(10)
}

/// Its launch was refused at `second`.
fn refused(mut scene: Scene, second: i64) -> Scene {
    scene.observed.refused = Some(Why::new(Reason::LaunchRefused, "a webhook said no"));
    let mut scene = scene.write(second);
    scene.observed = Observed::default();
    scene
}

impl Scene {
    fn with_pod_without_a_node(self) -> Self {
        let pod = waits(Reason::Unschedulable)(self.pod("p1"));
        self.with(pod)
    }

    fn order(&self) -> Order {
        Order::of(&self.task, Priority::Normal, self.first_seen)
    }

    /// The decision once the events of the pod were read.
    fn decide_by(&self, events: &[PodEvent], second: i64) -> Decision {
        let mut input = self.input();
        assert_eq!(
            needs(&input, at(second)),
            Needs::EventsOf("uid of p1".into()),
            "they are read before it is given up"
        );
        input.events_are("uid of p1", events, at(second));
        assert!(!matches!(needs(&input, at(second)), Needs::EventsOf(_)), "and once");
        decide(&input, at(second))
    }
}

fn said(component: &str, reason: &str, second: i64) -> PodEvent {
    PodEvent {
        component: component.into(),
        reason: reason.into(),
        message: format!("{reason} is said"),
        last_seen: Some(at(second)),
        ..PodEvent::default()
    }
}

fn is_given_up(decision: &Decision) -> bool {
    matches!(decision.action, Action::Delete(Deletion { child: Child::Job, why: Reason::Unschedulable, .. }))
}

#[test]
fn a_pod_that_no_node_takes_gives_its_slot_back_after_a_minute() {
    let scene = without_a_node();
    assert_eq!(scene.wakes(11), Some(60));
    assert_eq!(needs(&scene.input(), at(59)), Needs::Nothing, "until then nobody is asked");
    let scheduler = said("default-scheduler", "FailedScheduling", 50);
    assert!(is_given_up(&scene.decide_by(&[scheduler], 60)));
    let mut patient = without_a_node();
    patient.settings.unschedulable_seconds = 90;
    assert!(!deletes_job(&patient, 89) && deletes_job(&patient, 90));
    patient.kind = Some(kind(json!({"startDeadlineSeconds": 20})));
    assert!(deletes_job(&patient, 20), "its start deadline may be shorter");
}

#[test]
fn a_pod_for_which_a_node_is_coming_is_waited_for_until_its_start_deadline() {
    for (component, reason) in [("cluster-autoscaler", "TriggeredScaleUp"), ("karpenter", "Nominated")] {
        let scheduler = said("default-scheduler", "FailedScheduling", 58);
        let events = [said(component, reason, 12), scheduler];
        let scene = without_a_node();
        let Action::Write(told) = scene.decide_by(&events, 60).action else { panic!("that is told") };
        let message = format!("said of Unschedulable; a node is coming: {reason} is said");
        assert_eq!((told.state, told.reason), (State::Processing, Reason::Unschedulable));
        assert_eq!(told.message, Some(message));
        let mut told_of = scene;
        told_of.set(*told);
        let decision = told_of.decide_by(&events, 61);
        assert_eq!((decision.action, decision.wake), (Action::Rest, Some(at(91))), "{reason} is looked at again");
        assert!(is_given_up(&told_of.decide_by(&events, 120)), "at its start deadline");
    }
}

#[test]
fn only_the_autoscaler_that_said_a_node_is_coming_takes_it_back() {
    let given_up = |events: &[PodEvent]| is_given_up(&without_a_node().decide_by(events, 60));
    let triggered = || said("cluster-autoscaler", "TriggeredScaleUp", 20);
    let nominated = || said("karpenter", "Nominated", 20);
    assert!(given_up(&[triggered(), said("cluster-autoscaler", "NotTriggerScaleUp", 30)]));
    assert!(given_up(&[triggered(), said("cluster-autoscaler", "FailedScaleUp", 30)]));
    assert!(given_up(&[nominated(), said("karpenter", "FailedScheduling", 30)]));
    assert!(!given_up(&[triggered(), said("cluster-autoscaler", "NotTriggerScaleUp", 10)]), "it tried again");
    assert!(!given_up(&[nominated(), said("cluster-autoscaler", "NotTriggerScaleUp", 30)]), "it has no say there");
    assert!(!given_up(&[nominated(), said("default-scheduler", "FailedScheduling", 30)]));
    assert!(!given_up(&[said("default-scheduler", "Scheduled", 59)]), "its node is not shown yet");
}

#[test]
fn a_pod_that_the_scheduler_makes_room_for_is_waited_for() {
    let meant = |pod: PodFacts| PodFacts { nominated: Some("node-3".into()), ..pod };
    let scene = without_a_node().pod_is(meant).write(11);
    let message = "said of Unschedulable; a node is coming: the scheduler means it for node-3";
    assert_eq!(scene.status().message.as_deref(), Some(message));
    assert!(!deletes_job(&scene, 119) && deletes_job(&scene, 120));
    let scene = scene.pod_is(|pod| PodFacts { nominated: None, ..pod }).write(12);
    assert_eq!(scene.status().message.as_deref(), Some("said of Unschedulable"));
    assert!(deletes_job(&scene, 60));
}

#[test]
fn what_is_being_given_up_is_given_up_whatever_is_said_then() {
    let meant = |pod: PodFacts| PodFacts { nominated: Some("node-3".into()), ..pod };
    let deleted = without_a_node().job_is(|job| job.deleting = true).pod_is(meant);
    assert!(matches!(needs(&deleted.input(), at(61)), Needs::Nothing));
    let scene = deleted.job_is(|job| job.gone = true).pod_is(gone).write(62);
    assert_eq!((scene.status().state, scene.status().reason), (State::Queued, Reason::Unschedulable));
    assert_eq!(scene.status().attempts.len(), 0, "nothing is counted");
}

#[test]
fn who_gives_a_slot_back_stands_behind_all_that_have_arrived_and_keeps_its_arrival() {
    let scene = refused(with_slot(json!({})), 2);
    let (status, version) = (scene.status().clone(), scene.version() - 1);
    assert_eq!((status.arrival.as_deref(), status.line), (Some("100"), Some(version.to_string())));
    let arrived = |arrival| Order::new(Priority::Normal, arrival, "a".into());
    assert!(arrived(version) < scene.order() && scene.order() < arrived(version + 1));
    let again = refused(scene.admit(100), 101);
    assert_eq!(again.status().arrival.as_deref(), Some("100"));
    assert!(again.order() > arrived(version + 1), "it goes to the end each time");
    let failed = again.admit(1000).launch(1000);
    let pod = failed.pod("p1");
    let failed = failed.with(exits(1)(pod)).write(1010);
    assert_eq!((failed.status().given_back, failed.status().line.is_some()), (0, true));
    assert_eq!((&failed.status().last_given_back, failed.status().reason), (&None, Reason::WaitingForRetry));
    let anew = failed.edit(|spec| spec.run_id = "2".into()).write(1011);
    assert_eq!((&anew.status().line, anew.order().place()), (&None, anew.first_seen), "a new run arrives anew");
}

#[test]
fn a_slot_that_was_given_back_is_told_during_the_pause_and_after_it() {
    let scene = refused(with_slot(json!({})), 2);
    let told = "a webhook said no; the slot was given back; tried again from 1970-01-12T13:47:12Z on";
    assert_eq!((scene.status().reason, scene.status().message.as_deref()), (Reason::LaunchRefused, Some(told)));
    assert!(scene.rests(3) && scene.rests(100) && scene.rests(100_000), "it stays so until it has a slot again");
    let suspended = scene.edit(|spec| spec.suspend = true).write(100);
    let both = format!("held by spec.suspend; before: LaunchRefused: {told}");
    assert_eq!((suspended.status().reason, suspended.status().message.clone()), (Reason::Suspended, Some(both)));
    let again = suspended.edit(|spec| spec.suspend = false).write(101);
    assert_eq!((again.status().reason, again.status().message.as_deref()), (Reason::LaunchRefused, Some(told)));
}

#[test]
fn a_task_that_is_changed_before_its_launch_keeps_its_place_once() {
    let asks = |scene: Scene, cpus: &str| {
        scene.edit(|spec| {
            spec.resources = Some(task_manager_api::Resources { requests: cpu(cpus), ..Default::default() });
        })
    };
    let once = asks(with_slot(json!({})), "2").write(1);
    assert_eq!((once.status().reason, &once.status().line), (Reason::SpecChanged, &None));
    assert_eq!(once.status().next_attempt_at.as_ref().map(|time| time.0), Some(at(1)));
    let twice = asks(once.admit(2), "3").write(3);
    assert!(twice.status().line.is_some(), "else whoever changes it again and again would starve the others");
    assert_eq!(twice.status().next_attempt_at.as_ref().map(|time| time.0), Some(at(63)));
}
