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
        election.look(None).await.expect("an answer");
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
