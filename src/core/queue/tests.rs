use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::launch::resources::Amounts;
use crate::{ParsedType, Settings};
use task_manager_api::{Admitted, Amount, Priority, Quantity, State, Task, TaskQueueSpec, TaskStatus, TaskTypeSpec};

mod model;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).expect("a time")
}

fn key(name: &str) -> Key {
    ("docs".into(), name.into())
}

fn amounts(of: &[(&str, &str)]) -> Amounts {
    of.iter()
        .map(|(name, text)| ((*name).to_owned(), Quantity((*text).to_owned()).amount().expect("a quantity")))
        .collect()
}

fn queue(spec: Value) -> Quota {
    Quota::of(&serde_json::from_value::<TaskQueueSpec>(spec).expect("a queue's spec"))
}

/// A task of priority normal in queue "q" and of type "t", that arrived at `arrival`.
fn waiting(uid: &str, arrival: u64) -> PendingTask {
    PendingTask {
        queue: key("q"),
        task_type: key("t"),
        kb_id: None,
        order: Order::new(Priority::Normal, arrival, uid.into()),
        requests: Arc::default(),
        ready_at: None,
    }
}

impl PendingTask {
    fn of_priority(self, priority: Priority) -> Self {
        Self { order: Order::new(priority, self.order.arrival(), self.order.uid().clone()), ..self }
    }

    fn in_queue(self, name: &str) -> Self {
        Self { queue: key(name), ..self }
    }

    fn of_type(self, name: &str) -> Self {
        Self { task_type: key(name), ..self }
    }

    fn of_kb(self, kb_id: &str) -> Self {
        Self { kb_id: Some(kb_id.into()), ..self }
    }

    fn asking(self, of: &[(&str, &str)]) -> Self {
        Self { requests: Arc::new(amounts(of)), ..self }
    }

    fn not_before(self, second: i64) -> Self {
        Self { ready_at: Some(at(second)), ..self }
    }
}

/// Admission with one queue "q".
fn admission_queue(capacity: Value) -> AdmissionQueue {
    let mut admission = AdmissionQueue::new(None);
    admission.set_quota(key("q"), Some(queue(json!({"capacity": capacity}))));
    admission
}

fn add(admission: &mut AdmissionQueue, pending_tasks: impl IntoIterator<Item = PendingTask>) {
    for pending in pending_tasks {
        let uid = pending.order.uid().clone();
        admission.set(&uid, QueueState::Pending(pending));
    }
}

/// The uids that get a slot at second 0, in order.
fn admitted(admission: &mut AdmissionQueue) -> Vec<String> {
    admitted_at(admission, 0)
}

fn admitted_at(admission: &mut AdmissionQueue, second: i64) -> Vec<String> {
    admission.admit(at(second)).admitted.iter().map(|pending| pending.order.uid().to_string()).collect()
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
        admission.set_type_limits(key(&name), Some(3), Some(2));
        admission.set_quota(key(&name), Some(Quota::of_tasks(1)));
        add(&mut admission, [pending]);
    }
    assert_eq!(admitted(&mut admission).len(), 20);
    assert_eq!(admission.remembered(), 4 * 20, "two queues, a type and a key of each, and nobody waits");
    for number in 0..20 {
        let name = format!("x{number}");
        admission.set_type_limits(key(&name), None, None);
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
    admission.set_type_limits(key("t"), Some(1), None);
    add(&mut admission, [waiting("a", 1), waiting("b", 2), waiting("other", 3).of_type("u"), waiting("c", 4)]);
    assert_eq!(admitted(&mut admission), ["a", "other"]);
    finish(&mut admission, "a");
    assert_eq!(admitted(&mut admission), ["b"]);
}

#[test]
fn a_type_is_bounded_over_all_queues_together() {
    let mut admission = admission_queue(json!({"tasks": 9}));
    admission.set_quota(key("r"), Some(queue(json!({}))));
    admission.set_type_limits(key("t"), Some(2), None);
    add(
        &mut admission,
        [waiting("a", 1), waiting("b", 2).in_queue("r"), waiting("c", 3).in_queue("r"), waiting("d", 4)],
    );
    assert_eq!(admitted(&mut admission), ["a", "b"]);
}

#[test]
fn tasks_with_one_key_are_bounded_per_type_and_those_without_are_not() {
    let mut admission = admission_queue(json!({"tasks": 99}));
    admission.set_type_limits(key("t"), None, Some(1));
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
    assert_eq!((pass.admitted.len(), pass.admitted[0].order.uid().as_ref(), pass.wake), (1, "now", Some(at(60))));
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
    assert!(capacity.never_fits(Priority::Low, &three).expect("a sentence").contains("cpu of 3"));
    assert_eq!(capacity.never_fits(Priority::Normal, &three), None);
}

#[test]
fn a_pass_is_bounded_and_the_next_one_goes_on_in_order() {
    let mut admission = admission_queue(json!({}));
    add(&mut admission, (0..600).map(|number| waiting(&format!("{number:03}"), number)));
    let mut order = Vec::new();
    loop {
        let pass = admission.admit(at(0));
        order.extend(pass.admitted.iter().map(|pending| pending.order.arrival()));
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

fn task(spec: Value) -> Task {
    let mut whole = json!({"type": "reports", "queue": "q"});
    whole.as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
    let mut task = Task::new("t", serde_json::from_value(whole).expect("a spec"));
    task.metadata.namespace = Some("docs".into());
    task.metadata.uid = Some("uid".into());
    task
}

fn reports() -> ParsedType {
    let template = json!({"spec": {"containers": [{"name": "work", "image": "busybox", "resources": {"requests": {"cpu": "250m"}}}]}});
    ParsedType::read(&TaskTypeSpec { template, ..TaskTypeSpec::default() })
}

fn state_of(task: &Task) -> QueueState {
    queue_state(task, Some(&reports()), 77, &Settings::default())
}

fn pending(task: &Task) -> PendingTask {
    match state_of(task) {
        QueueState::Pending(pending) => pending,
        state => panic!("not pending: {state:?}"),
    }
}

#[test]
fn a_queued_task_is_a_candidate_with_all_that_admission_weighs() {
    let pending = pending(&task(json!({"kbId": "kb-1", "priority": "high"})));
    assert_eq!((pending.queue, pending.task_type, pending.kb_id), (key("q"), key("reports"), Some("kb-1".into())));
    assert_eq!(pending.order, Order::new(Priority::High, 77, "uid".into()));
    assert_eq!(*pending.requests, amounts(&[("cpu", "250m"), ("memory", "1Gi")]));
    assert_eq!(pending.ready_at, None);
}

#[test]
fn an_arrival_that_was_written_goes_before_the_one_seen_and_compares_as_a_number() {
    let arrived = |arrival: &str| {
        let status = TaskStatus { arrival: Some(arrival.into()), ..TaskStatus::default() };
        pending(&Task { status: Some(status), ..task(json!({})) }).order
    };
    assert_eq!(arrived("5").arrival(), 5);
    assert!(arrived("9") < arrived("10"));
    assert_eq!(arrived("nonsense").arrival(), 77);
}

#[test]
fn a_task_is_ready_when_both_its_start_and_its_next_attempt_are() {
    let ready = |start_after: Option<i64>, next: Option<i64>| {
        let spec = start_after.map_or(json!({}), |second| json!({"startAfter": at(second).to_string()}));
        let next_attempt_at = next.map(|second| k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(at(second)));
        pending(&Task { status: Some(TaskStatus { next_attempt_at, ..TaskStatus::default() }), ..task(spec) }).ready_at
    };
    assert_eq!(ready(None, None), None);
    assert_eq!(ready(Some(5), None), Some(at(5)));
    assert_eq!(ready(None, Some(6)), Some(at(6)));
    assert_eq!(ready(Some(5), Some(6)), Some(at(6)));
}

#[test]
fn what_is_withheld_is_no_candidate() {
    for spec in [
        json!({"suspend": true}),
        json!({"cancel": true}),
        json!({"priority": "low", "retry": {"limit": 9}, "timeoutSeconds": 99}),
    ] {
        let mut task_type = reports();
        task_type.spec.maximum.retry_limit = Some(8);
        assert_eq!(
            queue_state(&task(spec.clone()), Some(&task_type), 1, &Settings::default()),
            QueueState::Inactive,
            "{spec}"
        );
    }
    assert_eq!(
        queue_state(&task(json!({})), None, 1, &Settings::default()),
        QueueState::Inactive,
        "its type is missing"
    );
    let unusable = ParsedType::read(&TaskTypeSpec::default());
    assert_eq!(
        queue_state(&task(json!({})), Some(&unusable), 1, &Settings::default()),
        QueueState::Inactive,
        "its type is not ready"
    );
    assert_eq!(
        state_of(&task(json!({}))).in_deleted_namespace(),
        QueueState::Inactive,
        "its namespace is being deleted"
    );
    let mut deleted = task(json!({}));
    deleted.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
    assert_eq!(state_of(&deleted), QueueState::Inactive);
    let status = TaskStatus { run_id: Some("1".into()), ..TaskStatus::default() };
    assert_eq!(
        state_of(&Task { status: Some(status), ..task(json!({"runId": "2"})) }),
        QueueState::Inactive,
        "its new run has not begun"
    );
}

#[test]
fn a_task_holds_what_was_admitted_until_it_is_final_whatever_its_spec_says_later() {
    for state in [State::Queued, State::Processing, State::Completed, State::Failed, State::Cancelled] {
        let resources = BTreeMap::from([("cpu".to_owned(), Quantity("2".into()))]);
        let admitted =
            Admitted { queue: "before".into(), type_: Some("others".into()), kb_id: Some("kb-0".into()), resources };
        let status =
            TaskStatus { state, admitted: Some(admitted), priority: Some(Priority::Low), ..TaskStatus::default() };
        let mut task = Task { status: Some(status), ..task(json!({"priority": "high", "cancel": true, "kbId": "kb"})) };
        task.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
        let reservation = Reservation {
            queue: key("before"),
            task_type: key("others"),
            kb_id: Some("kb-0".into()),
            priority: Priority::Low,
            resources: BTreeMap::from([("cpu".to_owned(), Amount::whole(2))]),
        };
        let expected =
            if state == State::Processing { QueueState::Admitted(reservation) } else { QueueState::Inactive };
        assert_eq!(state_of(&task), expected, "{state}");
    }
}

/// The same task, admitted with these fields in its status.
fn admitted_as(task: Task, admitted: Value) -> Task {
    let admitted = serde_json::from_value(admitted).expect("what it holds");
    Task { status: Some(TaskStatus { state: State::Processing, admitted, ..TaskStatus::default() }), ..task }
}

#[test]
fn what_an_admission_holds_is_read_back_from_its_status() {
    for spec in [json!({"kbId": "kb-1"}), json!({})] {
        let pending = pending(&task(spec.clone()));
        let admitted = serde_json::to_value(pending.admitted()).expect("JSON");
        let elsewhere = task(json!({"type": "others", "queue": "r", "kbId": "kb-2"}));
        assert_eq!(state_of(&admitted_as(elsewhere, admitted)), QueueState::Admitted(pending.reservation()), "{spec}");
    }
}

#[test]
fn what_an_older_operator_admitted_holds_the_type_and_the_key_of_its_spec() {
    let older = admitted_as(task(json!({"kbId": "kb-1"})), json!({"queue": "q"}));
    let QueueState::Admitted(reservation) = state_of(&older) else { panic!("it holds a slot") };
    assert_eq!((reservation.task_type, reservation.kb_id), (key("reports"), Some("kb-1".into())));
}

#[test]
fn a_new_run_of_another_type_or_key_frees_the_old_one_only_when_the_old_attempt_has_ended() {
    for (bound, before, after) in [
        ((Some(1), None), json!({}), json!({"type": "others", "runId": "2"})),
        ((None, Some(1)), json!({"kbId": "kb-1"}), json!({"kbId": "kb-2", "runId": "2"})),
    ] {
        let mut admission = admission_queue(json!({"tasks": 9}));
        admission.set_type_limits(key("reports"), bound.0, bound.1);
        let runs = pending(&task(before.clone()));
        let written = serde_json::to_value(runs.admitted()).expect("JSON");
        add(&mut admission, [runs]);
        assert_eq!(admitted(&mut admission), ["uid"]);
        let next = PendingTask { order: Order::new(Priority::Normal, 99, "next".into()), ..pending(&task(before)) };
        add(&mut admission, [next]);
        admission.set(&"uid".into(), state_of(&admitted_as(task(after), written)));
        assert_eq!(admitted(&mut admission), [""; 0], "its pod still runs: {bound:?}");
        finish(&mut admission, "uid");
        assert_eq!(admitted(&mut admission), ["next"]);
    }
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
