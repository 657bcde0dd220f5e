use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector;
use serde_json::{Value, json};

use super::Asked;
use crate::api::{Task, TaskType, WorkerPool};
use crate::controller::cache::{Cache, key};
use crate::core::Settings;
use crate::core::attempt::facts::worker::HandedOut;
use crate::core::launch::names;
use crate::live::Given;

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
    let Some(Ok(asked)) = cache.worker_asks("w", 0, true) else { panic!("it is answered") };
    (cache, asked)
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
    let facts = cache.worker_of(&written).expect("its lease is known");
    assert_eq!(facts.handed_out, HandedOut::NotYet);
    assert!(cache.hand_out(&written, Given::Nothing), "its call hangs");
    cache.admission_written(&written);
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
    assert!(cache.hand_out(&written, Given::Nothing));
    let rung = tokio::time::timeout(std::time::Duration::from_secs(5), changed.notified()).await;
    assert!(rung.is_ok(), "from then on it may be silent");
}
