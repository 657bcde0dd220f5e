//! A pass costs what it admits, however long the backlog is and whatever holds it back.

use super::*;

const BACKLOG: u64 = 10_000;

/// How many tasks a pass looks at, and how many it admits, after one has ended.
fn cost_of_a_pass(admission: &mut AdmissionQueue, ended: &str) -> (usize, usize) {
    finish(admission, ended);
    let pass = admission.admit(at(0));
    (pass.examined, pass.admitted.len())
}

fn number(number: u64) -> String {
    format!("{number:05}")
}

#[test]
fn a_full_queue_costs_a_pass_one_look_and_nothing_until_something_ends() {
    let mut admission = admission_queue(json!({"tasks": 1}));
    add(&mut admission, (0..BACKLOG).map(|at| waiting(&number(at), at)));
    let first = admission.admit(at(0));
    assert_eq!((first.examined, first.admitted.len()), (2, 1));
    assert_eq!(admission.admit(at(0)).examined, 0);
    assert_eq!(cost_of_a_pass(&mut admission, &number(0)), (2, 1));
}

#[test]
fn a_backlog_of_one_kb_id_costs_a_pass_no_look_at_those_that_have_to_wait_for_it() {
    let mut admission = admission_queue(json!({"tasks": 100}));
    admission.set_type_limits(key("t"), limits(None, Some(1)));
    add(&mut admission, (0..BACKLOG).map(|at| waiting(&number(at), at).of_kb("kb")));
    add(&mut admission, [waiting("other", BACKLOG).of_kb("another")]);
    let first = admission.admit(at(0));
    assert_eq!((first.examined, first.admitted.len()), (2, 2));
    assert_eq!(admission.admit(at(0)).examined, 0);
    assert_eq!(cost_of_a_pass(&mut admission, &number(0)), (1, 1));
}

#[test]
fn a_backlog_of_as_many_kb_ids_costs_a_pass_what_it_admits() {
    let mut admission = admission_queue(json!({"tasks": 50}));
    admission.set_type_limits(key("t"), limits(None, Some(1)));
    add(&mut admission, (0..BACKLOG).map(|at| waiting(&number(at), at).of_kb(&number(at))));
    let first = admission.admit(at(0));
    assert_eq!((first.examined, first.admitted.len()), (51, 50));
    assert_eq!(cost_of_a_pass(&mut admission, &number(3)), (2, 1));
    admission.set_type_limits(key("t"), limits(Some(10), Some(1)));
    assert_eq!(cost_of_a_pass(&mut admission, &number(4)), (0, 0), "its type has enough");
}

#[test]
fn tasks_too_large_for_their_queue_are_looked_at_when_the_queue_changes_alone() {
    let mut admission = admission_queue(json!({"resources": {"cpu": 1}}));
    add(&mut admission, (0..BACKLOG).map(|at| waiting(&number(at), at).asking(&[("cpu", "2")])));
    add(&mut admission, [waiting("small", BACKLOG).asking(&[("cpu", "1")])]);
    let first = admission.admit(at(0));
    assert_eq!((first.examined, first.admitted.len()), (1, 1));
    assert_eq!(cost_of_a_pass(&mut admission, "small"), (0, 0));
    admission.set_quota(key("q"), Some(queue(json!({"capacity": {"resources": {"cpu": 2}}}))));
    assert_eq!(admitted(&mut admission), [number(0)]);
}

#[test]
fn a_suspended_queue_and_the_operators_limit_cost_a_pass_no_look() {
    let mut admission = AdmissionQueue::new(Some(1));
    admission.set_quota(key("q"), Some(queue(json!({"suspend": true}))));
    admission.set_quota(key("r"), Some(queue(json!({}))));
    add(&mut admission, (0..BACKLOG).map(|at| waiting(&number(at), at)));
    assert_eq!(admission.admit(at(0)).examined, 0);
    add(&mut admission, (0..BACKLOG).map(|at| waiting(&format!("r{}", number(at)), at).in_queue("r")));
    let first = admission.admit(at(0));
    assert_eq!((first.examined, first.admitted.len()), (1, 1));
    assert_eq!(admission.admit(at(0)).examined, 0);
}
