use super::*;

fn slot(uid: &str, slot: u8) -> WorkerSlot {
    WorkerSlot { pod: format!("warm-{uid}").into(), uid: uid.into(), slot, beats: true }
}

/// Admission with a queue of ten, and type "t" run by the pool "warm".
fn with_pool() -> AdmissionQueue {
    let mut admission = admission_queue(json!({"tasks": 10}));
    admission.set_type_limits(key("t"), TypeLimits { pool: Some(key("warm")), ..TypeLimits::default() });
    admission
}

fn grants(admission: &mut AdmissionQueue) -> Vec<(String, Option<String>)> {
    let granted = admission.admit(at(0)).admitted;
    let named =
        |grant: &Grant| (grant.task.order.uid().to_string(), grant.worker.as_ref().map(|(_, at)| at.uid.to_string()));
    granted.iter().map(named).collect()
}

#[test]
fn the_worker_that_has_been_idle_longest_gets_the_first_task() {
    let mut admission = with_pool();
    admission.worker_is_free(&key("warm"), slot("late", 0), at(9));
    admission.worker_is_free(&key("warm"), slot("early", 0), at(3));
    add(&mut admission, [waiting("a", 1), waiting("b", 2), waiting("c", 3)]);
    let given = |task: &str, worker: &str| (task.to_owned(), Some(worker.to_owned()));
    assert_eq!(grants(&mut admission), [given("a", "early"), given("b", "late")]);
    admission.worker_is_free(&key("warm"), slot("early", 0), at(11));
    assert_eq!(grants(&mut admission), [given("c", "early")]);
}

#[test]
fn a_pool_without_a_free_worker_holds_back_its_own_line_only() {
    let mut admission = with_pool();
    add(&mut admission, [waiting("warm", 1), waiting("cold", 2).of_type("u"), waiting("warm too", 3)]);
    assert_eq!(grants(&mut admission), [("cold".to_owned(), None)]);
    let why = admission.explain("warm", at(0)).expect("it waits");
    assert_eq!((why.reason(), why.message(None)), (Reason::NoWorker, "no worker of pool warm is free".to_owned()));
    assert_eq!(admission.would_start(&key("warm"), 10), 2);
}

#[test]
fn a_worker_that_hung_up_gets_nothing() {
    let mut admission = with_pool();
    admission.worker_is_free(&key("warm"), slot("w", 0), at(0));
    admission.worker_is_free(&key("warm"), slot("w", 1), at(1));
    admission.worker_is_not_free(&key("warm"), &"w".into(), 0);
    add(&mut admission, [waiting("a", 1), waiting("b", 2)]);
    let granted = admission.admit(at(0)).admitted;
    let slots: Vec<_> = granted.iter().filter_map(|grant| Some(grant.worker.as_ref()?.1.slot)).collect();
    assert_eq!(slots, [1]);
    let admitted = granted[0].admitted();
    let worker = admitted.worker.expect("a worker");
    assert_eq!((worker.pool.as_str(), worker.uid.as_str(), worker.slot, worker.beats), ("warm", "w", 1, true));
}

#[test]
fn a_queue_without_room_keeps_the_worker_free_for_another_queue() {
    let mut admission = with_pool();
    admission.set_quota(key("full"), Some(queue(json!({"capacity": {"tasks": 0}}))));
    admission.worker_is_free(&key("warm"), slot("w", 0), at(0));
    add(&mut admission, [waiting("first", 1).in_queue("full"), waiting("second", 2)]);
    assert_eq!(grants(&mut admission), [("second".to_owned(), Some("w".to_owned()))]);
}

#[test]
fn a_pool_of_which_nobody_is_free_and_no_type_speaks_is_forgotten() {
    let mut admission = AdmissionQueue::default();
    admission.set_type_limits(key("t"), TypeLimits { pool: Some(key("warm")), ..TypeLimits::default() });
    admission.worker_is_free(&key("warm"), slot("w", 0), at(0));
    admission.worker_is_not_free(&key("warm"), &"w".into(), 0);
    admission.set_type_limits(key("t"), TypeLimits::default());
    assert_eq!(admission.remembered(), 0);
}

#[test]
fn a_task_that_failed_on_a_worker_is_given_another_one_where_one_is_free() {
    let mut admission = with_pool();
    let failed_on = |pod: &str| PendingTask { failed_on: Some(pod.into()), ..waiting("a", 1) };
    let given = |worker: &str| vec![("a".to_owned(), Some(worker.to_owned()))];
    for (pod, worker) in [("warm-early", "late"), ("warm-late", "early")] {
        admission.worker_is_free(&key("warm"), slot("early", 0), at(1));
        admission.worker_is_free(&key("warm"), slot("late", 0), at(2));
        add(&mut admission, [failed_on(pod)]);
        assert_eq!(grants(&mut admission), given(worker));
        admission.remove(&"a".into());
    }
    admission.worker_is_not_free(&key("warm"), &"late".into(), 0);
    admission.worker_is_free(&key("warm"), slot("early", 0), at(1));
    add(&mut admission, [failed_on("warm-early")]);
    assert_eq!(grants(&mut admission), given("early"), "it is better than none");
}

#[test]
fn a_pool_grows_for_those_who_would_start_and_not_for_a_backlog_without_room() {
    let mut admission = with_pool();
    let tasks: Vec<_> = (0..30).map(|number| waiting(&format!("t{number}"), number)).collect();
    add(&mut admission, tasks);
    assert_eq!(admission.would_start(&key("warm"), 100), 10, "as many as the queue has room for");
    assert_eq!(admission.would_start(&key("warm"), 4), 4);
    let limits = |most| TypeLimits { pool: Some(key("warm")), most, ..TypeLimits::default() };
    admission.set_type_limits(key("t"), limits(Some(3)));
    assert_eq!(admission.would_start(&key("warm"), 100), 3, "as many as the type allows");
    admission.set_type_limits(key("t"), limits(None));
    admission.set_quota(key("q"), Some(queue(json!({"suspend": true}))));
    assert_eq!(admission.would_start(&key("warm"), 100), 0, "the queue starts nobody");
    let resources = json!({"capacity": {"resources": {"cpu": 4}}});
    admission.set_quota(key("q"), Some(queue(resources)));
    assert_eq!(admission.would_start(&key("warm"), 100), 30, "they ask for nothing that is bounded");
}
