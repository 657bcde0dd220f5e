use std::convert::Infallible;

use axum::http::{Request, Response};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;

/// An API server that answers by this.
fn election(identity: &str, answer: impl Fn(&Request<Body>) -> (u16, Value) + Clone + Send + 'static) -> Election {
    let server = service_fn(move |request: Request<Body>| {
        let (code, body) = answer(&request);
        let response = Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
        async move { Ok::<_, Infallible>(response.expect("a response")) }
    });
    Election::new(Client::new(server, "docs"), "docs", "lease", identity, BTreeMap::new())
}

fn failure(code: u16, reason: &str) -> (u16, Value) {
    (code, json!({"kind": "Status", "status": "Failure", "reason": reason, "code": code}))
}

/// One who sees the Lease in these versions one after another, be it read or made; 0 where there is none.
fn onlooker(versions: &[u64]) -> Election {
    let versions = Arc::new(Mutex::new(versions.to_vec()));
    election("me", move |_| {
        let version = versions.lock().remove(0);
        let lease = json!({"metadata": {"name": "lease", "resourceVersion": version.to_string()},
            "spec": {"holderIdentity": "other"}});
        if version > 0 { (200, lease) } else { failure(404, "NotFound") }
    })
}

/// After each look of one who waits, how often the cluster was seen to have been restored.
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
async fn the_cluster_goes_back_once_also_where_the_lease_vanished_in_between() {
    assert_eq!(restored(&[70, 60, 61, 0, 59]).await, [0, 1, 1, 1, 2]);
}

#[tokio::test]
async fn a_lease_that_its_leader_makes_anew_tells_whether_it_was_deleted_or_the_cluster_restored() {
    for (made, times) in [(80, 0), (12, 1)] {
        let election = onlooker(&[70, 0, made]);
        election.look(Candidate::Waits(None)).await.expect("an answer");
        let look = election.look(Candidate::Leads).await.expect("an answer");
        assert_eq!(matches!(look, Look::Ours), times == 0, "{look:?}");
        assert_eq!(*election.restored().borrow(), times, "made in version {made}");
    }
}

#[tokio::test]
async fn a_lease_that_is_gone_is_left_to_whoever_led_by_it_as_long_as_that_may_lead() {
    let election = onlooker(&[70, 0, 0, 80]);
    election.look(Candidate::Waits(None)).await.expect("an answer");
    let Ok(Look::Taken(gone)) = election.look(Candidate::Waits(None)).await else { panic!("it was taken at once") };
    let long_ago = Instant::now().checked_sub(DURATION).expect("a time");
    let look = election.look(Candidate::Waits(Some(&(gone, long_ago)))).await.expect("an answer");
    assert!(matches!(look, Look::Ours), "{look:?}");
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
    let election = election("me", move |request| {
        let lease = json!({"metadata": {"name": "lease", "resourceVersion": "7"}, "spec": {"holderIdentity": "me"}});
        let is_write = request.method() != "GET";
        let code = if is_write && !codes.lock().is_empty() { codes.lock().remove(0) } else { 200 };
        if code == 200 { (200, lease) } else { failure(code, "Conflict") }
    });
    (election, left)
}

#[tokio::test]
async fn a_lease_that_somebody_else_wrote_to_is_not_lost_by_that() {
    let (election, left) = holder(&[200, 409, 409, 504]);
    election.win(&watch::Sender::new(false)).await;
    let kept = tokio::time::timeout(Duration::from_secs(8), election.keep()).await;
    assert!(kept.is_err(), "it is still ours");
    assert!(left.lock().is_empty() && election.leadership().remaining().is_some());
}

/// Our Lease under an API server that takes so long for each request, and never answers the third write; with the times
/// at which writes came.
fn slow(time: Duration) -> (Election, Arc<Mutex<Vec<tokio::time::Instant>>>) {
    let writes = Arc::new(Mutex::new(vec![]));
    let seen = writes.clone();
    let server = service_fn(move |request: Request<Body>| {
        let seen = seen.clone();
        async move {
            if request.method() != "GET" {
                seen.lock().push(tokio::time::Instant::now());
                if seen.lock().len() == 3 {
                    std::future::pending::<()>().await;
                }
            }
            tokio::time::sleep(time).await;
            let lease =
                json!({"metadata": {"name": "lease", "resourceVersion": "7"}, "spec": {"holderIdentity": "me"}});
            Ok::<_, Infallible>(Response::new(Body::from(lease.to_string().into_bytes())))
        }
    });
    (Election::new(Client::new(server, "docs"), "docs", "lease", "me", BTreeMap::new()), writes)
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_never_answered_costs_no_lease_though_the_next_one_is_slow() {
    let time = Duration::from_millis(1400);
    let (election, writes) = slow(time);
    election.win(&watch::Sender::new(false)).await;
    let _ = tokio::time::timeout(Duration::from_secs(20), election.keep()).await;
    let writes = writes.lock();
    assert!(writes.len() > 3, "{writes:?}");
    // It lasts from when the last one that was answered was sent.
    let renewed_within = writes[3] + time - writes[1];
    assert!(renewed_within < DURATION - MARGIN, "{renewed_within:?}");
}

/// One Lease for several, as an API server keeps it.
#[derive(Clone)]
struct Kept(Arc<Mutex<Value>>);

impl Kept {
    /// The lease of "leader", whose archive is b where the agreed one is a.
    fn led_by_another_archive() -> Self {
        Self(Arc::new(Mutex::new(json!({
            "metadata": {"name": "lease", "resourceVersion": "7", "annotations": {ARCHIVE: "a"}},
            "spec": {"holderIdentity": "leader"},
        }))))
    }

    fn answer(&self, method: &str, body: Option<Value>) -> (u16, Value) {
        let mut kept = self.0.lock();
        if method == "PUT" {
            let mut new = body.expect("a Lease");
            if new["metadata"]["resourceVersion"] != kept["metadata"]["resourceVersion"] {
                return failure(409, "Conflict");
            }
            let version = new["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse::<u64>().ok());
            new["metadata"]["resourceVersion"] = (version.expect("a number") + 1).to_string().into();
            *kept = new;
        }
        (200, kept.clone())
    }

    /// One of this name, with this archive.
    fn candidate(&self, identity: &str, archive: &str) -> Election {
        let kept = self.clone();
        let server = service_fn(move |request: Request<Body>| {
            let kept = kept.clone();
            async move {
                let (method, body) = (request.method().to_string(), request.into_body().collect_bytes().await);
                let body = serde_json::from_slice(&body.expect("a body")).ok();
                let (code, body) = kept.answer(&method, body);
                let response = Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
                Ok::<_, Infallible>(response.expect("a response"))
            }
        });
        let own = watch::Sender::new(Some(archive.to_owned()));
        let archive = AgreedArchive::new(own.subscribe(), |_| {}, false);
        Election::new(Client::new(server, "docs"), "docs", "lease", identity, BTreeMap::new()).with_archive(archive)
    }
}

#[tokio::test]
async fn a_leader_with_another_archive_makes_room_as_soon_as_one_with_the_agreed_one_waits() {
    let kept = Kept::led_by_another_archive();
    let (leader, other) = (kept.candidate("leader", "b"), kept.candidate("other", "b"));
    leader.led_differing.store(true, std::sync::atomic::Ordering::Relaxed);
    for _ in 0..2 {
        assert!(matches!(leader.look(Candidate::Leads).await, Ok(Look::Ours)), "nobody else is there");
        assert!(matches!(other.look(Candidate::Waits(None)).await, Ok(Look::Taken(_))));
    }
    let right = kept.candidate("right", "a");
    assert!(matches!(right.look(Candidate::Waits(None)).await, Ok(Look::Taken(_))));
    assert!(matches!(leader.look(Candidate::Leads).await, Ok(Look::Yields)));
    leader.release().await;
    assert!(matches!(other.look(Candidate::Waits(None)).await, Ok(Look::Taken(_))), "the agreed one goes first");
    assert!(matches!(right.look(Candidate::Waits(None)).await, Ok(Look::Ours)));
    let annotations = kept.0.lock()["metadata"]["annotations"].clone();
    assert_eq!(annotations, json!({ARCHIVE: "a"}), "nothing of what was asked stays");
}

#[tokio::test]
async fn a_term_that_makes_room_gives_the_lease_up_so_that_it_need_not_run_out() {
    let kept = Kept::led_by_another_archive();
    let leader = kept.candidate("leader", "b");
    leader.led_differing.store(true, std::sync::atomic::Ordering::Relaxed);
    leader.look(Candidate::Leads).await.expect("renewed");
    leader.led_differing.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(leader.keep().await, TermEnd::MakesRoom);
    assert!(TermEnd::MakesRoom.gives_up_the_lease() && !TermEnd::LeaseLost.gives_up_the_lease());
    assert!(leader.leadership().remaining().is_some(), "what has begun may end in order");
    leader.release().await;
    assert_eq!(kept.0.lock()["spec"].get("holderIdentity"), None);
}
