//! An API server in front of the real one, which hands out logs by itself: where no kubelet is, nobody else does. To the
//! real one it speaks as the operator.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kube::Client;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::cluster::target;
use crate::namespace::Namespace;
use crate::rights;

type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// What a kubelet or the API server says of a pod's log.
pub enum FakeLog {
    Text(String),
    /// Refused with this status and message.
    Refused(u16, String),
    /// Each piece as it comes; the log ends when the sender is dropped.
    Open(mpsc::UnboundedReceiver<String>),
}

pub struct FakeLogs {
    kubeconfig: PathBuf,
    logs: Arc<Logs>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Logs {
    /// By the task, with whose name its pods' names begin.
    of_tasks: Mutex<HashMap<String, FakeLog>>,
    /// The paths of all that was asked for.
    asked: Mutex<Vec<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeLogs {
    pub async fn start(namespace: &Namespace) -> Self {
        let operator = rights::config(namespace.cluster, &namespace.name).await;
        let client = Client::try_from(operator).expect("a client");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let logs = Arc::new(Logs::default());
        let serving = tokio::spawn(serve(listener, client, logs.clone()));
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [],
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": ""}}]});
        let kubeconfig = target().join("test-logs").join(format!("{}.kubeconfig", namespace.name));
        std::fs::create_dir_all(kubeconfig.parent().expect("a folder")).expect("a folder");
        std::fs::write(&kubeconfig, config.to_string()).expect("written");
        Self { kubeconfig, logs, serving }
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig.clone()
    }

    /// The log of each pod of this task from now on; one that is open is read once.
    pub fn script(&self, task: &str, log: FakeLog) {
        lock(&self.logs.of_tasks).insert(task.into(), log);
    }

    /// A log that goes on until the sender is dropped.
    pub fn open(&self, task: &str) -> mpsc::UnboundedSender<String> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.script(task, FakeLog::Open(receiver));
        sender
    }

    /// The paths of the logs that were asked for so far, with their queries.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.logs.asked).clone()
    }
}

impl Drop for FakeLogs {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, client: Client, logs: Arc<Logs>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(stream, client.clone(), logs.clone()));
    }
}

async fn connection(stream: TcpStream, client: Client, logs: Arc<Logs>) {
    let answer = service_fn(move |request| answer(request, client.clone(), logs.clone()));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}

async fn answer(request: Request<Incoming>, client: Client, logs: Arc<Logs>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    if let Some(answer) = logs.answer(&path) {
        return Ok(answer);
    }
    let (mut head, body) = request.into_parts();
    head.uri = path.parse().expect("a path");
    head.headers.remove("host");
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let passed = client.send(Request::from_parts(head, kube::client::Body::from(body.to_vec()))).await;
    Ok(match passed {
        Ok(answer) => answer.map(|body| body.map_err(Into::into).boxed_unsync()),
        Err(error) => told(502, error.to_string()),
    })
}

impl Logs {
    fn answer(&self, path: &str) -> Option<Response<Body>> {
        let pod = path.split('?').next()?.strip_suffix("/log")?.rsplit('/').next()?;
        lock(&self.asked).push(path.into());
        let mut logs = lock(&self.of_tasks);
        let task = logs.keys().find(|task| pod.starts_with(&format!("{task}-")))?.clone();
        Some(match logs.get_mut(&task)? {
            FakeLog::Text(text) => told(200, text.clone()),
            FakeLog::Refused(status, message) => {
                let reason = if *status == 403 { "Forbidden" } else { "BadRequest" };
                told(
                    *status,
                    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                        "message": message, "reason": reason, "code": status})
                    .to_string(),
                )
            }
            FakeLog::Open(receiver) => {
                let receiver = std::mem::replace(receiver, mpsc::unbounded_channel().1);
                let pieces = stream::unfold(receiver, async |mut receiver| {
                    let piece = receiver.recv().await?;
                    Some((Ok(Frame::data(Bytes::from(piece))), receiver))
                });
                Response::new(StreamBody::new(pieces).boxed_unsync())
            }
        })
    }
}

fn told(status: u16, text: String) -> Response<Body> {
    let mut answer = Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = hyper::StatusCode::from_u16(status).expect("a status");
    answer
}
