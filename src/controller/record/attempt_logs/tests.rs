//! Logs that an API server hands out, or does not, under a real archive.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::http::{Request, Response};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;
use crate::api::TaskStatus;
use crate::archive::{Archive, Options};
use crate::core::attempt::facts::PodFacts;
use crate::core::launch::names;

struct Scene {
    logs: AttemptLogs,
    archive: Archive,
    reads: Reads,
    /// The API server answers each request for a log with the last of these.
    answers: Arc<Mutex<Vec<(u16, &'static str)>>>,
    task: Task,
    job: String,
    observed: Observed,
    folder: std::path::PathBuf,
}

fn read<K: serde::de::DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).expect("an object")
}

impl Scene {
    /// A task whose first attempt failed, in the pod p-1; it is in this state now.
    async fn new(state: &str) -> Self {
        static SCENES: AtomicU32 = AtomicU32::new(0);
        let scene = SCENES.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("attempt_logs-{}-{scene}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let options = Options { deadline: Duration::from_secs(60), ..Options::default() };
        let archive = Archive::at(&format!("sqlite://{}/archive.db", folder.display()), &options).expect("a URL");
        archive.prepare().await.expect("it opens");
        let answers = Arc::new(Mutex::new(vec![(200, "")]));
        let asked = answers.clone();
        let server = service_fn(move |_: Request<Body>| {
            let (code, text) = *asked.lock().last().expect("an answer");
            let body = if code == 200 { text.to_owned() } else { json!({"kind": "Status", "code": code}).to_string() };
            let response = Response::builder().status(code).body(Body::from(body.into_bytes()));
            async move { Ok::<_, Infallible>(response.expect("a response")) }
        });
        let task: Task =
            read(json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task", "spec": {"type": "work"},
            "metadata": {"name": "one", "namespace": "docs", "uid": "u-1"},
            "status": {"state": state, "runId": "1", "attempt": 1, "arrival": "7", "archived": true,
                "attempts": [{"number": 1, "outcome": "Failed", "reason": "ExitCode", "pod": "p-1"}]}}));
        let pod: Pod = read(json!({"metadata": {"name": "p-1", "namespace": "docs"},
            "spec": {"containers": [{"name": "work"}]},
            "status": {"phase": "Failed", "containerStatuses": [{"name": "work", "image": "", "imageID": "", "ready": false,
                "restartCount": 0, "state": {"terminated": {"exitCode": 1, "startedAt": "2026-01-01T00:00:00Z",
                    "finishedAt": "2026-01-01T00:00:01Z"}}}]}}));
        let first = TaskStatus { attempt: 1, ..task.status_or_default().clone() };
        Self {
            logs: AttemptLogs::new(Arc::new(Guard::of(archive.clone())), Arc::default()),
            reads: Reads::new(Client::new(server, "docs")),
            job: names::job_of(&task, &first),
            observed: Observed { pods: vec![PodFacts::of(&pod)], ..Observed::default() },
            answers,
            archive,
            task,
            folder,
        }
    }

    fn answers(&self, code: u16, text: &'static str) {
        self.answers.lock().push((code, text));
    }

    /// Whether the Job may go.
    async fn keep(&self) -> bool {
        self.logs.keep(&self.task, &self.job, &self.observed, &self.reads).await
    }

    async fn kept(&self) -> Option<String> {
        let AttemptId { uid, run_id, began, attempt } = AttemptId::of(&self.task);
        self.archive.log(&AttemptKey { uid: &uid, run_id: &run_id, began, attempt }).await.expect("an answer")
    }

    fn lost(&self) -> bool {
        self.logs.metrics.text().contains("archive_logs_lost_total 1")
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test]
async fn a_job_waits_for_its_log_though_its_node_does_not_answer_at_first() {
    let scene = Scene::new("Queued").await;
    scene.answers(500, "");
    assert!(!scene.keep().await && !scene.keep().await, "it may come another time");
    scene.answers(200, "why it failed");
    assert!(scene.keep().await);
    assert_eq!(scene.kept().await.as_deref(), Some("why it failed"));
    scene.answers(200, "another");
    assert!(scene.keep().await && scene.kept().await.as_deref() == Some("why it failed"), "it is kept once");
    assert!(!scene.lost());
}

#[tokio::test]
async fn a_log_that_never_comes_keeps_its_job_for_a_few_tries_and_is_counted() {
    let scene = Scene::new("Queued").await;
    scene.answers(503, "");
    for _ in 1..ASKED_FOR {
        assert!(!scene.keep().await && !scene.lost());
    }
    assert!(scene.keep().await && scene.lost(), "the Job goes without");
    assert_eq!(scene.kept().await, None);
}

#[tokio::test]
async fn a_pod_that_has_no_log_keeps_no_job() {
    for (code, text) in [(404, ""), (400, ""), (200, "")] {
        let scene = Scene::new("Queued").await;
        scene.answers(code, text);
        assert!(scene.keep().await && !scene.lost(), "{code}");
    }
}

#[tokio::test]
async fn the_log_of_a_last_attempt_is_kept_beside_its_record_where_that_lacks_it() {
    let scene = Scene::new("Failed").await;
    scene.answers(200, "its last words");
    assert!(scene.keep().await && scene.kept().await.is_none(), "its record has it");
    scene.logs.missed(&scene.task);
    assert!(scene.keep().await);
    assert_eq!(scene.kept().await.as_deref(), Some("its last words"));
}
