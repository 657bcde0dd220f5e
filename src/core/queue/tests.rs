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

fn queue(spec: Value) -> Capacity {
    Capacity::of(&serde_json::from_value::<TaskQueueSpec>(spec).expect("a queue's spec"))
}

/// A task of priority normal in queue "q" and of type "t", that arrived at `arrival`.
fn waiting(uid: &str, arrival: u64) -> Candidate {
    Candidate {
        queue: key("q"),
        kind: key("t"),
        kb_id: None,
        order: Order::new(Priority::Normal, arrival, uid.into()),
        asks: Arc::default(),
        ready_at: None,
    }
}

impl Candidate {
    fn of_priority(self, priority: Priority) -> Self {
        Self { order: Order::new(priority, self.order.arrival(), self.order.uid().clone()), ..self }
    }

    fn in_queue(self, name: &str) -> Self {
        Self { queue: key(name), ..self }
    }

    fn of_type(self, name: &str) -> Self {
        Self { kind: key(name), ..self }
    }

    fn of_kb(self, kb_id: &str) -> Self {
        Self { kb_id: Some(kb_id.into()), ..self }
    }

    fn asking(self, of: &[(&str, &str)]) -> Self {
        Self { asks: Arc::new(amounts(of)), ..self }
    }

    fn not_before(self, second: i64) -> Self {
        Self { ready_at: Some(at(second)), ..self }
    }
}

/// A board with one queue "q".
fn board(capacity: Value) -> Board {
    let mut board = Board::new(None);
    board.bound_queue(key("q"), Some(queue(json!({"capacity": capacity}))));
    board
}

fn place(board: &mut Board, candidates: impl IntoIterator<Item = Candidate>) {
    for candidate in candidates {
        let uid = candidate.order.uid().clone();
        board.place(&uid, Standing::Candidate(candidate));
    }
}

/// The uids that get a slot at second 0, in order.
fn admitted(board: &mut Board) -> Vec<String> {
    admitted_at(board, 0)
}

fn admitted_at(board: &mut Board, second: i64) -> Vec<String> {
    board.admit(at(second)).admitted.iter().map(|candidate| candidate.order.uid().to_string()).collect()
}

fn finish(board: &mut Board, uid: &str) {
    board.place(&uid.into(), Standing::Neither);
}

#[test]
fn the_order_is_priority_then_arrival_then_uid() {
    let mut board = board(json!({"tasks": 9}));
    place(
        &mut board,
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
    assert_eq!(admitted(&mut board), ["critical", "high", "nine", "a", "b", "late", "low"]);
}

#[test]
fn no_more_start_than_the_queue_has_room_for_and_each_end_makes_room() {
    let mut board = board(json!({"tasks": 2}));
    place(&mut board, [waiting("a", 1), waiting("b", 2), waiting("c", 3), waiting("d", 4)]);
    assert_eq!(admitted(&mut board), ["a", "b"]);
    assert_eq!(admitted(&mut board), [""; 0]);
    finish(&mut board, "b");
    assert_eq!(admitted(&mut board), ["c"]);
    board.remove(&"a".into());
    assert_eq!(admitted(&mut board), ["d"]);
}

#[test]
fn a_task_without_room_holds_back_all_behind_it_in_its_queue_and_no_other() {
    let mut board = board(json!({"resources": {"cpu": 4}}));
    board.bound_queue(key("other"), Some(queue(json!({"capacity": {"tasks": 5}}))));
    place(
        &mut board,
        [
            waiting("fits", 1).asking(&[("cpu", "3")]),
            waiting("large", 2).asking(&[("cpu", "2")]),
            waiting("small", 3).asking(&[("cpu", "1")]),
            waiting("smallest", 4).of_priority(Priority::Low),
            waiting("elsewhere", 5).in_queue("other").asking(&[("cpu", "99")]),
        ],
    );
    assert_eq!(admitted(&mut board), ["fits", "elsewhere"]);
    finish(&mut board, "fits");
    assert_eq!(admitted(&mut board), ["large", "small", "smallest"]);
}

#[test]
fn a_more_urgent_task_goes_before_a_blocked_one() {
    let mut board = board(json!({"resources": {"cpu": 4}}));
    place(&mut board, [waiting("runs", 1).asking(&[("cpu", "3")])]);
    assert_eq!(admitted(&mut board), ["runs"]);
    place(
        &mut board,
        [
            waiting("large", 2).asking(&[("cpu", "2")]),
            waiting("urgent", 9).of_priority(Priority::High).asking(&[("cpu", "1")]),
        ],
    );
    assert_eq!(admitted(&mut board), ["urgent"]);
}

#[test]
fn resources_are_summed_exactly_and_what_is_not_named_is_unbounded() {
    let mut board = board(json!({"resources": {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": 2}}));
    let ask = |uid, arrival, of: &[(&str, &str)]| waiting(uid, arrival).asking(of);
    place(
        &mut board,
        [
            ask("a", 1, &[("cpu", "500m"), ("memory", "512Mi"), ("nvidia.com/gpu", "1")]),
            ask("b", 2, &[("cpu", "0.5"), ("memory", "0.5Gi"), ("ephemeral-storage", "9Ti")]),
            ask("c", 3, &[("nvidia.com/gpu", "1")]),
            ask("d", 4, &[("nvidia.com/gpu", "1")]),
        ],
    );
    assert_eq!(admitted(&mut board), ["a", "b", "c"], "the third GPU is missing");
    finish(&mut board, "c");
    assert_eq!(admitted(&mut board), ["d"]);
}

#[test]
fn a_task_that_asks_for_none_of_what_is_overdrawn_still_fits() {
    let mut board = board(json!({"resources": {"nvidia.com/gpu": 2}}));
    place(&mut board, [waiting("two", 1).asking(&[("nvidia.com/gpu", "2")])]);
    assert_eq!(admitted(&mut board), ["two"]);
    board.bound_queue(key("q"), Some(queue(json!({"capacity": {"resources": {"nvidia.com/gpu": 1}}}))));
    place(&mut board, [waiting("none", 2).asking(&[("nvidia.com/gpu", "0"), ("cpu", "1")])]);
    assert_eq!(admitted(&mut board), ["none"]);
}

#[test]
fn a_lowered_capacity_ends_nothing_and_holds_back_until_enough_have_ended() {
    let mut board = board(json!({"tasks": 3}));
    place(&mut board, (1..=5).map(|number| waiting(&format!("t{number}"), number)));
    assert_eq!(admitted(&mut board), ["t1", "t2", "t3"]);
    board.bound_queue(key("q"), Some(queue(json!({"capacity": {"tasks": 1}}))));
    assert_eq!(board.running(), 3);
    finish(&mut board, "t1");
    finish(&mut board, "t2");
    assert_eq!(admitted(&mut board), [""; 0]);
    finish(&mut board, "t3");
    assert_eq!(admitted(&mut board), ["t4"]);
}

#[test]
fn the_default_queue_need_not_be_created_and_others_must() {
    let mut board = Board::new(None).with_default_queue(Capacity::of_tasks(1));
    place(&mut board, [waiting("a", 1).in_queue("default"), waiting("b", 2).in_queue("default"), waiting("c", 3)]);
    assert_eq!(admitted(&mut board), ["a"]);
    board.bound_queue(key("default"), Some(Capacity::of_tasks(2)));
    assert_eq!(admitted(&mut board), ["b"], "its own word comes first");
    board.bound_queue(key("default"), None);
    assert_eq!(board.capacity(&key("default")), Some(&Capacity::of_tasks(1)));
    assert_eq!(board.capacity(&key("q")), None);
}

#[test]
fn no_book_stays_open_of_what_is_gone_and_holds_nothing() {
    let mut board = Board::new(None).with_default_queue(Capacity::of_tasks(50));
    for number in 0..20 {
        let name = format!("x{number}");
        let candidate = waiting(&name, number).in_queue("default").of_type(&name).of_kb("kb").asking(&[("cpu", "1")]);
        let candidate = Candidate { queue: (name.as_str().into(), "default".into()), ..candidate };
        board.bound_type(key(&name), Some(3), Some(2));
        board.bound_queue(key(&name), Some(Capacity::of_tasks(1)));
        place(&mut board, [candidate]);
    }
    assert_eq!(admitted(&mut board).len(), 20);
    assert_eq!(board.remembered(), 4 * 20, "two queues, a type and a key of each, and nobody waits");
    for number in 0..20 {
        let name = format!("x{number}");
        board.bound_type(key(&name), None, None);
        board.bound_queue(key(&name), None);
        finish(&mut board, &name);
    }
    assert_eq!(board.remembered(), 0);
}

/// How many of each priority start in a queue of `tasks` with `ceilings`, when 20 of each wait.
fn started(tasks: i32, ceilings: Value) -> [usize; 4] {
    use strum::IntoEnumIterator;
    let mut counts = [0; 4];
    for priority in Priority::iter() {
        let mut board = Board::new(None);
        board.bound_queue(key("q"), Some(queue(json!({"capacity": {"tasks": tasks}, "ceilings": ceilings}))));
        place(&mut board, (0..20).map(|number| waiting(&number.to_string(), number).of_priority(priority)));
        counts[priority.index()] = admitted(&mut board).len();
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
    let mut board = Board::new(None);
    board.bound_queue(key("q"), Some(queue(json!({"capacity": {"tasks": 10}, "ceilings": {"low": 50, "normal": 60}}))));
    place(&mut board, (0..5).map(|number| waiting(&format!("low{number}"), number).of_priority(Priority::Low)));
    assert_eq!(admitted(&mut board).len(), 5);
    place(&mut board, (10..15).map(|number| waiting(&format!("normal{number}"), number)));
    assert_eq!(admitted(&mut board), ["normal10"]);
    place(&mut board, (20..26).map(|number| waiting(&format!("high{number}"), number).of_priority(Priority::High)));
    assert_eq!(admitted(&mut board).len(), 4);
}

#[test]
fn what_runs_above_does_not_use_up_a_lower_ceiling() {
    let mut board = Board::new(None);
    board.bound_queue(key("q"), Some(queue(json!({"capacity": {"tasks": 10}, "ceilings": {"low": 50}}))));
    place(&mut board, (0..5).map(|number| waiting(&format!("high{number}"), number).of_priority(Priority::High)));
    place(&mut board, (10..20).map(|number| waiting(&format!("low{number}"), number).of_priority(Priority::Low)));
    assert_eq!(admitted(&mut board).len(), 10);
}

#[test]
fn ceilings_hold_for_resources_too() {
    let mut board = Board::new(None);
    board.bound_queue(key("q"), Some(queue(json!({"capacity": {"resources": {"cpu": 4}}, "ceilings": {"low": 50}}))));
    let low = |uid, arrival| waiting(uid, arrival).of_priority(Priority::Low).asking(&[("cpu", "1")]);
    place(&mut board, [low("a", 1), low("b", 2), low("c", 3)]);
    assert_eq!(admitted(&mut board), ["a", "b"]);
}

#[test]
fn a_full_type_holds_back_nobody_of_another() {
    let mut board = board(json!({"tasks": 9}));
    board.bound_type(key("t"), Some(1), None);
    place(&mut board, [waiting("a", 1), waiting("b", 2), waiting("other", 3).of_type("u"), waiting("c", 4)]);
    assert_eq!(admitted(&mut board), ["a", "other"]);
    finish(&mut board, "a");
    assert_eq!(admitted(&mut board), ["b"]);
}

#[test]
fn a_type_is_bounded_over_all_queues_together() {
    let mut board = board(json!({"tasks": 9}));
    board.bound_queue(key("r"), Some(queue(json!({}))));
    board.bound_type(key("t"), Some(2), None);
    place(&mut board, [waiting("a", 1), waiting("b", 2).in_queue("r"), waiting("c", 3).in_queue("r"), waiting("d", 4)]);
    assert_eq!(admitted(&mut board), ["a", "b"]);
}

#[test]
fn tasks_with_one_key_are_bounded_per_type_and_those_without_are_not() {
    let mut board = board(json!({"tasks": 99}));
    board.bound_type(key("t"), None, Some(1));
    place(
        &mut board,
        [
            waiting("a", 1).of_kb("kb-1"),
            waiting("b", 2).of_kb("kb-1"),
            waiting("c", 3).of_kb("kb-2"),
            waiting("d", 4).of_kb("kb-1").of_type("u"),
            waiting("e", 5),
            waiting("f", 6),
        ],
    );
    assert_eq!(admitted(&mut board), ["a", "c", "d", "e", "f"]);
    finish(&mut board, "c");
    assert_eq!(admitted(&mut board), [""; 0]);
    finish(&mut board, "a");
    assert_eq!(admitted(&mut board), ["b"]);
}

#[test]
fn the_bound_over_all_queues_is_filled_in_the_one_order() {
    let mut board = Board::new(Some(3));
    for name in ["q", "r"] {
        board.bound_queue(key(name), Some(queue(json!({}))));
    }
    place(
        &mut board,
        [
            waiting("q1", 1),
            waiting("q4", 4),
            waiting("r2", 2).in_queue("r"),
            waiting("r3", 3).in_queue("r"),
            waiting("urgent", 9).in_queue("r").of_priority(Priority::High),
        ],
    );
    assert_eq!(admitted(&mut board), ["urgent", "q1", "r2"]);
    finish(&mut board, "q1");
    assert_eq!(admitted(&mut board), ["r3"]);
}

#[test]
fn a_task_that_waits_for_its_time_holds_back_nobody_and_names_the_time() {
    let mut board = board(json!({"tasks": 1}));
    place(&mut board, [waiting("later", 1).not_before(60), waiting("latest", 2).not_before(90), waiting("now", 3)]);
    let pass = board.admit(at(0));
    assert_eq!((pass.admitted.len(), pass.admitted[0].order.uid().as_ref(), pass.wake), (1, "now", Some(at(60))));
    finish(&mut board, "now");
    assert_eq!(admitted_at(&mut board, 59), [""; 0]);
    assert_eq!(admitted_at(&mut board, 60), ["later"]);
}

#[test]
fn a_suspended_queue_starts_nothing_and_goes_on_afterwards() {
    let mut board = board(json!({"tasks": 5}));
    board.bound_queue(key("q"), Some(queue(json!({"suspend": true}))));
    place(&mut board, [waiting("a", 1)]);
    assert_eq!(admitted(&mut board), [""; 0]);
    board.bound_queue(key("q"), Some(queue(json!({}))));
    assert_eq!(admitted(&mut board), ["a"]);
}

#[test]
fn a_missing_queue_starts_nothing_and_goes_on_when_it_appears() {
    let mut board = Board::new(None);
    place(&mut board, [waiting("a", 1)]);
    assert_eq!(admitted(&mut board), [""; 0]);
    board.bound_queue(key("q"), Some(Capacity::of_tasks(1)));
    assert_eq!(admitted(&mut board), ["a"]);
    board.bound_queue(key("q"), None);
    finish(&mut board, "a");
    place(&mut board, [waiting("b", 2)]);
    assert_eq!(admitted(&mut board), [""; 0]);
}

#[test]
fn what_could_never_fit_holds_back_nobody() {
    let mut board = board(json!({"tasks": 9, "resources": {"cpu": 4}}));
    place(
        &mut board,
        [
            waiting("huge", 1).of_priority(Priority::Critical).asking(&[("cpu", "5")]),
            waiting("small", 2).asking(&[("cpu", "1")]),
        ],
    );
    assert_eq!(admitted(&mut board), ["small"]);
    let capacity = queue(json!({"capacity": {"resources": {"cpu": 4}}, "ceilings": {"low": 50}}));
    let three = amounts(&[("cpu", "3")]);
    assert!(capacity.never_fits(Priority::Low, &three).expect("a sentence").contains("cpu of 3"));
    assert_eq!(capacity.never_fits(Priority::Normal, &three), None);
}

#[test]
fn a_pass_is_bounded_and_the_next_one_goes_on_in_order() {
    let mut board = board(json!({}));
    place(&mut board, (0..600).map(|number| waiting(&format!("{number:03}"), number)));
    let mut order = Vec::new();
    loop {
        let pass = board.admit(at(0));
        order.extend(pass.admitted.iter().map(|candidate| candidate.order.arrival()));
        if !pass.unfinished {
            break;
        }
    }
    assert_eq!(order, (0..600).collect::<Vec<_>>());
}

#[test]
fn a_task_that_moves_stands_in_one_place_only() {
    let mut board = board(json!({"tasks": 1}));
    board.bound_queue(key("r"), Some(queue(json!({}))));
    place(&mut board, [waiting("a", 5), waiting("a", 5).of_priority(Priority::High), waiting("a", 7).in_queue("r")]);
    assert_eq!(board.depth(), [0, 1, 0, 0]);
    assert_eq!(admitted(&mut board), ["a"]);
    assert_eq!((board.depth(), board.running()), ([0; 4], 1));
    place(&mut board, [waiting("b", 8)]);
    assert_eq!(admitted(&mut board), ["b"], "a's slot is of the other queue");
}

#[test]
fn placing_a_holder_twice_counts_it_once() {
    let mut board = board(json!({"tasks": 2}));
    for _ in 0..3 {
        board.place(&"held".into(), Standing::Holder(waiting("held", 1).holding()));
    }
    place(&mut board, [waiting("a", 1), waiting("b", 2)]);
    assert_eq!(admitted(&mut board), ["a"]);
    assert_eq!(board.running(), 2);
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

fn stands(task: &Task) -> Standing {
    standing(task, Some(&reports()), 77, &Settings::default())
}

fn candidate(task: &Task) -> Candidate {
    match stands(task) {
        Standing::Candidate(candidate) => candidate,
        standing => panic!("not a candidate: {standing:?}"),
    }
}

#[test]
fn a_queued_task_is_a_candidate_with_all_that_admission_weighs() {
    let candidate = candidate(&task(json!({"kbId": "kb-1", "priority": "high"})));
    assert_eq!((candidate.queue, candidate.kind, candidate.kb_id), (key("q"), key("reports"), Some("kb-1".into())));
    assert_eq!(candidate.order, Order::new(Priority::High, 77, "uid".into()));
    assert_eq!(*candidate.asks, amounts(&[("cpu", "250m"), ("memory", "1Gi")]));
    assert_eq!(candidate.ready_at, None);
}

#[test]
fn an_arrival_that_was_written_goes_before_the_one_seen_and_compares_as_a_number() {
    let arrived = |arrival: &str| {
        let status = TaskStatus { arrival: Some(arrival.into()), ..TaskStatus::default() };
        candidate(&Task { status: Some(status), ..task(json!({})) }).order
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
        candidate(&Task { status: Some(TaskStatus { next_attempt_at, ..TaskStatus::default() }), ..task(spec) })
            .ready_at
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
        let mut kind = reports();
        kind.spec.maximum.retry_limit = Some(8);
        assert_eq!(standing(&task(spec.clone()), Some(&kind), 1, &Settings::default()), Standing::Neither, "{spec}");
    }
    assert_eq!(standing(&task(json!({})), None, 1, &Settings::default()), Standing::Neither, "its type is missing");
    let unusable = ParsedType::read(&TaskTypeSpec::default());
    assert_eq!(
        standing(&task(json!({})), Some(&unusable), 1, &Settings::default()),
        Standing::Neither,
        "its type is not ready"
    );
    assert_eq!(stands(&task(json!({}))).where_nothing_begins(), Standing::Neither, "its namespace is being deleted");
    let mut deleted = task(json!({}));
    deleted.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
    assert_eq!(stands(&deleted), Standing::Neither);
    let status = TaskStatus { run_id: Some("1".into()), ..TaskStatus::default() };
    assert_eq!(
        stands(&Task { status: Some(status), ..task(json!({"runId": "2"})) }),
        Standing::Neither,
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
        let holding = Holding {
            queue: key("before"),
            kind: key("others"),
            kb_id: Some("kb-0".into()),
            priority: Priority::Low,
            holds: BTreeMap::from([("cpu".to_owned(), Amount::whole(2))]),
        };
        let expected = if state == State::Processing { Standing::Holder(holding) } else { Standing::Neither };
        assert_eq!(stands(&task), expected, "{state}");
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
        let candidate = candidate(&task(spec.clone()));
        let admitted = serde_json::to_value(candidate.admitted()).expect("JSON");
        let elsewhere = task(json!({"type": "others", "queue": "r", "kbId": "kb-2"}));
        assert_eq!(stands(&admitted_as(elsewhere, admitted)), Standing::Holder(candidate.holding()), "{spec}");
    }
}

#[test]
fn what_an_older_operator_admitted_holds_the_type_and_the_key_of_its_spec() {
    let older = admitted_as(task(json!({"kbId": "kb-1"})), json!({"queue": "q"}));
    let Standing::Holder(holding) = stands(&older) else { panic!("it holds a slot") };
    assert_eq!((holding.kind, holding.kb_id), (key("reports"), Some("kb-1".into())));
}

#[test]
fn a_new_run_of_another_type_or_key_frees_the_old_one_only_when_the_old_attempt_has_ended() {
    for (bound, before, after) in [
        ((Some(1), None), json!({}), json!({"type": "others", "runId": "2"})),
        ((None, Some(1)), json!({"kbId": "kb-1"}), json!({"kbId": "kb-2", "runId": "2"})),
    ] {
        let mut board = board(json!({"tasks": 9}));
        board.bound_type(key("reports"), bound.0, bound.1);
        let runs = candidate(&task(before.clone()));
        let admission = serde_json::to_value(runs.admitted()).expect("JSON");
        place(&mut board, [runs]);
        assert_eq!(admitted(&mut board), ["uid"]);
        let next = Candidate { order: Order::new(Priority::Normal, 99, "next".into()), ..candidate(&task(before)) };
        place(&mut board, [next]);
        board.place(&"uid".into(), stands(&admitted_as(task(after), admission)));
        assert_eq!(admitted(&mut board), [""; 0], "its pod still runs: {bound:?}");
        finish(&mut board, "uid");
        assert_eq!(admitted(&mut board), ["next"]);
    }
}

#[test]
fn a_pass_over_many_wakes_for_the_earliest() {
    let mut board = board(json!({"tasks": 9}));
    place(&mut board, (0..9u64).map(|number| waiting(&number.to_string(), number).not_before(100 - number as i64)));
    assert_eq!(board.admit(at(0)).wake, Some(at(92)));
    assert_eq!(board.admit(at(0) + SignedDuration::from_secs(200)).wake, None);
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
