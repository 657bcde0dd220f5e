//! Finished Jobs under an API server that takes a moment for each deletion.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::http::{Request, Response};
use kube::Client;
use kube::client::Body;
use kube::runtime::reflector;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::service_fn;

use super::*;
use crate::archive::{self, Archive, Guard};
use crate::cluster::calls::Reads;
use crate::cluster::lease::Election;
use crate::controller::DeletedTasks;
use crate::core::Settings;
use crate::core::launch::names;
use crate::metrics::Metrics;

/// How long the API server takes for a deletion.
const A_DELETION: Duration = Duration::from_millis(20);
const SPACE: &str = "docs";
/// The API server fails to delete this one.
const STAYS: &str = "job-0";

type Asked = Arc<Mutex<Vec<String>>>;

/// An API server with a Lease for whoever wants it, which notes the names of what it is to delete.
fn server(asked: Asked) -> Client {
    let answer = move |request: Request<Body>| {
        let asked = asked.clone();
        async move {
            let path = request.uri().path().to_owned();
            let name = path.rsplit('/').next().unwrap_or_default();
            let mut code = 200;
            if request.method() == "DELETE" {
                tokio::time::sleep(A_DELETION).await;
                asked.lock().push(name.to_owned());
                code = if name == STAYS { 500 } else { 200 };
            }
            let lease =
                json!({"metadata": {"name": "lease", "resourceVersion": "7"}, "spec": {"holderIdentity": "me"}});
            let body = if path.contains("/leases") { lease } else { json!({"kind": "Status", "code": code}) };
            let response = Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
            Ok::<_, Infallible>(response.expect("a response"))
        }
    };
    Client::new(service_fn(answer), SPACE)
}

fn read<K: serde::de::DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).expect("an object")
}

/// A task that is Completed and archived, and its Job: the later the number, the later it finished.
fn ended(number: u32) -> (Task, Job) {
    let uid = format!("u-{number}");
    let task = json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task", "spec": {"type": "work"},
        "metadata": {"name": uid, "namespace": SPACE, "uid": uid, "resourceVersion": "7"},
        "status": {"state": "Completed", "archived": true}});
    let at = format!("2026-01-01T00:{:02}:{:02}Z", number / 60, number % 60);
    let owner =
        json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task", "name": uid, "uid": uid, "controller": true});
    let job = json!({"metadata": {"name": format!("job-{number}"), "namespace": SPACE, "uid": format!("j-{number}"),
            "labels": {names::LABEL_TASK_UID: uid}, "ownerReferences": [owner], "creationTimestamp": at},
        "status": {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": at}]}});
    (read(task), read(job))
}

/// So many finished Jobs, and the names of those that are to be deleted.
async fn finished(many: u32) -> (Arc<FinishedJobs>, Asked) {
    let asked = Asked::default();
    let client = server(asked.clone());
    let (store, mut writer) = reflector::store();
    let cache = Arc::new(Cache::new(store, Settings::default()));
    for (task, job) in (0..many).map(ended) {
        writer.apply_watcher_event(&Event::Apply(task.clone()));
        cache.task_seen(&task);
        cache.job_seen(&job);
    }
    let nowhere = std::env::temp_dir().join("task-manager-never-opened.db");
    let archive = Archive::at(&format!("sqlite:{}", nowhere.display()), &archive::Options::default());
    let (guard, metrics) = (Arc::new(Guard::of(archive.expect("a place"))), Arc::new(Metrics::default()));
    let deleted_tasks = Arc::new(DeletedTasks::new(guard.clone(), metrics.clone()));
    let records = Arc::new(Records::new(guard, deleted_tasks, metrics.clone()));
    let election = Election::new(client.clone(), SPACE, "lease", "me", BTreeMap::new());
    election.win(&watch::Sender::new(false)).await;
    let calls = Calls::new(Reads::new(client), election.leadership(), metrics);
    (Arc::new(FinishedJobs::new(cache, records, calls)), asked)
}

#[tokio::test(start_paused = true)]
async fn of_a_thousand_finished_jobs_those_beyond_the_bound_go_in_one_sweep_the_oldest_first() {
    let (finished, asked) = finished(1000).await;
    // Long enough for one sweep, and not for a second.
    let time = 2 * BETWEEN_SWEEPS - Duration::from_secs(1);
    let _ = tokio::time::timeout(time, run(finished, 100)).await;
    let asked = asked.lock();
    assert_eq!(asked.len(), 900);
    let number = |name: &String| name.trim_start_matches("job-").parse::<u32>().expect("a number");
    assert!(asked.iter().map(number).all(|number| number < 900), "the oldest go");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_deleted_is_tried_once_in_a_sweep_and_keeps_no_other() {
    let (finished, asked) = finished(3).await;
    finished.sweep(1).await.expect("it is done");
    assert_eq!(*asked.lock(), [STAYS, "job-1"]);
}
