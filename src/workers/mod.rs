//! The HTTP API that the work in a pod calls, on a port of its own: /worker/v1. The token of the pod says who calls.
//!
//! Reports are handed to the controller of the replica that leads, which knows which attempt the pod is at work on; nothing
//! is decided here.

mod checkpoint;
mod forward;
mod next;
mod peer;
pub mod reports;
mod result;
mod stream;
pub mod token;
mod upload;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use kube::Client;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::api::worker_protocol::{
    CHECKPOINT, LEASE_HEADER, NEXT, NEXT_BYTES, PROCESS_CHARACTERS, PROCESS_HEADER, RESULT,
};
use crate::archive::Guard;
use crate::live::{Live, NotTaken, Reporter};
use crate::metrics::Metrics;
use crate::serving::body::at_most;
use crate::serving::limits::{not_served, run_within};
use crate::serving::listener::{ListenError, PeerAddress};
use crate::serving::per_peer::PerPeer;
use crate::serving::problem::{Problem, ProblemType};
use crate::serving::{limits, linger, listener, manners, problem_pages};
use forward::HttpClient;
use token::Reviews;

pub use peer::Peer;
pub use stream::follow;

/// Requests at once; those beyond are sent away with 503…
const REQUESTS: usize = 256;
/// …and of these so many of one address, so that no pod keeps the others out.
const OF_ONE_ADDRESS: usize = 64;
/// Connections at once. Workers that wait for work, over all pools, have four fifths of them, one for each slot; the rest is for
/// what those at work say: a heartbeat must never wait for somebody who is idle.
const CONNECTIONS: usize = 5120;
/// A call is answered by then: a large result has a minute to arrive, here or at the replica that leads.
const DEADLINE: Duration = Duration::from_secs(120);
/// Results at once, each of which is in memory: 16 MiB at most.
const RESULTS: usize = 4;
/// Checkpoints at once, those that come and those that are fetched: 1 MiB each at most.
const CHECKPOINTS: usize = 16;
/// Replicas that follow at once.
const FOLLOWERS: usize = 16;
/// The largest body that is no result, in bytes.
const BODY: usize = 16 << 10;

/// Names the attempt that a report is of. Without it the attempt counts that the pod is at work on.
const ATTEMPT: HeaderName = HeaderName::from_static("task-attempt");

/// The parts that all handlers share.
struct WorkerApi {
    live: Arc<Live>,
    archive: Arc<Guard>,
    reviews: Reviews,
    requests: Semaphore,
    hanging: Semaphore,
    peers_at_work: PerPeer,
    results: Semaphore,
    checkpoints: Arc<Semaphore>,
    /// The pods that are handing over a result or a checkpoint.
    uploading: Mutex<HashSet<String>>,
    followers: Arc<Semaphore>,
    /// This replica, as the others find it when it leads.
    me: Option<Peer>,
    /// The replica that leads, when it is another.
    peers: watch::Receiver<Option<Peer>>,
    client: HttpClient,
    over: CancellationToken,
}

/// The parts of the operator that reports come to.
pub struct Sources {
    pub client: Client,
    pub archive: Arc<Guard>,
    pub live: Arc<Live>,
    pub metrics: Arc<Metrics>,
    /// This replica, as the others find it when it leads.
    pub me: Option<Peer>,
    /// The replica that leads, when it is another.
    pub peers: watch::Receiver<Option<Peer>>,
    /// Cancelled when the operator stops.
    pub over: CancellationToken,
}

/// Binds at once; then takes reports until the operator stops.
pub fn serve(addr: SocketAddr, sources: Sources) -> Result<impl Future<Output = ()>, ListenError> {
    let listener = listener::listen(addr, "--worker-addr")?;
    let over = sources.over.clone();
    let connections = listener::at_most(CONNECTIONS);
    Ok(async move {
        tracing::info!(worker = %addr, connections, "the worker port is served");
        let router = router(sources, connections / 5 * 4);
        listener::serve_at_most(connections, listener, router, over).await;
    })
}

fn router(sources: Sources, hanging: usize) -> Router {
    let Sources { client, archive, live, metrics, me, peers, over } = sources;
    let api = Arc::new(WorkerApi {
        live,
        archive,
        reviews: Reviews::new(client, metrics),
        requests: Semaphore::new(REQUESTS),
        hanging: Semaphore::new(hanging),
        peers_at_work: PerPeer::new(OF_ONE_ADDRESS),
        results: Semaphore::new(RESULTS),
        checkpoints: Arc::new(Semaphore::new(CHECKPOINTS)),
        uploading: Mutex::default(),
        followers: Arc::new(Semaphore::new(FOLLOWERS)),
        me,
        peers,
        client: forward::client(),
        over,
    });
    Router::new()
        .route("/worker/v1/progress", post(reports::progress))
        .route("/worker/v1/error", post(reports::error))
        .route(NEXT, post(next::next).layer(at_most(NEXT_BYTES)))
        .route(RESULT, put(result::put))
        .route(CHECKPOINT, put(checkpoint::put).get(checkpoint::get))
        .layer(middleware::from_fn_with_state(api.clone(), forward::or_here))
        .layer(middleware::from_fn(manners::unencoded))
        .layer(middleware::from_fn(async |request, next| limits::by(DEADLINE, request, next).await))
        .layer(middleware::from_fn(linger::when_refused))
        .route(stream::PATH, get(stream::tell))
        .merge(problem_pages::pages())
        .fallback(async || {
            ProblemType::NoSuchPath
                .because("POST to /worker/v1/next, /progress or /error, or PUT /worker/v1/result or /checkpoint")
        })
        .method_not_allowed_fallback(not_served)
        .layer(middleware::from_fn_with_state(api.clone(), bounded))
        .layer(at_most(BODY))
        .with_state(api)
}

async fn bounded(State(api): State<Arc<WorkerApi>>, request: Request, next: Next) -> Response {
    if request.uri().path() == NEXT {
        return run_within(&api.hanging, request, next).await;
    }
    let peer =
        request.extensions().get::<PeerAddress>().filter(|_| !forward::is_from_a_replica(&api, request.headers()));
    let Some(_turn) = api.peers_at_work.turn(peer) else {
        return ProblemType::Busy
            .because("too many requests of this address are being served; send it again in a moment")
            .into_response();
    };
    run_within(&api.requests, request, next).await
}

/// The pod that calls, by its token.
impl FromRequestParts<Arc<WorkerApi>> for Reporter {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<WorkerApi>) -> Result<Self, Problem> {
        let mut given = parts.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (given.next(), given.next()) else {
            return Err(
                ProblemType::NoToken.because("send one header Authorization: Bearer, with what TASK_TOKEN_FILE holds")
            );
        };
        let token = value.to_str().ok().and_then(|value| value.split_once(' '));
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        let token = token.filter(|token| !token.is_empty());
        let token =
            token.ok_or_else(|| ProblemType::NoToken.because("the Authorization header is not a bearer token"))?;
        let (attempt, lease) = (named_attempt(&parts.headers)?, named_lease(&parts.headers)?);
        let process = named_process(&parts.headers)?;
        let peer = parts.extensions.get::<PeerAddress>().filter(|_| !forward::is_from_a_replica(api, &parts.headers));
        Ok(Self { attempt, lease, process, ..api.reviews.reporter(token, peer).await? })
    }
}

/// The attempt that the caller says it reports for, in the header Task-Attempt.
fn named_attempt(headers: &HeaderMap) -> Result<Option<i32>, Problem> {
    let mut given = headers.get_all(ATTEMPT).iter();
    let (first, None) = (given.next(), given.next()) else {
        return Err(ProblemType::Header.because("send it once, or not at all").at("Task-Attempt"));
    };
    let read = |value: &HeaderValue| value.to_str().ok()?.parse().ok();
    let wrong = || ProblemType::Header.because("the attempt's number: what TASK_ATTEMPT holds").at("Task-Attempt");
    first.map(|value| read(value).ok_or_else(wrong)).transpose()
}

/// The lease that a warm worker says it reports for, in the header Task-Lease.
fn named_lease(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all(LEASE_HEADER).iter();
    let (first, None) = (given.next(), given.next()) else {
        return Err(ProblemType::Header.because("send it once, or not at all").at("Task-Lease"));
    };
    let wrong = || ProblemType::Header.because("the lease as POST /worker/v1/next gave it").at("Task-Lease");
    first.map(|value| value.to_str().map(str::to_owned).map_err(|_| wrong())).transpose()
}

/// The process of a warm worker, in the header Task-Process.
fn named_process(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let wrong = || {
        let why = format!("a word of up to {PROCESS_CHARACTERS} visible ASCII characters, sent once or not at all");
        ProblemType::Header.because(why).at("Task-Process")
    };
    let mut given = headers.get_all(PROCESS_HEADER).iter();
    let (first, None) = (given.next(), given.next()) else { return Err(wrong()) };
    let is_word = |word: &&str| (1..=PROCESS_CHARACTERS).contains(&word.len());
    first.map(|value| value.to_str().ok().filter(is_word).map(str::to_owned).ok_or_else(wrong)).transpose()
}

impl From<NotTaken> for Problem {
    fn from(refusal: NotTaken) -> Self {
        let kind = match refusal {
            NotTaken::NobodyLeads | NotTaken::NotNow(_) => ProblemType::NotTaken,
            NotTaken::Stranger | NotTaken::NoWorker => ProblemType::NotYourTask,
            NotTaken::NoSuchSlot(_) => return ProblemType::Invalid.because(refusal.to_string()).at("slot"),
            NotTaken::Over => ProblemType::AttemptOver,
        };
        kind.because(refusal.to_string())
    }
}
