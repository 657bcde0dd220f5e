//! A term under an API server that never answers.

use std::convert::Infallible;

use axum::http::{Request, Response};
use kube::client::Body;
use parking_lot::Mutex;
use tower::service_fn;

use super::*;
use crate::archive;
use crate::archive::Archive;
use crate::cluster::lease::Election;

/// How long a term is watched to show what it does not do.
const A_MOMENT: Duration = Duration::from_secs(1);

/// Whether anybody is told to be ready, and what was asked for, after a moment of a term that began when `ready` was so.
async fn a_moment_of_a_term(ready: bool) -> (bool, Vec<String>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let told = asked.clone();
    let silent = service_fn(move |request: Request<Body>| {
        told.lock().push(request.uri().to_string());
        std::future::pending::<Result<Response<Body>, Infallible>>()
    });
    let client = Client::new(silent, "docs");
    let metrics = Arc::new(Metrics::default());
    let nowhere = std::env::temp_dir().join("task-manager-never-opened.db");
    let archive = Archive::at(&format!("sqlite:{}", nowhere.display()), &archive::Options::default());
    let archive = Arc::new(Guard::of(archive.expect("a place")));
    let watches = Arc::new(Watches::new(client.clone(), metrics.clone(), 1000));
    let environment = Environment {
        client: client.clone(),
        deleted_tasks: Arc::new(DeletedTasks::new(archive.clone(), metrics.clone())),
        archive,
        retention: Retention { days: 1, records: 1 },
        live: Arc::default(),
        watches: watches.clone(),
        scope: Scope::All,
    };
    let election = Election::new(client, "docs", "lease", "me", std::collections::BTreeMap::new());
    let ready = tokio::sync::watch::Sender::new(ready);
    let over = CancellationToken::new();
    let term = run(environment, Settings::default(), election.leadership(), metrics, ready.clone(), over);
    let _ = tokio::time::timeout(A_MOMENT, futures::future::join(term, watches.run())).await;
    let asked = asked.lock().clone();
    (*ready.borrow(), asked)
}

#[tokio::test]
async fn a_term_takes_nothing_for_known_that_it_has_not_listed_though_it_was_ready_to_take_over() {
    let (ready, asked) = a_moment_of_a_term(true).await;
    assert!(!ready, "nothing is known yet");
    assert!(asked.iter().any(|path| path.contains("/tasks?")), "it lists: {asked:?}");
    assert_eq!(a_moment_of_a_term(false).await.1.len(), asked.len(), "nothing else is asked for: {asked:?}");
    assert!(!asked.iter().any(|path| path.contains("status.state")), "it admits: {asked:?}");
}
