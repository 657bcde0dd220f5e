use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::launch::resources::Amounts;
use crate::{ParsedType, Reason, Settings};
use task_manager_api::{
    Admitted, Amount, Executor, Priority, Quantity, State, Task, TaskQueueSpec, TaskStatus, TaskTypeSpec,
};

mod costs;
mod model;
mod pools;
mod state;

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).expect("a time")
}

pub fn key(name: &str) -> Key {
    ("docs".into(), name.into())
}

fn amounts(of: &[(&str, &str)]) -> Amounts {
    of.iter()
        .map(|(name, text)| ((*name).to_owned(), Quantity((*text).to_owned()).amount().expect("a quantity")))
        .collect()
}

pub fn queue(spec: Value) -> Quota {
    Quota::of(&serde_json::from_value::<TaskQueueSpec>(spec).expect("a queue's spec"))
}

/// A task of priority normal in queue "q" and of type "t", that arrived at `arrival`.
pub fn waiting(uid: &str, arrival: u64) -> PendingTask {
    PendingTask {
        queue: key("q"),
        task_type: key("t"),
        kb_id: None,
        order: Order::new(Priority::Normal, arrival, uid.into()),
        requests: Arc::default(),
        executor: Executor::default(),
        ready_at: None,
        failed_on: None,
    }
}

impl PendingTask {
    pub fn of_priority(self, priority: Priority) -> Self {
        Self { order: Order::new(priority, self.order.place(), self.order.uid().clone()), ..self }
    }

    pub fn in_queue(self, name: &str) -> Self {
        Self { queue: key(name), ..self }
    }

    pub fn of_type(self, name: &str) -> Self {
        Self { task_type: key(name), ..self }
    }

    pub fn of_kb(self, kb_id: &str) -> Self {
        Self { kb_id: Some(kb_id.into()), ..self }
    }

    pub fn asking(self, of: &[(&str, &str)]) -> Self {
        Self { requests: Arc::new(amounts(of)), ..self }
    }

    pub fn not_before(self, second: i64) -> Self {
        Self { ready_at: Some(at(second)), ..self }
    }
}

/// Admission with one queue "q".
pub fn admission_queue(capacity: Value) -> AdmissionQueue {
    let mut admission = AdmissionQueue::new(None);
    admission.set_quota(key("q"), Some(queue(json!({"capacity": capacity}))));
    admission
}

pub fn add(admission: &mut AdmissionQueue, pending_tasks: impl IntoIterator<Item = PendingTask>) {
    for pending in pending_tasks {
        let uid = pending.order.uid().clone();
        admission.set(&uid, QueueState::Pending(pending));
    }
}

/// The uids that get a slot at second 0, in order.
pub fn limits(most: Option<i32>, most_per_kb_id: Option<i32>) -> TypeLimits {
    TypeLimits { most, most_per_kb_id, pool: None }
}

fn admitted(admission: &mut AdmissionQueue) -> Vec<String> {
    admitted_at(admission, 0)
}

fn admitted_at(admission: &mut AdmissionQueue, second: i64) -> Vec<String> {
    admission.admit(at(second)).admitted.iter().map(|grant| grant.task.order.uid().to_string()).collect()
}

fn finish(admission: &mut AdmissionQueue, uid: &str) {
    admission.set(&uid.into(), QueueState::Inactive);
}

#[test]
fn the_order_is_priority_then_arrival_then_uid() {
    let mut admission = admission_queue(json!({"tasks": 9}));
    add(
        &mut admission,
        [
            waiting("low", 1).of_priority(Priority::Low),
            waiting("b", 10),
            waiting("late", 11),
            waiting("a", 10),
            waiting("nine", 9),
            waiting("critical", 99).of_priority(Priority::Critical),
            waiting("high", 50).of_priority(Priority::High),
        ],
    );
    assert_eq!(admitted(&mut admission), ["critical", "high", "nine", "a", "b", "late", "low"]);
}

#[test]
fn no_more_start_than_the_queue_has_room_for_and_each_end_makes_room() {
    let mut admission = admission_queue(json!({"tasks": 2}));
    add(&mut admission, [waiting("a", 1), waiting("b", 2), waiting("c", 3), waiting("d", 4)]);
    assert_eq!(admitted(&mut admission), ["a", "b"]);
    assert_eq!(admitted(&mut admission), [""; 0]);
    finish(&mut admission, "b");
    assert_eq!(admitted(&mut admission), ["c"]);
    admission.remove(&"a".into());
    assert_eq!(admitted(&mut admission), ["d"]);
}

#[test]
fn a_task_without_room_holds_back_all_behind_it_in_its_queue_and_no_other() {
    let mut admission = admission_queue(json!({"resources": {"cpu": 4}}));
    admission.set_quota(key("other"), Some(queue(json!({"capacity": {"tasks": 5}}))));
    add(
        &mut admission,
        [
            waiting("fits", 1).asking(&[("cpu", "3")]),
            waiting("large", 2).asking(&[("cpu", "2")]),
            waiting("small", 3).asking(&[("cpu", "1")]),
            waiting("smallest", 4).of_priority(Priority::Low),
            waiting("elsewhere", 5).in_queue("other").asking(&[("cpu", "99")]),
        ],
    );
    assert_eq!(admitted(&mut admission), ["fits", "elsewhere"]);
    finish(&mut admission, "fits");
    assert_eq!(admitted(&mut admission), ["large", "small", "smallest"]);
}

#[test]
fn a_more_urgent_task_goes_before_a_blocked_one() {
    let mut admission = admission_queue(json!({"resources": {"cpu": 4}}));
    add(&mut admission, [waiting("runs", 1).asking(&[("cpu", "3")])]);
    assert_eq!(admitted(&mut admission), ["runs"]);
    add(
        &mut admission,
        [
            waiting("large", 2).asking(&[("cpu", "2")]),
            waiting("urgent", 9).of_priority(Priority::High).asking(&[("cpu", "1")]),
        ],
    );
    assert_eq!(admitted(&mut admission), ["urgent"]);
}

#[test]
fn resources_are_summed_exactly_and_what_is_not_named_is_unbounded() {
    let mut admission = admission_queue(json!({"resources": {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": 2}}));
    let ask = |uid, arrival, of: &[(&str, &str)]| waiting(uid, arrival).asking(of);
    add(
        &mut admission,
        [
            ask("a", 1, &[("cpu", "500m"), ("memory", "512Mi"), ("nvidia.com/gpu", "1")]),
            ask("b", 2, &[("cpu", "0.5"), ("memory", "0.5Gi"), ("ephemeral-storage", "9Ti")]),
            ask("c", 3, &[("nvidia.com/gpu", "1")]),
            ask("d", 4, &[("nvidia.com/gpu", "1")]),
        ],
    );
    assert_eq!(admitted(&mut admission), ["a", "b", "c"], "the third GPU is missing");
    finish(&mut admission, "c");
    assert_eq!(admitted(&mut admission), ["d"]);
}

#[test]
fn a_task_that_asks_for_none_of_what_is_overdrawn_still_fits() {
    let mut admission = admission_queue(json!({"resources": {"nvidia.com/gpu": 2}}));
    add(&mut admission, [waiting("two", 1).asking(&[("nvidia.com/gpu", "2")])]);
    assert_eq!(admitted(&mut admission), ["two"]);
    admission.set_quota(key("q"), Some(queue(json!({"capacity": {"resources": {"nvidia.com/gpu": 1}}}))));
    add(&mut admission, [waiting("none", 2).asking(&[("nvidia.com/gpu", "0"), ("cpu", "1")])]);
    assert_eq!(admitted(&mut admission), ["none"]);
}

#[test]
fn a_lowered_capacity_ends_nothing_and_holds_back_until_enough_have_ended() {
    let mut admission = admission_queue(json!({"tasks": 3}));
    add(&mut admission, (1..=5).map(|number| waiting(&format!("t{number}"), number)));
    assert_eq!(admitted(&mut admission), ["t1", "t2", "t3"]);
    admission.set_quota(key("q"), Some(queue(json!({"capacity": {"tasks": 1}}))));
    assert_eq!(admission.running(), 3);
    finish(&mut admission, "t1");
    finish(&mut admission, "t2");
    assert_eq!(admitted(&mut admission), [""; 0]);
    finish(&mut admission, "t3");
    assert_eq!(admitted(&mut admission), ["t4"]);
}

#[test]
fn the_default_queue_need_not_be_created_and_others_must() {
    let mut admission = AdmissionQueue::new(None).with_default_queue(Quota::of_tasks(1));
    add(&mut admission, [waiting("a", 1).in_queue("default"), waiting("b", 2).in_queue("default"), waiting("c", 3)]);
    assert_eq!(admitted(&mut admission), ["a"]);
    admission.set_quota(key("default"), Some(Quota::of_tasks(2)));
    assert_eq!(admitted(&mut admission), ["b"], "its own word comes first");
    admission.set_quota(key("default"), None);
    assert_eq!(admission.quota(&key("default")), Some(&Quota::of_tasks(1)));
    assert_eq!(admission.quota(&key("q")), None);
}

#[test]
fn no_book_stays_open_of_what_is_gone_and_holds_nothing() {
    let mut admission = AdmissionQueue::new(None).with_default_queue(Quota::of_tasks(50));
    for number in 0..20 {
        let name = format!("x{number}");
        let pending = waiting(&name, number).in_queue("default").of_type(&name).of_kb("kb").asking(&[("cpu", "1")]);
        let pending = PendingTask { queue: (name.as_str().into(), "default".into()), ..pending };
        admission.set_type_limits(key(&name), limits(Some(3), Some(2)));
        admission.set_quota(key(&name), Some(Quota::of_tasks(1)));
        add(&mut admission, [pending]);
    }
    assert_eq!(admitted(&mut admission).len(), 20);
    assert_eq!(admission.remembered(), 4 * 20, "two queues, a type and a key of each, and nobody waits");
    for number in 0..20 {
        let name = format!("x{number}");
        admission.set_type_limits(key(&name), limits(None, None));
        admission.set_quota(key(&name), None);
        finish(&mut admission, &name);
    }
    assert_eq!(admission.remembered(), 0);
}

/// How many of each priority start in a queue of `tasks` with `ceilings`, when 20 of each wait.
fn started(tasks: i32, ceilings: Value) -> [usize; 4] {
    use strum::IntoEnumIterator;
    let mut counts = [0; 4];
    for priority in Priority::iter() {
        let mut admission = AdmissionQueue::new(None);
        admission.set_quota(key("q"), Some(queue(json!({"capacity": {"tasks": tasks}, "ceilings": ceilings}))));
        add(&mut admission, (0..20).map(|number| waiting(&number.to_string(), number).of_priority(priority)));
        counts[priority.index()] = admitted(&mut admission).len();
    }
    counts
}

#[test]
fn ceilings_are_percentages_rounded_up_and_leave_at_least_one_task() {
    assert_eq!(started(10, json!({})), [10, 10, 10, 10]);
    assert_eq!(started(10, json!({"low": 50, "normal": 90})), [5, 9, 10, 10]);
    assert_eq!(started(10, json!({"low": 51})), [6, 10, 10, 10]);
    assert_eq!(started(10, json!({"low": 1, "high": 35})), [1, 4, 4, 10]);
    assert_eq!(started(1, json!({"low": 1, "normal": 50})), [1, 1, 1, 1]);
    assert_eq!(started(0, json!({"low": 50})), [0, 0, 0, 0]);
    assert_eq!(started(10, json!({"critical": 20})), [2, 2, 2, 2], "a ceiling bounds all below it too");
}

#[test]
fn a_ceiling_counts_its_priority_and_all_below_it_together() {
    let mut admission = AdmissionQueue::new(None);
    admission
        .set_quota(key("q"), Some(queue(json!({"capacity": {"tasks": 10}, "ceilings": {"low": 50, "normal": 60}}))));
    add(&mut admission, (0..5).map(|number| waiting(&format!("low{number}"), number).of_priority(Priority::Low)));
    assert_eq!(admitted(&mut admission).len(), 5);
    add(&mut admission, (10..15).map(|number| waiting(&format!("normal{number}"), number)));
    assert_eq!(admitted(&mut admission), ["normal10"]);
    add(&mut admission, (20..26).map(|number| waiting(&format!("high{number}"), number).of_priority(Priority::High)));
    assert_eq!(admitted(&mut admission).len(), 4);
}

#[test]
fn what_runs_above_does_not_use_up_a_lower_ceiling() {
    let mut admission = AdmissionQueue::new(None);
    admission.set_quota(key("q"), Some(queue(json!({"capacity": {"tasks": 10}, "ceilings": {"low": 50}}))));
    add(&mut admission, (0..5).map(|number| waiting(&format!("high{number}"), number).of_priority(Priority::High)));
    add(&mut admission, (10..20).map(|number| waiting(&format!("low{number}"), number).of_priority(Priority::Low)));
    assert_eq!(admitted(&mut admission).len(), 10);
}

#[test]
fn ceilings_hold_for_resources_too() {
    let mut admission = AdmissionQueue::new(None);
    admission.set_quota(key("q"), Some(queue(json!({"capacity": {"resources": {"cpu": 4}}, "ceilings": {"low": 50}}))));
    let low = |uid, arrival| waiting(uid, arrival).of_priority(Priority::Low).asking(&[("cpu", "1")]);
    add(&mut admission, [low("a", 1), low("b", 2), low("c", 3)]);
    assert_eq!(admitted(&mut admission), ["a", "b"]);
}

#[test]
fn a_full_type_holds_back_nobody_of_another() {
    let mut admission = admission_queue(json!({"tasks": 9}));
    admission.set_type_limits(key("t"), limits(Some(1), None));
    add(&mut admission, [waiting("a", 1), waiting("b", 2), waiting("other", 3).of_type("u"), waiting("c", 4)]);
    assert_eq!(admitted(&mut admission), ["a", "other"]);
    finish(&mut admission, "a");
    assert_eq!(admitted(&mut admission), ["b"]);
}

#[test]
fn a_type_is_bounded_over_all_queues_together() {
    let mut admission = admission_queue(json!({"tasks": 9}));
    admission.set_quota(key("r"), Some(queue(json!({}))));
    admission.set_type_limits(key("t"), limits(Some(2), None));
    add(
        &mut admission,
        [waiting("a", 1), waiting("b", 2).in_queue("r"), waiting("c", 3).in_queue("r"), waiting("d", 4)],
    );
    assert_eq!(admitted(&mut admission), ["a", "b"]);
}

#[test]
fn tasks_with_one_key_are_bounded_per_type_and_those_without_are_not() {
    let mut admission = admission_queue(json!({"tasks": 99}));
    admission.set_type_limits(key("t"), limits(None, Some(1)));
    add(
        &mut admission,
        [
            waiting("a", 1).of_kb("kb-1"),
            waiting("b", 2).of_kb("kb-1"),
            waiting("c", 3).of_kb("kb-2"),
            waiting("d", 4).of_kb("kb-1").of_type("u"),
            waiting("e", 5),
            waiting("f", 6),
        ],
    );
    assert_eq!(admitted(&mut admission), ["a", "c", "d", "e", "f"]);
    finish(&mut admission, "c");
    assert_eq!(admitted(&mut admission), [""; 0]);
    finish(&mut admission, "a");
    assert_eq!(admitted(&mut admission), ["b"]);
}

#[test]
fn the_bound_over_all_queues_is_filled_in_the_one_order() {
    let mut admission = AdmissionQueue::new(Some(3));
    for name in ["q", "r"] {
        admission.set_quota(key(name), Some(queue(json!({}))));
    }
    add(
        &mut admission,
        [
            waiting("q1", 1),
            waiting("q4", 4),
            waiting("r2", 2).in_queue("r"),
            waiting("r3", 3).in_queue("r"),
            waiting("urgent", 9).in_queue("r").of_priority(Priority::High),
        ],
    );
    assert_eq!(admitted(&mut admission), ["urgent", "q1", "r2"]);
    finish(&mut admission, "q1");
    assert_eq!(admitted(&mut admission), ["r3"]);
}

#[test]
fn a_task_that_waits_for_its_time_holds_back_nobody_and_names_the_time() {
    let mut admission = admission_queue(json!({"tasks": 1}));
    add(&mut admission, [waiting("later", 1).not_before(60), waiting("latest", 2).not_before(90), waiting("now", 3)]);
    let pass = admission.admit(at(0));
    assert_eq!((pass.admitted.len(), pass.admitted[0].task.order.uid().as_ref(), pass.wake), (1, "now", Some(at(60))));
    finish(&mut admission, "now");
    assert_eq!(admitted_at(&mut admission, 59), [""; 0]);
    assert_eq!(admitted_at(&mut admission, 60), ["later"]);
}

#[test]
fn a_suspended_queue_starts_nothing_and_goes_on_afterwards() {
    let mut admission = admission_queue(json!({"tasks": 5}));
    admission.set_quota(key("q"), Some(queue(json!({"suspend": true}))));
    add(&mut admission, [waiting("a", 1)]);
    assert_eq!(admitted(&mut admission), [""; 0]);
    admission.set_quota(key("q"), Some(queue(json!({}))));
    assert_eq!(admitted(&mut admission), ["a"]);
}

#[test]
fn a_missing_queue_starts_nothing_and_goes_on_when_it_appears() {
    let mut admission = AdmissionQueue::new(None);
    add(&mut admission, [waiting("a", 1)]);
    assert_eq!(admitted(&mut admission), [""; 0]);
    admission.set_quota(key("q"), Some(Quota::of_tasks(1)));
    assert_eq!(admitted(&mut admission), ["a"]);
    admission.set_quota(key("q"), None);
    finish(&mut admission, "a");
    add(&mut admission, [waiting("b", 2)]);
    assert_eq!(admitted(&mut admission), [""; 0]);
}

#[test]
fn what_could_never_fit_holds_back_nobody() {
    let mut admission = admission_queue(json!({"tasks": 9, "resources": {"cpu": 4}}));
    add(
        &mut admission,
        [
            waiting("huge", 1).of_priority(Priority::Critical).asking(&[("cpu", "5")]),
            waiting("small", 2).asking(&[("cpu", "1")]),
        ],
    );
    assert_eq!(admitted(&mut admission), ["small"]);
    let capacity = queue(json!({"capacity": {"resources": {"cpu": 4}}, "ceilings": {"low": 50}}));
    let three = amounts(&[("cpu", "3")]);
    assert!(capacity.never_fits(Priority::Low, &three).expect("a lack").for_ever().contains("cpu of 3"));
    assert_eq!(capacity.never_fits(Priority::Normal, &three), None);
}

#[test]
fn a_pass_is_bounded_and_the_next_one_goes_on_in_order() {
    let mut admission = admission_queue(json!({}));
    add(&mut admission, (0..600).map(|number| waiting(&format!("{number:03}"), number)));
    let mut order = Vec::new();
    loop {
        let pass = admission.admit(at(0));
        order.extend(pass.admitted.iter().map(|grant| grant.task.order.place()));
        if !pass.unfinished {
            break;
        }
    }
    assert_eq!(order, (0..600).collect::<Vec<_>>());
}

#[test]
fn a_task_that_moves_stands_in_one_place_only() {
    let mut admission = admission_queue(json!({"tasks": 1}));
    admission.set_quota(key("r"), Some(queue(json!({}))));
    add(&mut admission, [waiting("a", 5), waiting("a", 5).of_priority(Priority::High), waiting("a", 7).in_queue("r")]);
    assert_eq!(admission.depth(), [0, 1, 0, 0]);
    assert_eq!(admitted(&mut admission), ["a"]);
    assert_eq!((admission.depth(), admission.running()), ([0; 4], 1));
    add(&mut admission, [waiting("b", 8)]);
    assert_eq!(admitted(&mut admission), ["b"], "a's slot is of the other queue");
}

#[test]
fn placing_a_holder_twice_counts_it_once() {
    let mut admission = admission_queue(json!({"tasks": 2}));
    for _ in 0..3 {
        admission.set(&"held".into(), QueueState::Admitted(waiting("held", 1).reservation()));
    }
    add(&mut admission, [waiting("a", 1), waiting("b", 2)]);
    assert_eq!(admitted(&mut admission), ["a"]);
    assert_eq!(admission.running(), 2);
}

#[test]
fn a_pass_over_many_wakes_for_the_earliest() {
    let mut admission = admission_queue(json!({"tasks": 9}));
    add(&mut admission, (0..9u64).map(|number| waiting(&number.to_string(), number).not_before(100 - number as i64)));
    assert_eq!(admission.admit(at(0)).wake, Some(at(92)));
    assert_eq!(admission.admit(at(0) + SignedDuration::from_secs(200)).wake, None);
}

#[test]
fn order_is_total_and_repeatable() {
    let uid = |text: &str| -> Arc<str> { text.into() };
    let sorted = [
        Order::new(Priority::Critical, 9, uid("z")),
        Order::new(Priority::High, 3, uid("a")),
        Order::new(Priority::Normal, 1, uid("b")),
        Order::new(Priority::Normal, 1, uid("c")),
        Order::new(Priority::Normal, 2, uid("a")),
        Order::new(Priority::Low, 0, uid("a")),
    ];
    assert!(sorted.is_sorted_by(|one, other| one < other));
}
