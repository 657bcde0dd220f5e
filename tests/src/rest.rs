//! A client of REST, as a service has one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::patience::SOON;

/// A thousand tasks in one request take a while on a machine that has much else to do.
const ANSWERS_WITHIN: Duration = Duration::from_secs(120);

/// One client with its connections; copies share them.
#[derive(Clone)]
pub struct Rest {
    pub address: SocketAddr,
    is_patient: bool,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Rest {
    pub fn at(address: SocketAddr) -> Self {
        Self { address, is_patient: false, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], None).await
    }

    /// Sends JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, &[], body).await
    }

    pub async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.send(
            Method::POST,
            path,
            &[&[("content-type", "application/json")], headers].concat(),
            Some(body.to_string()),
        )
        .await
    }

    /// Sends a request, and repeats it where the archive was busy, as a client should.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<String>) -> Answer {
        let began = Instant::now();
        loop {
            let answer = self.send_once(method.clone(), path, headers, body.clone()).await;
            let is_away = answer.status == 503 && answer.text.contains("/problems/archive");
            if !(self.is_patient && is_away && began.elapsed() < SOON) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The same for an archive that is expected to answer.
    pub fn patient(self) -> Self {
        Self { is_patient: true, ..self }
    }

    async fn send_once(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<String>) -> Answer {
        let what = format!("{method} {path}");
        let answer = tokio::time::timeout(ANSWERS_WITHIN, async {
            let (head, body) = self.open(method, path, headers, body).await.into_parts();
            let bytes = body.collect().await.expect("a whole answer").to_bytes();
            let text = String::from_utf8(bytes.to_vec()).expect("text");
            Answer { status: head.status.as_u16(), headers: head.headers, text }
        });
        answer.await.unwrap_or_else(|_| panic!("{what}: no answer within {ANSWERS_WITHIN:?}"))
    }

    /// Sends it once; `None` where no whole answer comes within this time.
    pub async fn try_to_send(
        &self,
        within: Duration,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Option<Answer> {
        let answered = tokio::time::timeout(within, async {
            let (head, body) = self.try_open(method, path, headers, Some(body)).await.ok()?.into_parts();
            let text = String::from_utf8(body.collect().await.ok()?.to_bytes().to_vec()).ok()?;
            Some(Answer { status: head.status.as_u16(), headers: head.headers, text })
        });
        answered.await.ok().flatten()
    }

    async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Response<Incoming> {
        let opened = self.try_open(method, path, headers, body).await;
        opened.unwrap_or_else(|error| panic!("{path}: {error:?}"))
    }

    async fn try_open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.unwrap_or_default())).expect("a request");
        self.client.request(request).await
    }

    /// Submits a task that must be taken; returns its id.
    pub async fn submit(&self, body: &Value) -> String {
        let answer = self.post("/api/v1/tasks", body).await;
        assert_eq!(answer.status, 202, "{body}: {}", answer.text);
        answer.task_id()
    }

    pub async fn status(&self, id: &str) -> Value {
        let answer = self.get(&format!("/api/v1/tasks/{id}/status")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    /// Follows the log of a task.
    pub async fn follow_log(&self, id: &str, query: &str) -> Following {
        let path = format!("/api/v1/tasks/{id}/log?follow=true&{query}");
        let opened = self.open(Method::GET, &path, &[], None);
        let answer = tokio::time::timeout(SOON, opened).await.expect("the log begins");
        Following { status: answer.status().as_u16(), headers: answer.headers().clone(), body: answer.into_body() }
    }

    /// Follows a task; `after` is the id of the last event that was read.
    pub async fn events(&self, id: &str, after: Option<&str>) -> Events {
        let headers: Vec<(&str, &str)> = after.map(|after| ("last-event-id", after)).into_iter().collect();
        let path = format!("/api/v1/tasks/{id}/events");
        let opened = self.open(Method::GET, &path, &headers, None);
        let answer = tokio::time::timeout(SOON, opened).await.expect("the stream begins");
        Events { status: answer.status().as_u16(), body: answer.into_body(), text: String::new() }
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn task_id(&self) -> String {
        self.json()["task_id"].as_str().unwrap_or_else(|| panic!("no task_id: {}", self.text)).to_owned()
    }

    /// The error as a problem of RFC 9457: the last word of its type, and the field.
    pub fn problem(&self) -> (String, Option<String>) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        for told in ["title", "detail"] {
            assert!(problem[told].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        let kind = problem["type"].as_str().and_then(|kind| kind.strip_prefix("/problems/")).expect("a type");
        (kind.to_owned(), problem["field"].as_str().map(str::to_owned))
    }
}

/// A log that is followed.
pub struct Following {
    pub status: u16,
    pub headers: HeaderMap,
    body: Incoming,
}

impl Following {
    /// The next piece; `None` when the log has ended, an error when it was broken off.
    pub async fn next(&mut self) -> Result<Option<String>, hyper::Error> {
        let frame = tokio::time::timeout(SOON, self.body.frame()).await.expect("a piece in time");
        let piece = frame.transpose()?.and_then(|frame| frame.into_data().ok());
        Ok(piece.map(|piece| String::from_utf8(piece.to_vec()).expect("text")))
    }
}

/// A stream of server-sent events.
pub struct Events {
    pub status: u16,
    body: Incoming,
    text: String,
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub event: String,
    pub id: Option<String>,
    pub data: Value,
}

impl Events {
    /// The next event; `None` when the stream has ended, or broken off.
    pub async fn next(&mut self) -> Option<Told> {
        self.next_within(SOON).await
    }

    pub async fn next_within(&mut self, deadline: Duration) -> Option<Told> {
        let next = async {
            loop {
                while let Some((block, rest)) = self.text.split_once("\n\n") {
                    let told = told(block);
                    self.text = rest.to_owned();
                    if told.is_some() {
                        return told;
                    }
                }
                let frame = self.body.frame().await?.ok()?;
                self.text.push_str(std::str::from_utf8(frame.data_ref()?).expect("text"));
            }
        };
        tokio::time::timeout(deadline, next).await.unwrap_or_else(|_| panic!("no event within {deadline:?}"))
    }

    /// The next `state` event's status and attempt.
    pub async fn next_state(&mut self) -> Option<(String, i64, Option<String>)> {
        loop {
            let told = self.next().await?;
            if told.event == "state" {
                let status = told.data["status"].as_str().expect("a status").to_owned();
                return Some((status, told.data["attempt"].as_i64().expect("an attempt"), told.id));
            }
        }
    }
}

/// An event, or `None` for a block that is only a comment.
fn told(block: &str) -> Option<Told> {
    let field = |name: &str| {
        let lines = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let values: Vec<&str> = lines.map(|value| value.strip_prefix(' ').unwrap_or(value)).collect();
        (!values.is_empty()).then(|| values.join("\n"))
    };
    let data = field("data")?;
    Some(Told {
        event: field("event").unwrap_or_else(|| "message".into()),
        id: field("id"),
        data: serde_json::from_str(&data).unwrap_or_else(|error| panic!("{error}: {data}")),
    })
}
