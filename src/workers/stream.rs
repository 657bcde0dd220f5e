//! The stream of reports from the replica that leads to the others: one line of JSON for each task that something was
//! reported of, all that is known first, and an empty line now and then.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use futures::stream;
use http_body_util::BodyExt;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{sleep, timeout};

use super::WorkerApi;
use super::forward::{HttpClient, client};
use super::peer::Peer;
use crate::core::attempt::reports::Reports;
use crate::live::{Live, Uid};
use crate::serving::problem::{Problem, ProblemType};

pub const PATH: &str = "/internal/v1/live";
/// At least so often something is sent.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// After so long without anything the stream is given up.
const SILENCE: Duration = Duration::from_secs(10);
/// Before the stream is asked for again.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest line: an error of 1,024 characters, each of which JSON may write in six bytes, and what stands around it.
const LINE: usize = 16 << 10;

/// The one that leads tells another replica.
pub(super) async fn tell(State(api): State<Arc<WorkerApi>>, headers: HeaderMap) -> Result<Response, Problem> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let key = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if !api.me.as_ref().is_some_and(|me| me.is_opened_by(key)) {
        return Err(ProblemType::NoToken.because("this is for the other replicas of the operator"));
    }
    if !api.live.is_taking() {
        return Err(ProblemType::NotTaken.because("this replica does not lead"));
    }
    let permit = api.followers.clone().try_acquire_owned();
    let permit = permit.map_err(|_| ProblemType::Busy.because("too many replicas follow; ask again in a moment"))?;
    let teller = Teller { news: api.live.news(), live: api.live.clone(), begun: false, api, _permit: permit };
    let lines = stream::unfold(teller, |mut teller| async {
        let lines = teller.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(lines)), teller))
    });
    Ok(Response::new(Body::from_stream(lines)))
}

struct Teller {
    live: Arc<Live>,
    news: Receiver<Uid>,
    begun: bool,
    api: Arc<WorkerApi>,
    _permit: OwnedSemaphorePermit,
}

impl Teller {
    /// `None` when this replica no longer leads, or stops.
    async fn next(&mut self) -> Option<String> {
        if !std::mem::replace(&mut self.begun, true) {
            return Some(self.all());
        }
        let news = self.api.over.run_until_cancelled(timeout(HEARTBEAT, self.news.recv())).await?;
        if !self.live.is_taking() {
            return None;
        }
        match news {
            Ok(Ok(uid)) => Some(self.live.reports(&uid).map(|reports| line(&reports)).unwrap_or_default() + "\n"),
            Ok(Err(RecvError::Lagged(_))) => Some(self.all()),
            Ok(Err(RecvError::Closed)) => None,
            Err(_) => Some("\n".into()),
        }
    }

    fn all(&self) -> String {
        self.live.all_reports().iter().map(|reports| line(reports) + "\n").collect::<String>() + "\n"
    }
}

fn line(reports: &Reports) -> String {
    serde_json::to_string(reports).unwrap_or_default()
}

/// Follows whoever leads, while that is somebody else. Runs for ever.
pub async fn follow(live: Arc<Live>, mut peers: watch::Receiver<Option<Peer>>) {
    let client = client();
    loop {
        let peer = peers.borrow_and_update().clone();
        if let Some(peer) = peer {
            tokio::select! {
                why = listen(&client, &peer, &live) => {
                    tracing::debug!(why, url = peer.url, "does not hear the replica that leads; asks again");
                }
                _ = peers.changed() => continue,
            }
            sleep(PAUSE).await;
        } else if peers.changed().await.is_err() {
            return;
        }
    }
}

/// Returns why it ended.
async fn listen(client: &HttpClient, peer: &Peer, live: &Live) -> &'static str {
    let request = axum::http::Request::get(format!("{}{PATH}", peer.url))
        .header(header::AUTHORIZATION, format!("Bearer {}", peer.key))
        .body(Body::empty());
    let Ok(request) = request else { return "its address is none" };
    let Ok(Ok(answer)) = timeout(SILENCE, client.request(request)).await else { return "it does not answer" };
    if !answer.status().is_success() {
        return "it refuses";
    }
    let mut body = answer.into_body();
    let mut rest = Vec::new();
    loop {
        let Ok(frame) = timeout(SILENCE, body.frame()).await else { return "it is silent" };
        let Some(Ok(frame)) = frame else { return "it has ended" };
        rest.extend_from_slice(frame.data_ref().map(Bytes::as_ref).unwrap_or_default());
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in rest[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(reports) = serde_json::from_slice::<Reports>(line) else { return "it is not understood" };
            live.copy(reports);
        }
        rest.drain(..whole);
        if rest.len() > LINE {
            return "it speaks in lines that are too long";
        }
    }
}
