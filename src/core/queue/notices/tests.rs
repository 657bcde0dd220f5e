//! Who is told, and how often.

use serde_json::json;

use super::*;
use crate::queue::tests::{add, admission_queue, at, key, queue, waiting};
use crate::queue::{AdmissionQueue, QueueState};

/// A queue of one in which one runs, and so many wait.
fn full(count: u64) -> AdmissionQueue {
    let mut admission = admission_queue(json!({"tasks": 1}));
    admission.set(&"runs".into(), QueueState::Admitted(waiting("runs", 0).reservation()));
    add(&mut admission, (1..=count).map(|number| waiting(&format!("{number:03}"), number)));
    admission
}

/// The uids that are told at a second, in order, where their statuses say nothing yet.
fn told(notices: &mut Notices, admission: &mut AdmissionQueue, second: i64) -> Vec<String> {
    let front = |(uid, explanation): (Arc<str>, Explanation)| {
        let first = explanation.turn.as_ref().map(|turn| turn.first.to_string());
        let says = notices.of(&uid).map_or(Reason::Queued, |why| why.reason);
        Waiting { uid, explanation, first, is_in_front: true, says }
    };
    let waiting = admission.fronts(TOLD, at(second)).into_iter().map(front).collect();
    let mut told: Vec<String> = notices.take_in(waiting, at(second)).into_iter().map(|uid| uid.to_string()).collect();
    told.sort();
    told
}

#[test]
fn a_standing_backlog_is_told_to_ten_of_it_once() {
    let (mut notices, mut admission) = (Notices::default(), full(300));
    assert_eq!(told(&mut notices, &mut admission, 0), [""; 0]);
    assert_eq!(told(&mut notices, &mut admission, 9), [""; 0], "it has not stood there for ten seconds");
    let first: Vec<String> = (1..=10).map(|number| format!("{number:03}")).collect();
    assert_eq!(told(&mut notices, &mut admission, 10), first);
    for second in 11..10_000 {
        assert_eq!(told(&mut notices, &mut admission, second), [""; 0]);
    }
    assert_eq!(notices.of("003"), Some(&Why::new(Reason::QueueFull, "tasks: 1 of 1 used")));
    assert_eq!(notices.of("011"), None);
}

#[test]
fn a_backlog_that_moves_is_told_to_each_newcomer_alone() {
    let (mut notices, mut admission) = (Notices::default(), full(300));
    let mut count = 0;
    for second in 0..600 {
        if second % 60 == 59 {
            let runs = format!("{:03}", second / 60);
            admission.set(&runs.as_str().into(), QueueState::Inactive);
            admission.set(&"runs".into(), QueueState::Inactive);
            assert_eq!(admission.admit(at(second)).admitted.len(), 1);
        }
        count += told(&mut notices, &mut admission, second).len();
    }
    assert_eq!(count, 10 + 9, "ten at the beginning, and one for each that started");
}

#[test]
fn another_reason_is_told_after_it_has_stood_and_at_most_once_a_minute() {
    let (mut notices, mut admission) = (Notices::default(), full(1));
    assert!(told(&mut notices, &mut admission, 0).is_empty());
    assert_eq!(told(&mut notices, &mut admission, 10), ["001"]);
    admission.set_quota(key("q"), Some(queue(json!({"suspend": true}))));
    for second in 11..70 {
        assert!(told(&mut notices, &mut admission, second).is_empty(), "{second}");
    }
    assert_eq!(told(&mut notices, &mut admission, 70), ["001"]);
    assert_eq!(notices.of("001").map(|why| why.reason), Some(Reason::QueueSuspended));
}

#[test]
fn whoever_is_no_longer_in_front_is_told_only_that_its_reason_is_over() {
    let (mut notices, mut admission) = (Notices::default(), full(1));
    let explanation = admission.explain("001", at(0)).expect("it waits");
    let mut look = |second: i64, says: Reason| {
        let uid = "001".into();
        let waiting = Waiting { uid, explanation: explanation.clone(), first: None, is_in_front: false, says };
        notices.take_in(vec![waiting], at(second)).len()
    };
    assert_eq!((look(0, Reason::QueueFull), look(100, Reason::QueueFull)), (0, 0));
    assert_eq!(look(200, Reason::QueueSuspended), 1);
}
