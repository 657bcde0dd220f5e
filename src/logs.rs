//! `task-manager logs`: the last lines that a task's work wrote, from its pod while that is there, else from the archive by
//! the operator's REST. Decides nothing and changes nothing.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use clap::Args;
use futures::{AsyncRead, AsyncReadExt};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::{Api, Client, ResourceExt};
use tokio::time::timeout;

use crate::api::Task;
use crate::core::attempt::facts::{JobFacts, LogOf, Observed, PodFacts};
use crate::errors::chain;

/// The operator's REST answers by then.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, Args)]
pub struct LogsOptions {
    /// The task.
    pub name: String,

    /// Its namespace [default: that of the kubeconfig].
    #[arg(short, long)]
    pub namespace: Option<String>,

    /// The number of the attempt [default: the last one].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(1..))]
    pub attempt: Option<i32>,

    /// Go on until the pod ends.
    #[arg(short, long)]
    pub follow: bool,

    /// Begin so many lines before the end.
    #[arg(long, value_name = "LINES", default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub tail: u32,

    /// The operator's REST, such as http://task-manager.task-manager:8080: it knows the logs of attempts whose pod is gone.
    #[arg(long, env = "TASK_MANAGER_SERVER", value_name = "URL")]
    pub server: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no task {0} in namespace {1}")]
    NoTask(String, String),
    #[error("{0} was never launched so far: there is no log")]
    NeverLaunched(String),
    #[error("its attempts so far are 1 to {0}")]
    NoAttempt(i32),
    #[error(
        "no pod of attempt {0} is there; its last lines may be in the archive: name the operator's REST with --server"
    )]
    Gone(i32),
    #[error("the cluster does not answer: {}", chain(.0))]
    Cluster(#[from] kube::Error),
    #[error("the log broke off: {0}")]
    BrokeOff(#[from] std::io::Error),
    #[error("{0} does not answer: {1}")]
    Server(String, String),
    #[error("{0}")]
    Refused(String),
}

/// Writes the log to the standard output.
pub async fn logs(client: Client, options: &LogsOptions) -> Result<(), Error> {
    let namespace = options.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let task = Api::<Task>::namespaced(client.clone(), &namespace).get_opt(&options.name).await?;
    let task = task.ok_or_else(|| Error::NoTask(options.name.clone(), namespace.clone()))?;
    let attempt = attempt(&task, options.attempt)?;
    if let Some(log_of) = log_of(&client, &namespace, &task, attempt).await? {
        let which = LogParams {
            container: Some(log_of.container),
            tail_lines: Some(options.tail.into()),
            follow: options.follow,
            ..LogParams::default()
        };
        match Api::<Pod>::namespaced(client, &namespace).log_stream(&log_of.pod, &which).await {
            Ok(log) => return copied(log).await,
            // It has gone meanwhile.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error.into()),
        }
    }
    let server = options.server.as_ref().ok_or(Error::Gone(attempt))?;
    let uid = task.uid().unwrap_or_default();
    let query = format!("attempt={attempt}&tail={}", options.tail);
    archived(server, &format!("/api/v1/tasks/{uid}/log?{query}")).await
}

fn attempt(task: &Task, asked: Option<i32>) -> Result<i32, Error> {
    let last = task.status_or_default().attempt;
    match asked {
        _ if last < 1 => Err(Error::NeverLaunched(task.name_any())),
        Some(number) if number > last => Err(Error::NoAttempt(last)),
        asked => Ok(asked.unwrap_or(last)),
    }
}

/// The container that does the work of this attempt, if its pod is there.
async fn log_of(client: &Client, namespace: &str, task: &Task, attempt: i32) -> Result<Option<LogOf>, kube::Error> {
    let of_task = ListParams::default().labels(&Observed::selector(task));
    let jobs = Api::<Job>::namespaced(client.clone(), namespace);
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let (jobs, pods) = futures::join!(jobs.list(&of_task), pods.list(&of_task));
    let (jobs, pods) = (jobs?.items.iter().map(JobFacts::of).collect(), pods?.items.iter().map(PodFacts::of).collect());
    let found = Observed::of_attempt(task, attempt, jobs, pods);
    Ok(found.and_then(|(observed, pod)| observed.log_of(&pod)))
}

async fn copied(log: impl AsyncRead) -> Result<(), Error> {
    let (mut log, mut piece) = (std::pin::pin!(log), vec![0; 16 << 10]);
    loop {
        let read = log.read(&mut piece).await?;
        if read == 0 || !is_written(&piece[..read])? {
            return Ok(());
        }
    }
}

/// False where nobody reads any longer, as behind `head`.
fn is_written(piece: &[u8]) -> std::io::Result<bool> {
    let mut out = std::io::stdout().lock();
    match out.write_all(piece).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true),
    }
}

async fn archived(server: &str, path: &str) -> Result<(), Error> {
    let silent = |why: String| Error::Server(server.to_owned(), why);
    let request = Request::get(format!("{}{path}", server.trim_end_matches('/'))).body(Body::empty());
    let request = request.map_err(|error| silent(error.to_string()))?;
    let asked = async {
        let answer = HttpClient::builder(TokioExecutor::new()).build_http().request(request).await;
        let (head, body) = answer.map_err(|error| silent(chain(&error)))?.into_parts();
        let body = body.collect().await.map_err(|error| silent(error.to_string()))?.to_bytes();
        Ok::<_, Error>((head.status, body))
    };
    let (status, body) = timeout(ANSWERS_WITHIN, asked).await.map_err(|_| silent("no answer in time".into()))??;
    if status != StatusCode::OK {
        return Err(Error::Refused(told(&body)));
    }
    // What is kept ends without a break.
    let end: &[u8] = if body.is_empty() || body.ends_with(b"\n") { b"" } else { b"\n" };
    is_written(&[&body, end].concat())?;
    Ok(())
}

/// The sentence of a problem.
fn told(body: &[u8]) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str());
    detail.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned)
}
