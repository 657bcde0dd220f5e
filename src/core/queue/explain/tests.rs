//! The words in which a wait is explained.

use serde_json::{Value, json};

use super::*;
use crate::queue::tests::{add, admission_queue, at, key, limits, queue, waiting};
use crate::queue::{AdmissionQueue, QueueState};

fn explained(admission: &mut AdmissionQueue, uid: &str) -> Explanation {
    admission.explain(uid, at(0)).expect("it is pending")
}

/// The reason, what is told now, and what a status keeps.
fn told(admission: &mut AdmissionQueue, uid: &str) -> (Reason, String, String) {
    let explanation = explained(admission, uid);
    let first = explanation.turn.as_ref().map(|turn| turn.first.to_string());
    (explanation.reason(), explanation.message(first.as_deref()), explanation.lasting_message(first.as_deref()))
}

fn full_of_memory() -> AdmissionQueue {
    let mut admission = admission_queue(json!({"resources": {"memory": "32Gi"}}));
    let runs = waiting("runs", 1).asking(&[("memory", "30Gi")]);
    admission.set(&"runs".into(), QueueState::Admitted(runs.reservation()));
    add(
        &mut admission,
        [
            waiting("nightly-7", 2).asking(&[("memory", "4Gi")]),
            waiting("small", 3).asking(&[("memory", "1Gi")]),
            waiting("large", 4).asking(&[("memory", "8Gi")]),
        ],
    );
    admission
}

#[test]
fn whoever_waits_behind_is_told_who_is_first_what_that_one_asks_for_and_the_place() {
    let mut admission = full_of_memory();
    assert_eq!(
        told(&mut admission, "nightly-7"),
        (
            Reason::QueueFull,
            "memory: 30Gi of 32Gi used, it asks for 4Gi; first of 3 in line".into(),
            "memory: 30Gi of 32Gi used, it asks for 4Gi".into()
        )
    );
    let behind = "memory: 30Gi of 32Gi used, and nightly-7, which is first in line, asks for 4Gi";
    assert_eq!(told(&mut admission, "small"), (Reason::QueueFull, format!("{behind}; place 2 of 3"), behind.into()));
    let (_, now, lasting) = told(&mut admission, "large");
    assert_eq!(now, format!("{behind}; place 3 of 3"));
    assert_eq!(lasting, "memory: 30Gi of 32Gi used", "whoever is first makes no difference to it");
    let (first, explanation) = admission.explain_first(&key("q"), at(0)).expect("a first one");
    assert_eq!(explanation.of_queue(&first), "memory: 30Gi of 32Gi used, nightly-7 asks for 4Gi");
}

#[test]
fn a_queue_full_of_tasks_says_so_in_tasks() {
    let mut admission = admission_queue(json!({"tasks": 1}));
    admission.set(&"runs".into(), QueueState::Admitted(waiting("runs", 1).reservation()));
    add(&mut admission, [waiting("a", 2), waiting("b", 3)]);
    let (reason, now, lasting) = told(&mut admission, "b");
    assert_eq!((reason, now.as_str()), (Reason::QueueFull, "tasks: 1 of 1 used; a is first in line; place 2 of 2"));
    assert_eq!(lasting, "tasks: 1 of 1 used");
    assert_eq!(told(&mut admission, "a").1, "tasks: 1 of 1 used; first of 2 in line");
}

/// A queue of ten with one that runs and one that waits.
fn with(change: impl FnOnce(&mut AdmissionQueue)) -> (Reason, String, bool) {
    let mut admission = admission_queue(json!({"tasks": 10}));
    let runs = waiting("runs", 1).of_kb("kb-1").of_priority(Priority::Low);
    admission.set(&"runs".into(), QueueState::Admitted(runs.reservation()));
    add(&mut admission, [waiting("w", 2).of_kb("kb-1").of_priority(Priority::Low).asking(&[("cpu", "4")])]);
    change(&mut admission);
    let explanation = explained(&mut admission, "w");
    (explanation.reason(), explanation.message(Some("w")), explanation.turn.is_some())
}

fn with_quota(spec: Value) -> (Reason, String, bool) {
    with(|admission| admission.set_quota(key("q"), Some(queue(spec))))
}

#[test]
fn each_reason_has_its_numbers_and_only_whoever_waits_for_a_turn_has_a_place() {
    let type_limit = with(|admission| admission.set_type_limits(key("t"), limits(Some(1), None)));
    assert_eq!(type_limit, (Reason::TypeLimit, "type t: 1 of 1 tasks run".into(), false));
    let key_limit = with(|admission| admission.set_type_limits(key("t"), limits(None, Some(1))));
    assert_eq!(key_limit, (Reason::KeyLimit, "type t, kbId kb-1: 1 of 1 tasks run".into(), false));
    let suspended = with_quota(json!({"suspend": true}));
    assert_eq!(suspended, (Reason::QueueSuspended, "queue q is suspended".into(), false));
    let missing = with(|admission| admission.set_quota(key("q"), None));
    assert_eq!((missing.0, missing.2), (Reason::QueueMissing, false));
    let ceiling = with_quota(json!({"capacity": {"tasks": 10}, "ceilings": {"low": 10}}));
    let words = "tasks: 1 of the 1 for priority low and below used; first of 1 in line";
    assert_eq!(ceiling, (Reason::CeilingReached, words.into(), true));
    let too_large = with_quota(json!({"capacity": {"resources": {"cpu": 3}}}));
    let words = "queue q: cpu of 4 is more than the 3 that the queue has in all";
    assert_eq!(too_large, (Reason::TooLargeForQueue, words.into(), false));
    let not_ready = with_quota(json!({"capacity": {"resources": {"requests.cpu": 3}}}));
    assert_eq!((not_ready.0, not_ready.2), (Reason::QueueNotReady, false));
    assert!(not_ready.1.contains("write cpu"), "{}", not_ready.1);
    assert_eq!(with(|_| {}), (Reason::Queued, "first of 1 in line".into(), true));
}

#[test]
fn a_kb_ids_backlog_waits_for_itself_and_leaves_the_places_to_others() {
    let mut admission = admission_queue(json!({"tasks": 0}));
    admission.set_quota(key("q"), Some(queue(json!({"capacity": {"resources": {"cpu": 1}}}))));
    admission.set(&"runs".into(), QueueState::Admitted(waiting("runs", 1).asking(&[("cpu", "1")]).reservation()));
    admission.set_type_limits(key("t"), limits(None, Some(2)));
    let of_kb = |number: u64| waiting(&format!("kb-{number}"), number).of_kb("kb").asking(&[("cpu", "1")]);
    add(&mut admission, (2..100).map(of_kb));
    add(&mut admission, [waiting("other", 200).asking(&[("cpu", "1")])]);
    let place = |admission: &mut AdmissionQueue, uid: &str| explained(admission, uid).turn.map(|turn| turn.place);
    let places = ["kb-2", "kb-3", "kb-4", "other"].map(|uid| place(&mut admission, uid));
    assert_eq!(places, [Some(1), Some(2), None, Some(3)]);
    assert_eq!(told(&mut admission, "kb-4").1, "type t, kbId kb: 0 of 2 tasks run, and 2 go before it");
}

#[test]
fn the_operators_limit_says_numbers_only() {
    let mut admission = AdmissionQueue::new(Some(1));
    let elsewhere = crate::queue::PendingTask { queue: ("other".into(), "secret".into()), ..waiting("runs", 1) };
    admission.set(&"runs".into(), QueueState::Admitted(elsewhere.reservation()));
    admission.set_quota(key("q"), Some(queue(json!({}))));
    add(&mut admission, [waiting("a", 2), waiting("b", 3)]);
    let (reason, now, lasting) = told(&mut admission, "b");
    assert_eq!(
        (reason, now.as_str()),
        (Reason::OperatorLimit, "1 of 1 tasks run in all queues of this operator; a is first in line; place 2 of 2")
    );
    assert_eq!(lasting, "1 of 1 tasks run in all queues of this operator");
}
