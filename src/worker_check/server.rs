//! The worker port of an operator that plays a story: it takes the calls of one worker and answers as it is told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::board::{Board, Pulse};
use super::call::{Call, Reply, with_later_fields};
use crate::api::worker_protocol::{
    ATTEMPT_HEADER, CHECKPOINT, ERROR, LARGEST_CHECKPOINT_BYTES, LARGEST_RESULT_BYTES, LEASE_HEADER, LOG_BYTES, NEXT,
    NEXT_BYTES, NextRequest, PROGRESS, ProgressRequest, RESULT, RESULT_BYTES,
};

/// Calls that wait for the story; one worker has far fewer.
const CALLS: usize = 256;
/// A call that was ended on the worker's side is noticed by then.
const NOTICED: Duration = Duration::from_millis(300);

/// Listens until it is dropped.
pub struct Server {
    pub addr: SocketAddr,
    pub board: Arc<Board>,
    pub calls: mpsc::Receiver<Call>,
    _listening: AbortOnDropHandle<()>,
}

impl Server {
    pub async fn listen(addr: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let board = Arc::new(Board::default());
        let (sender, calls) = mpsc::channel(CALLS);
        let desk = Desk { board: board.clone(), calls: sender };
        let listening = AbortOnDropHandle::new(tokio::spawn(accept(listener, desk)));
        Ok(Self { addr, board, calls, _listening: listening })
    }
}

#[derive(Clone)]
struct Desk {
    board: Arc<Board>,
    calls: mpsc::Sender<Call>,
}

async fn accept(listener: TcpListener, desk: Desk) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(NOTICED).await;
            continue;
        };
        let desk = desk.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let desk = desk.clone();
                async move { desk.serve(request).await }
            });
            // A story hangs up, and workers do, too.
            drop(http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the story hangs up")]
struct HungUp;

type Answer = Response<Full<Bytes>>;

impl Desk {
    /// The connection is closed without an answer where the story wants it.
    async fn serve(&self, request: Request<Incoming>) -> Result<Answer, HungUp> {
        let (head, body) = request.into_parts();
        if !self.is_known(&head.headers) {
            *self.board.refused.lock() += 1;
            return Ok(problem(401, "the token is not valid: read TASK_TOKEN_FILE anew for each call"));
        }
        let lease = head.headers.get(LEASE_HEADER).and_then(|lease| lease.to_str().ok()).map(str::to_owned);
        let attempt = head.headers.get(ATTEMPT_HEADER).and_then(|attempt| attempt.to_str().ok());
        // The pod of a Job has an attempt instead.
        let lease = lease.or_else(|| attempt.map(|attempt| format!("attempt {attempt}")));
        let most = match head.uri.path() {
            RESULT => LARGEST_RESULT_BYTES,
            CHECKPOINT => LARGEST_CHECKPOINT_BYTES,
            _ => NEXT_BYTES,
        };
        let Ok(body) = Limited::new(body, most).collect().await.map(http_body_util::Collected::to_bytes) else {
            return Ok(problem(413, &format!("the body is larger than {most} bytes")));
        };
        let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let is_json = content_type.split(';').next().is_some_and(|kind| kind.trim() == "application/json");
        match (head.method, head.uri.path()) {
            (Method::POST, NEXT | PROGRESS | ERROR) if !is_json => {
                Ok(self.fault(415, "the body is not declared as application/json".into()))
            }
            (Method::POST, NEXT) => self.next(&body).await,
            (Method::POST, PROGRESS) => Ok(self.progress(lease, &body)),
            (Method::POST, ERROR) => Ok(self.error(lease, &body)),
            (Method::PUT, RESULT) => Ok(self.result(lease, content_type, body)),
            (Method::PUT, CHECKPOINT) => Ok(self.checkpoint(lease, body)),
            (Method::GET, CHECKPOINT) => Ok(self.left(lease)),
            (method, path) => Ok(self.fault(404, format!("there is no {method} {path}"))),
        }
    }

    fn is_known(&self, headers: &header::HeaderMap) -> bool {
        let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        token.is_some_and(|token| self.board.tokens.lock().contains(token))
    }

    /// Notes what the protocol does not know, and answers it.
    fn fault(&self, status: u16, why: String) -> Answer {
        let answer = problem(status, &why);
        self.board.faults.lock().push(why);
        answer
    }

    fn read<T: DeserializeOwned>(&self, path: &str, body: &[u8]) -> Result<T, Box<Answer>> {
        serde_json::from_slice(body).map_err(|error| {
            let status = if error.is_data() { 422 } else { 400 };
            Box::new(self.fault(status, format!("POST {path}: {error}")))
        })
    }

    async fn next(&self, body: &[u8]) -> Result<Answer, HungUp> {
        let request: NextRequest = match self.read(NEXT, body) {
            Ok(request) => request,
            Err(answer) => return Ok(*answer),
        };
        if let Some(why) = too_long(&request) {
            return Ok(problem(422, &why));
        }
        let _open = self.open(request.slot).await;
        let (wait, has_done) = (Duration::from_secs(request.wait_seconds().into()), request.done.is_some());
        let (answer, answered) = oneshot::channel();
        if self.calls.try_send(Call::new(request, answer)).is_err() {
            return Ok(unavailable(1));
        }
        match timeout(wait, answered).await {
            Ok(Ok(Reply::Json(value))) => Ok(respond(200, &value)),
            Ok(Ok(Reply::Unavailable(seconds))) => Ok(unavailable(seconds)),
            Ok(Ok(Reply::HangUp)) => Err(HungUp),
            Ok(Err(_)) => Ok(unavailable(1)),
            Err(_) => {
                let mut answer = json!({"task": null, "stop": false});
                if has_done {
                    answer["kept"] = true.into();
                }
                Ok(respond(200, &with_later_fields(answer)))
            }
        }
    }

    /// Notes a second open call of a slot, unless the first was just ended.
    async fn open(&self, slot: u32) -> Arc<()> {
        let own = Arc::new(());
        let before = self.board.open.lock().insert(slot, own.clone()).map(|before| Arc::downgrade(&before));
        if let Some(before) = before.filter(|before| before.strong_count() > 0) {
            sleep(NOTICED).await;
            if before.strong_count() > 0 {
                self.board.faults.lock().push(format!("slot {slot} has two open calls"));
            }
        }
        own
    }

    fn progress(&self, lease: Option<String>, body: &[u8]) -> Answer {
        let progress: ProgressRequest = match self.read(PROGRESS, body) {
            Ok(progress) => progress,
            Err(answer) => return *answer,
        };
        let Some(lease) = lease else {
            return self.fault(422, "a worker names the lease of its heartbeat in the header Task-Lease".into());
        };
        let pulse = self.board.pulses.lock().get(&lease).cloned();
        self.board.heard.lock().entry(lease).or_default().beats.push((Instant::now(), progress));
        match pulse {
            Some(Pulse::GoOn) => respond_empty(204),
            Some(Pulse::Cancel(cancel)) => respond(200, &with_later_fields(json!({"cancel": cancel}))),
            Some(Pulse::Away) => unavailable(1),
            Some(Pulse::Over) | None => problem(409, "the lease is over"),
        }
    }

    fn error(&self, lease: Option<String>, body: &[u8]) -> Answer {
        match (self.read(ERROR, body), lease) {
            (Err(answer), _) => *answer,
            (Ok(_), None) => self.fault(422, "a worker names the lease of its error in the header Task-Lease".into()),
            (Ok(error), Some(lease)) => {
                self.board.heard.lock().entry(lease).or_default().error = Some(error);
                respond_empty(204)
            }
        }
    }

    fn result(&self, lease: Option<String>, content_type: String, content: Bytes) -> Answer {
        let Some(lease) = lease else {
            return self.fault(422, "a worker names the lease of its result in the header Task-Lease".into());
        };
        if self.is_over(&lease) {
            return problem(409, "the lease is over");
        }
        self.board.heard.lock().entry(lease).or_default().result = Some((content_type, content));
        respond_empty(204)
    }

    fn checkpoint(&self, lease: Option<String>, content: Bytes) -> Answer {
        match lease {
            None => self.fault(422, "a worker names the lease of its checkpoint in the header Task-Lease".into()),
            Some(lease) if self.is_over(&lease) => problem(409, "the lease is over"),
            Some(lease) if self.board.pulses.lock().get(&lease) == Some(&Pulse::Away) => unavailable(1),
            Some(lease) => {
                self.board.heard.lock().entry(lease).or_default().checkpoints.push((Instant::now(), content));
                respond_empty(204)
            }
        }
    }

    fn left(&self, lease: Option<String>) -> Answer {
        match self.board.left.lock().get(&lease.unwrap_or_default()) {
            None => problem(404, "no attempt of this run has left a checkpoint"),
            Some(None) => unavailable(1),
            Some(Some(content)) => Response::new(Full::new(content.clone())),
        }
    }

    fn is_over(&self, lease: &str) -> bool {
        self.board.pulses.lock().get(lease).is_none_or(|pulse| *pulse == Pulse::Over)
    }
}

fn too_long(request: &NextRequest) -> Option<String> {
    let done = request.done.as_ref()?;
    let result = done.result.as_ref().map_or(0, |result| result.get().len());
    if result > RESULT_BYTES {
        return Some(format!("done.result has {result} bytes, more than {RESULT_BYTES}: PUT it to {RESULT} before"));
    }
    let log = done.log.as_ref().map_or(0, String::len);
    (log > LOG_BYTES).then(|| format!("done.log has {log} bytes, more than {LOG_BYTES}: send its end"))
}

fn unavailable(seconds: u64) -> Answer {
    let mut answer = problem(503, "nobody leads just now; say it again in a moment");
    answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    answer
}

fn problem(status: u16, detail: &str) -> Answer {
    respond(status, &json!({"type": "about:blank", "status": status, "detail": detail}))
}

fn respond(status: u16, value: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(value.to_string())));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    answer
}

fn respond_empty(status: u16) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer
}
