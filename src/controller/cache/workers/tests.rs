use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector;
use serde_json::{Value, json};

use super::{Asked, HandedIn};
use crate::api::{Task, TaskType, WorkerPool};
use crate::controller::cache::{Cache, key};
use crate::core::Settings;
use crate::core::attempt::facts::worker::{HandedOut, Outcome};
use crate::core::launch::names;
use crate::live::{Done, Given, NotTaken, Reporter};

fn read<K: serde::de::DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).expect("an object")
}

fn task(version: &str, status: Value) -> Task {
    let metadata = json!({"name": "one", "namespace": "docs", "uid": "one", "resourceVersion": version});
    read(json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task", "metadata": metadata,
        "spec": {"type": "work"}, "status": status}))
}

/// A pool with one worker that hangs on its call.
fn cache() -> (Cache, Asked) {
    let (tasks, _) = reflector::store();
    let cache = Cache::new(tasks, Settings { default_queue_tasks: 1, ..Settings::default() });
    let kind: TaskType = read(json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "TaskType",
        "metadata": {"name": "work", "namespace": "docs"}, "spec": {"executor": "Pool", "workerPool": "warm"}}));
    let pool: WorkerPool = read(json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "WorkerPool",
        "metadata": {"name": "warm", "namespace": "docs", "uid": "pool"},
        "spec": {"replicas": {"max": 1}, "template": {"spec": {"containers": [{"name": "worker", "image": "worker"}]}}}}));
    let pod: Pod = read(json!({
        "metadata": {"name": "w", "namespace": "docs", "uid": "w", "labels": {names::LABEL_POOL: "warm"},
            "ownerReferences": [{"apiVersion": "taskmanager.dev/v1alpha1", "kind": "WorkerPool", "name": "warm",
                "uid": "pool", "controller": true}]},
        "status": {"phase": "Running"},
    }));
    cache.type_changed(key(&kind.metadata), Some(&Arc::new(kind.clone())));
    cache.type_tried(&kind, None, None);
    cache.pool_changed(key(&pool.metadata), Some(&Arc::new(pool)));
    cache.worker_seen(&pod);
    let Some(Ok(asked)) = cache.worker_asks(&from(None), 0, true) else { panic!("it is answered") };
    (cache, asked)
}

/// The worker, or a process of it.
fn from(process: Option<&str>) -> Reporter {
    let (namespace, pod, uid) = ("docs".into(), "w".into(), "w".into());
    Reporter { namespace, pod, uid, attempt: None, lease: None, process: process.map(str::to_owned) }
}

fn admitted(version: &str) -> Task {
    let worker = json!({"pool": "warm", "uid": "w", "slot": 0, "beats": true});
    task(
        version,
        json!({"state": "Processing", "attempt": 1, "worker": "w",
            "admitted": {"queue": "default", "type": "work", "executor": "Pool", "worker": worker}}),
    )
}

#[test]
fn a_worker_is_to_get_its_task_also_where_the_watch_shows_the_admission_before_its_answer() {
    let (cache, _call) = cache();
    cache.task_seen(&task("7", json!({"state": "Queued"})));
    assert_eq!(cache.admit(Timestamp::UNIX_EPOCH).admitted.len(), 1);
    let written = admitted("8");
    cache.task_seen(&written);
    cache.admission_written(&written);
    let facts = cache.worker_of(&written).expect("its lease is known");
    assert_eq!(facts.handed_out, HandedOut::NotYet);
    assert!(cache.hand_out(&written, Given::Nothing).is_some(), "its call hangs");
    let facts = cache.worker_of(&written).expect("its lease is known");
    assert!(matches!(facts.handed_out, HandedOut::At { times: 1, .. }), "{facts:?}");
}

#[tokio::test]
async fn a_worker_that_was_given_a_task_is_looked_at_anew() {
    let (cache, _call) = cache();
    cache.task_seen(&task("7", json!({"state": "Queued"})));
    cache.admit(Timestamp::UNIX_EPOCH);
    let written = admitted("8");
    cache.admission_written(&written);
    let changed = cache.pools_may_change();
    changed.notified().await;
    assert!(cache.hand_out(&written, Given::Nothing).is_some());
    let rung = tokio::time::timeout(std::time::Duration::from_secs(5), changed.notified()).await;
    assert!(rung.is_ok(), "from then on it may be silent");
}

#[test]
fn a_worker_that_is_not_needed_keeps_the_task_that_it_was_given_a_moment_ago() {
    let (cache, _call) = cache();
    cache.task_seen(&task("7", json!({"state": "Queued"})));
    cache.admit(Timestamp::UNIX_EPOCH);
    assert_eq!(cache.retire_if_idle("w"), None, "it was granted a task");
    cache.admission_outdated(&task("7", json!({"state": "Queued"})));
    cache.task_seen(&task("8", json!({"state": "Cancelled"})));
    assert_eq!((cache.retire_if_idle("w"), cache.retire_if_idle("w")), (Some(true), Some(false)));
    cache.task_seen(&task("9", json!({"state": "Queued"})));
    assert_eq!(cache.admit(Timestamp::UNIX_EPOCH).admitted.len(), 0, "nothing is handed to it from here on");
}

#[test]
fn a_worker_that_goes_is_handed_nothing() {
    let (cache, _call) = cache();
    cache.task_seen(&task("7", json!({"state": "Queued"})));
    cache.admit(Timestamp::UNIX_EPOCH);
    let written = admitted("8");
    cache.admission_written(&written);
    cache.worker_goes("w");
    assert!(cache.hand_out(&written, Given::Nothing).is_none());
}

#[test]
fn a_worker_whose_label_somebody_takes_stays_one() {
    let (cache, _call) = cache();
    let gone: Pod =
        read(json!({"metadata": {"name": "w", "namespace": "docs", "uid": "w"}, "status": {"phase": "Running"}}));
    cache.worker_gone(&gone);
    assert!(!cache.is_worker("w"), "its end is seen all the same");
}

/// A task on slot 0 or 1 of the worker, with these ended attempts.
fn on_worker(name: &str, slot: i32, attempts: Value) -> Task {
    let metadata = json!({"name": name, "namespace": "docs", "uid": name, "resourceVersion": "8"});
    let worker = json!({"pool": "warm", "uid": "w", "slot": slot, "beats": true});
    let attempt = 1 + attempts.as_array().map_or(0, Vec::len);
    let status = json!({"state": "Processing", "attempt": attempt, "worker": "w", "attempts": attempts,
        "admitted": {"queue": "default", "type": "work", "executor": "Pool", "worker": worker}});
    read(json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task", "metadata": metadata,
        "spec": {"type": "work"}, "status": status}))
}

fn ended_among_others() -> Value {
    json!([{"number": 1, "outcome": "Disrupted", "reason": "WorkerLost", "exitCode": 137, "pod": "w"}])
}

/// The task once its first attempt was judged.
fn judged(name: &str) -> Task {
    let mut task = on_worker(name, 0, ended_among_others());
    task.metadata.resource_version = Some("9".into());
    let status = json!({"state": "Queued", "attempt": 1, "attempts": ended_among_others()});
    task.status = Some(read(status));
    task
}

fn ended_worker() -> Pod {
    read(json!({
        "metadata": {"name": "w", "namespace": "docs", "uid": "w", "labels": {names::LABEL_POOL: "warm"},
            "ownerReferences": [{"apiVersion": "taskmanager.dev/v1alpha1", "kind": "WorkerPool", "name": "warm",
                "uid": "pool", "controller": true}]},
        "status": {"phase": "Failed"},
    }))
}

#[test]
fn how_many_tasks_a_worker_ended_with_is_known_until_the_last_of_them_is_judged() {
    let (cache, _call) = cache();
    let second = on_worker("two", 1, json!([]));
    cache.task_seen(&on_worker("one", 0, json!([])));
    cache.task_seen(&second);
    cache.worker_seen(&ended_worker());
    let ran_several = |cache: &Cache, task: &Task| cache.worker_of(task).map(|facts| facts.holds_others);
    assert_eq!(ran_several(&cache, &second), Some(true));
    cache.task_seen(&judged("one"));
    assert_eq!(ran_several(&cache, &second), Some(true), "though the other is over");
    let (restarted, _call) = self::cache();
    restarted.worker_seen(&ended_worker());
    restarted.task_seen(&second);
    assert_eq!(ran_several(&restarted, &second), Some(false));
    restarted.task_seen(&judged("one"));
    assert_eq!(ran_several(&restarted, &second), Some(true), "the status of the other says so");
}

#[test]
fn a_task_that_runs_alone_waits_for_the_others_on_its_worker_and_they_for_it() {
    for [first, then] in [[json!([]), ended_among_others()], [ended_among_others(), json!([])]] {
        let (cache, _call) = cache();
        // Whoever led before may have handed out the first; nobody has the second.
        let (first, then) = (on_worker("one", 0, first), on_worker("two", 1, then));
        cache.task_seen(&first);
        cache.task_seen(&then);
        assert!(cache.waits_for_others(&then));
        let done = Task { status: Some(read(json!({"state": "Completed", "attempt": 1}))), ..first.clone() };
        let done = Task { metadata: on_version(&done, "9"), ..done };
        cache.task_seen(&done);
        assert!(!cache.waits_for_others(&then));
    }
}

fn on_version(task: &Task, version: &str) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
    let version = Some(version.into());
    k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta { resource_version: version, ..task.metadata.clone() }
}

#[test]
fn asking_again_counts_when_the_task_was_given_again_and_not_before() {
    let (cache, _call) = cache();
    let held = on_worker("one", 0, json!([]));
    cache.task_seen(&held);
    let asks = || cache.worker_asks(&from(None), 0, true).expect("it is known").map_err(|_| "no such slot");
    for _ in 0..10 {
        assert!(matches!(asks(), Ok(Asked::Again { .. })), "the API server does not answer");
    }
    for _ in 0..5 {
        let Ok(Asked::Again { lease, first, .. }) = asks() else { panic!("it is given the task again") };
        cache.handed_out_again(&lease, first);
    }
    assert!(matches!(asks(), Ok(Asked::TooOften { .. })));
}

#[test]
fn of_two_processes_that_share_a_slot_the_second_waits_until_the_first_is_silent() {
    let (cache, _call) = cache();
    cache.task_seen(&on_worker("one", 0, json!([])));
    let asks = |process| cache.worker_asks(&from(process), 0, true).expect("it is known").map_err(|_| "no such slot");
    let Ok(Asked::Again { lease, first, .. }) = asks(Some("a")) else { panic!("nobody was heard to have it") };
    cache.handed_out_again(&lease, first);
    let silent_at = Timestamp::now() + jiff::SignedDuration::from_secs(25);
    let Ok(Asked::Hangs { again_at: Some(again_at), .. }) = asks(Some("b")) else { panic!("the first has it") };
    assert!(again_at <= silent_at && again_at > silent_at - jiff::SignedDuration::from_secs(5), "{again_at}");
    let _ = cache.lease_of(&from(Some("b")));
    assert!(matches!(asks(Some("a")), Ok(Asked::Again { .. })), "its answer may have been lost");
    assert!(matches!(asks(Some("b")), Ok(Asked::Hangs { again_at: Some(_), .. })), "its report is none on the lease");
}

#[test]
fn who_asks_without_a_name_is_given_the_task_again() {
    let (cache, _call) = cache();
    cache.task_seen(&on_worker("one", 0, json!([])));
    let asks = || cache.worker_asks(&from(None), 0, true).expect("it is known").map_err(|_| "no such slot");
    let Ok(Asked::Again { lease, first, .. }) = asks() else { panic!("it is given the task again") };
    cache.handed_out_again(&lease, first);
    let _ = cache.lease_of(&from(None));
    assert!(matches!(asks(), Ok(Asked::Again { .. })), "it has lost its memory");
}

#[test]
fn a_slot_that_a_worker_has_stays_its_own_when_the_pool_is_to_have_fewer() {
    let (cache, _call) = cache();
    cache.task_seen(&on_worker("two", 3, json!([])));
    let asks = |slot| cache.worker_asks(&from(None), slot, true).expect("it is known");
    assert!(matches!(asks(3), Ok(Asked::Again { .. })));
    assert!(matches!(asks(4), Err(NotTaken::NoSuchSlot(1))));
    cache.give_up_worker("w", None);
    assert!(matches!(asks(4), Ok(Asked::Stop)), "it is to end");
}

#[test]
fn a_word_on_a_task_that_cannot_be_read_waits_until_it_can() {
    let (cache, _call) = cache();
    let held = on_worker("one", 0, json!([]));
    cache.task_seen(&held);
    let Some(Ok(Asked::Again { lease, .. })) = cache.worker_asks(&from(None), 0, true) else {
        panic!("it holds a lease")
    };
    cache.task_passed_over(&held.metadata);
    let done = || Done { lease: lease.clone(), outcome: Outcome::Done(None), log: None };
    let worker = from(None);
    assert!(matches!(cache.hand_in(&worker, done()), HandedIn::NotNow));
    cache.task_seen(&held);
    assert!(matches!(cache.hand_in(&worker, done()), HandedIn::Waits { .. }));
}
