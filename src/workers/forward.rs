//! Forwards reports from a replica that does not lead to the one that leads, as they are, and its answers back. It
//! verifies nothing: the one that leads does.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::Uri;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use super::WorkerApi;
use super::peer::Peer;
use super::result::RESULT;
use crate::serving::problem::{Problem, ProblemType};

/// To reach the one that leads.
const CONNECT: Duration = Duration::from_secs(2);
/// Until the head of the answer has come; sending a large result counts too.
const ANSWER: Duration = Duration::from_secs(90);
const IDLE: Duration = Duration::from_secs(5);
/// Marks a forwarded request, so that it is forwarded only once. It bears the key of the one that leads, which only the
/// other replicas have.
const FORWARDED: HeaderName = HeaderName::from_static("x-task-manager-forwarded");
/// They speak of one connection.
const OF_A_CONNECTION: [HeaderName; 7] = [
    header::CONNECTION,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
];

pub type HttpClient = Client<HttpConnector, Body>;

pub fn client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).timer(TokioTimer::new()).pool_idle_timeout(IDLE).build(connector)
}

pub async fn or_here(State(api): State<Arc<WorkerApi>>, request: Request, next: Next) -> Response {
    let peer = api.peers.borrow().clone();
    match peer {
        Some(peer) if !api.live.is_taking() && !request.headers().contains_key(FORWARDED) => {
            forward(&api.client, &peer, request).await.unwrap_or_else(IntoResponse::into_response)
        }
        // It is taken here, or answered that nobody leads.
        _ => next.run(request).await,
    }
}

async fn forward(client: &HttpClient, peer: &Peer, request: Request) -> Result<Response, Problem> {
    let (mut head, body) = request.into_parts();
    // Nothing is larger.
    RESULT.check_length(&head.headers)?;
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = format!("{}{path}", peer.url).parse::<Uri>().map_err(|_| away())?;
    strip(&mut head.headers);
    head.headers.insert(FORWARDED, HeaderValue::from_str(&peer.key).map_err(|_| away())?);
    let answer = timeout(ANSWER, client.request(Request::from_parts(head, body))).await;
    let answer = answer.map_err(|_| away())?.map_err(|error| {
        tracing::debug!(%error, url = peer.url, "failed to hand on what the work says");
        away()
    })?;
    let (mut head, body) = answer.into_parts();
    strip(&mut head.headers);
    Ok(Response::from_parts(head, Body::new(body)))
}

/// It comes from another replica, on behalf of many pods.
pub fn is_from_a_replica(api: &WorkerApi, headers: &HeaderMap) -> bool {
    let key = headers.get(FORWARDED).and_then(|key| key.to_str().ok());
    key.is_some_and(|key| api.me.as_ref().is_some_and(|me| me.is_opened_by(key)))
}

fn strip(headers: &mut HeaderMap) {
    OF_A_CONNECTION.iter().for_each(|name| drop(headers.remove(name)));
}

fn away() -> Problem {
    ProblemType::NotTaken.because("the replica that leads does not answer; say it again in a moment")
}
