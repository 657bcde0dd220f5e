//! The state that a task has in admission, from its spec, status and type.

use super::*;

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
    assert_eq!(*pending.requests, amounts(&[("cpu", "250m"), ("memory", "128Mi")]));
    assert_eq!(pending.ready_at, None);
}

#[test]
fn an_arrival_that_was_written_goes_before_the_one_seen_and_compares_as_a_number() {
    let arrived = |arrival: &str| {
        let status = TaskStatus { arrival: Some(arrival.into()), ..TaskStatus::default() };
        pending(&Task { status: Some(status), ..task(json!({})) }).order
    };
    assert_eq!(arrived("5").place(), 5);
    assert!(arrived("9") < arrived("10"));
    assert_eq!(arrived("nonsense").place(), 77);
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
        let admitted = Admitted {
            queue: "before".into(),
            type_: Some("others".into()),
            kb_id: Some("kb-0".into()),
            executor: None,
            worker: None,
            resources,
        };
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
fn a_new_run_of_another_type_or_key_keeps_the_old_slot_until_the_old_attempt_ends() {
    for (bound, before, after) in [
        ((Some(1), None), json!({}), json!({"type": "others", "runId": "2"})),
        ((None, Some(1)), json!({"kbId": "kb-1"}), json!({"kbId": "kb-2", "runId": "2"})),
    ] {
        let mut admission = admission_queue(json!({"tasks": 9}));
        admission.set_type_limits(key("reports"), limits(bound.0, bound.1));
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
