//! The agent's calls to the operator, and what their answers mean for it.

use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap};
use hyper::{Method, Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use serde::Deserialize;
use tokio::time::timeout;

use crate::api::worker_protocol::{
    ATTEMPT_HEADER, CHECKPOINT, Cancel, LEASE_HEADER, NEXT, NextAnswer, NextRequest, PROCESS_HEADER, PROGRESS,
    ProgressAnswer, ProgressRequest, RESULT,
};
use crate::errors::innermost;

const CONNECT: Duration = Duration::from_secs(5);
/// An idle connection on which nothing comes back is noticed by then.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Beyond the time that a call asks to hang: the operator writes what was handed in.
const ANSWER: Duration = Duration::from_secs(30);
/// A heartbeat that is not answered by then is sent again.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// A large result has a minute to arrive.
const UPLOAD: Duration = Duration::from_secs(90);
/// A checkpoint is smaller, and another one follows.
const OF_CHECKPOINT: Duration = Duration::from_secs(30);
/// The largest answer: a payload and its escapes.
const LARGEST_ANSWER: usize = 8 << 20;

/// Why a call was not answered as it was meant.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Say it again, after so long where the operator said so.
    #[error("{why}")]
    Again { why: String, after: Option<Duration> },
    /// The operator does not know this worker.
    #[error("{0}")]
    NotOurs(String),
    /// What was said cannot be, and never will.
    #[error("{0}")]
    Refused(String),
    /// The lease is over.
    #[error("{0}")]
    Over(String),
}

impl CallError {
    fn again(why: impl Into<String>) -> Self {
        Self::Again { why: why.into(), after: None }
    }
}

/// An answer and when it was given, by the operator's clock.
pub struct Next {
    pub answer: NextAnswer,
    pub at: Option<Timestamp>,
}

/// The operator's worker port.
pub struct Operator {
    url: String,
    token_file: PathBuf,
    /// A word that no other agent of the pod has.
    process: String,
    client: HttpClient,
}

/// Certificate authorities are looked for only where TLS is wanted: a small image has none.
enum HttpClient {
    Plain(Client<HttpConnector, Full<Bytes>>),
    Tls(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    #[error("TASK_API_URL is {0:?}, which is no URL: write it as http://host:port")]
    NoUrl(String),
    #[error("TASK_API_URL wants TLS, and no certificate authority is known here: set SSL_CERT_FILE")]
    NoAuthorities(#[source] std::io::Error),
}

/// The attempt that a call is about, in the header that names it.
#[derive(Clone, Debug)]
pub struct About {
    header: &'static str,
    value: String,
}

impl About {
    pub fn lease(lease: &str) -> Self {
        Self { header: LEASE_HEADER, value: lease.into() }
    }

    /// The attempt of a Job's pod, which has no lease.
    pub fn attempt(number: &str) -> Self {
        Self { header: ATTEMPT_HEADER, value: number.into() }
    }
}

/// The content of one call.
struct Call<'a> {
    method: Method,
    path: &'a str,
    about: Option<&'a About>,
    content_type: &'a str,
    content: Bytes,
    within: Duration,
}

impl Operator {
    pub fn at(url: &str, token_file: PathBuf) -> Result<Self, UrlError> {
        let uri = url.parse::<hyper::Uri>().map_err(|_| UrlError::NoUrl(url.into()))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return Err(UrlError::NoUrl(url.into()));
        }
        let client = if uri.scheme_str() == Some("https") { HttpClient::tls()? } else { HttpClient::plain() };
        // Without random numbers the process id must do, which is another in each container alone.
        let process = getrandom::u64().unwrap_or_else(|_| std::process::id().into());
        Ok(Self { url: url.trim_end_matches('/').into(), token_file, process: format!("{process:x}"), client })
    }

    /// Hands in what is done and asks for what is next.
    pub async fn next(&self, request: &NextRequest) -> Result<Next, CallError> {
        let within = ANSWER + Duration::from_secs(request.wait_seconds().into());
        let (headers, body) = self.call(Call::json(Method::POST, NEXT, None, request, within)).await?;
        let answer = serde_json::from_slice(&body);
        let answer = answer.map_err(|error| CallError::again(format!("the answer cannot be read: {error}")))?;
        Ok(Next { answer, at: date(&headers) })
    }

    /// How far an attempt is, which is the heartbeat of a lease. The answer to that may be to stop.
    pub async fn progress(&self, about: &About, progress: &ProgressRequest) -> Result<Option<Cancel>, CallError> {
        let (_, body) = self.call(Call::json(Method::POST, PROGRESS, Some(about), progress, HEARTBEAT)).await?;
        // An empty body says that there is nothing to say.
        Ok(serde_json::from_slice::<ProgressAnswer>(&body).ok().and_then(|answer| answer.cancel))
    }

    /// Puts a large result into the store.
    pub async fn put_result(&self, about: &About, content_type: &str, content: Bytes) -> Result<(), CallError> {
        self.put(RESULT, about, content_type, content, UPLOAD).await
    }

    /// Puts a checkpoint into the store, in place of the one before.
    pub async fn put_checkpoint(&self, about: &About, content: Bytes) -> Result<(), CallError> {
        self.put(CHECKPOINT, about, "application/octet-stream", content, OF_CHECKPOINT).await
    }

    /// The last checkpoint of this attempt's run; `None` where there is none.
    pub async fn checkpoint(&self, about: &About) -> Result<Option<Bytes>, CallError> {
        let (method, content_type, content, within) = (Method::GET, "application/json", Bytes::new(), OF_CHECKPOINT);
        let call = Call { method, path: CHECKPOINT, about: Some(about), content_type, content, within };
        match self.send(call).await? {
            (StatusCode::NOT_FOUND, ..) => Ok(None),
            (status, headers, body) => judge(status, &headers, &body).map_or(Ok(Some(body)), Err),
        }
    }

    async fn put(
        &self,
        path: &str,
        about: &About,
        content_type: &str,
        content: Bytes,
        within: Duration,
    ) -> Result<(), CallError> {
        let call = Call { method: Method::PUT, path, about: Some(about), content_type, content, within };
        self.call(call).await.map(drop)
    }

    async fn call(&self, call: Call<'_>) -> Result<(HeaderMap, Bytes), CallError> {
        let (status, headers, body) = self.send(call).await?;
        judge(status, &headers, &body).map_or(Ok((headers, body)), Err)
    }

    async fn send(&self, call: Call<'_>) -> Result<(StatusCode, HeaderMap, Bytes), CallError> {
        let token = tokio::fs::read_to_string(&self.token_file).await;
        let token = token.map_err(|error| CallError::again(format!("{}: {error}", self.token_file.display())))?;
        let mut request = Request::builder()
            .method(call.method)
            .uri(format!("{}{}", self.url, call.path))
            .header(header::AUTHORIZATION, format!("Bearer {}", token.trim()))
            .header(header::CONTENT_TYPE, call.content_type)
            .header(PROCESS_HEADER, &self.process);
        if let Some(About { header, value }) = call.about {
            request = request.header(*header, value);
        }
        let request = request.body(Full::new(call.content)).map_err(|error| CallError::Refused(error.to_string()))?;
        let answered = async {
            let response = self.client.request(request).await.map_err(|error| CallError::again(innermost(&error)))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, LARGEST_ANSWER).collect().await;
            let body = body.map_err(|error| CallError::again(format!("the answer broke off: {error}")))?;
            Ok((head.status, head.headers, body.to_bytes()))
        };
        let late = || CallError::again(format!("no answer within {} s", call.within.as_secs()));
        timeout(call.within, answered).await.map_err(|_| late())?
    }
}

impl<'a> Call<'a> {
    fn json(
        method: Method,
        path: &'a str,
        about: Option<&'a About>,
        said: &impl serde::Serialize,
        within: Duration,
    ) -> Self {
        // Our own messages can always be written.
        let content = serde_json::to_vec(said).unwrap_or_default().into();
        Self { method, path, about, content_type: "application/json", content, within }
    }
}

impl HttpClient {
    fn plain() -> Self {
        Self::Plain(Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector()))
    }

    fn tls() -> Result<Self, UrlError> {
        let builder = HttpsConnectorBuilder::new().with_native_roots().map_err(UrlError::NoAuthorities)?;
        let connector = builder.https_or_http().enable_http1().wrap_connector(connector());
        Ok(Self::Tls(Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector)))
    }

    fn request(&self, request: Request<Full<Bytes>>) -> ResponseFuture {
        match self {
            Self::Plain(client) => client.request(request),
            Self::Tls(client) => client.request(request),
        }
    }
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_nodelay(true);
    connector.enforce_http(false);
    connector
}

/// The error that a status is; `None` where it is none.
fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<CallError> {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let detail = serde_json::from_slice::<Problem>(body).map(|problem| format!(": {}", problem.detail));
    let why = format!("the operator answered {}{}", status.as_u16(), detail.unwrap_or_default());
    match status.as_u16() {
        200..=299 => None,
        401 | 403..=405 => Some(CallError::NotOurs(why)),
        409 => Some(CallError::Over(why)),
        400 | 411 | 413 | 415 | 422 => Some(CallError::Refused(why)),
        _ => Some(CallError::Again { why, after: retry_after(headers) }),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(headers.get(header::DATE)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests;
