use std::convert::Infallible;

use axum::http::{Request, Response};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::json;
use tower::service_fn;

use super::*;

/// One who looks at somebody else's Lease, which has these versions one after another; 0 where there is none.
fn onlooker(versions: &[u64]) -> Election {
    let versions = Mutex::new(versions.to_vec());
    let server = service_fn(move |_: Request<Body>| {
        let version = versions.lock().remove(0);
        let lease = json!({"metadata": {"name": "lease", "resourceVersion": version.to_string()},
            "spec": {"holderIdentity": "other"}});
        let missing = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404});
        let (code, body) = if version > 0 { (200, lease) } else { (404, missing) };
        let response = Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
        async move { Ok::<_, Infallible>(response.expect("a response")) }
    });
    Election::new(Client::new(server, "docs"), "docs", "lease", "me", BTreeMap::new())
}

/// After each look, how often the cluster was seen to have been restored.
async fn restored(versions: &[u64]) -> Vec<u64> {
    let election = onlooker(versions);
    let times = election.restored();
    let mut seen = vec![];
    for _ in versions {
        election.look(Candidate::Waits(None)).await.expect("an answer");
        seen.push(*times.borrow());
    }
    seen
}

#[tokio::test]
async fn the_cluster_went_back_when_the_lease_is_older_than_it_was_whoever_leads() {
    assert_eq!(restored(&[70, 70, 75, 60]).await, [0, 0, 0, 1]);
}

#[tokio::test]
async fn the_cluster_goes_back_once_and_a_lease_that_vanished_is_older_too() {
    assert_eq!(restored(&[70, 60, 61, 0]).await, [0, 1, 1, 2]);
}

#[test]
fn a_lease_is_over_by_whichever_clock_goes_faster() {
    let (monotonic, wall) = (Instant::now(), SystemTime::now());
    let second = Duration::from_secs(1);
    let until = Until::after(monotonic, wall, 9 * second).expect("a time");
    assert_eq!(until.remaining(monotonic + 2 * second, wall + 2 * second), Some(7 * second));
    assert_eq!(until.remaining(monotonic + 9 * second, wall), None, "the wall clock was set back");
    assert_eq!(until.remaining(monotonic + second, wall + 60 * second), None, "the machine slept");
}

/// Our own Lease under an API server whose answers to writes have these codes, one after another, and then 200. Somebody
/// annotates the Lease before each write that is answered 409.
fn holder(codes: &[u16]) -> (Election, Arc<Mutex<Vec<u16>>>) {
    let left = Arc::new(Mutex::new(codes.to_vec()));
    let codes = left.clone();
    let server = service_fn(move |request: Request<Body>| {
        let lease = json!({"metadata": {"name": "lease", "resourceVersion": "7"}, "spec": {"holderIdentity": "me"}});
        let is_write = request.method() != "GET";
        let code = if is_write && !codes.lock().is_empty() { codes.lock().remove(0) } else { 200 };
        let failed = json!({"kind": "Status", "status": "Failure", "reason": "Conflict", "code": code});
        let body = if code == 200 { lease } else { failed };
        let response = Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
        async move { Ok::<_, Infallible>(response.expect("a response")) }
    });
    (Election::new(Client::new(server, "docs"), "docs", "lease", "me", BTreeMap::new()), left)
}

#[tokio::test]
async fn a_lease_that_somebody_else_wrote_to_is_not_lost_by_that() {
    let (election, left) = holder(&[200, 409, 504]);
    election.win(&watch::Sender::new(false)).await;
    let kept = tokio::time::timeout(Duration::from_secs(8), election.keep()).await;
    assert!(kept.is_err(), "it is still ours");
    assert!(left.lock().is_empty() && election.leadership().remaining().is_some());
}
