//! The log of an attempt: GET /api/v1/tasks/{id}/log. From its pod while that is there, else from the archive.

mod body;
mod source;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use kube::Client;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use crate::archive::LOG_LINES;
use crate::cluster::calls::Reads;
use crate::rest::find::Finder;
use crate::rest::index::IndexedTask;
use crate::rest::request::id::Id;
use crate::rest::request::query::Query;
use crate::serving::problem::{Problem, ProblemType, Problems};
use source::Source;

/// Logs that are read at once.
const AT_ONCE: usize = 64;
/// The most lines that are asked for.
const MOST_LINES: u32 = 10_000;
const SOURCE: HeaderName = HeaderName::from_static("task-log-source");
const ATTEMPT: HeaderName = HeaderName::from_static("task-log-attempt");
const CUT: HeaderName = HeaderName::from_static("task-log-cut");
/// nginx would hold small pieces back.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Which log is wanted, and how much of it.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// The number of the attempt. Default: the last one.
    #[param(minimum = 1)]
    attempt: Option<i32>,
    /// True: goes on until the pod ends. Only the log of a pod can be followed; one from the archive just ends.
    #[serde(default)]
    follow: bool,
    /// Begin so many lines before the end. Default: 200.
    #[param(minimum = 0, maximum = 10000)]
    tail: Option<u32>,
}

/// Reads logs, so many at once. Those that are followed end when the operator stops.
#[derive(Clone)]
pub struct Logs {
    reads: Reads,
    turns: Arc<Semaphore>,
    over: CancellationToken,
}

impl Logs {
    pub fn new(client: Client, over: CancellationToken) -> Self {
        Self { reads: Reads::new(client), turns: Arc::new(Semaphore::new(AT_ONCE)), over }
    }

    /// Room for one more, for as long as it is held.
    fn turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let busy = "too many logs are being read; try again in a moment";
        self.turns.clone().try_acquire_owned().map_err(|_| ProblemType::Busy.because(busy))
    }
}

/// Get a log
///
/// The last lines that the work of an attempt wrote, as plain text: from its pod while that is there, else, of the last
/// ten attempts that failed, from the archive. Task-Log-Source says which. An answer has at most 1 MiB, the end of
/// what was asked for. With `follow` it goes on until the pod ends; after an hour, or 64 MiB, it is broken off, and
/// can be followed again with tail=0. Before there is a log: 409.
#[utoipa::path(get, path = "/api/v1/tasks/{id}/log", tag = "tasks",
    params(("id" = String, Path, description = "The task_id"), Wanted),
    responses((status = 200, description = "The log.", body = String, content_type = "text/plain",
        headers(("Task-Log-Source" = String, description = "live or archived"),
            ("Task-Log-Attempt" = i32, description = "The number of the attempt"),
            ("Task-Log-Cut" = String, description = "true where 1 MiB did not hold all that was asked for"))), Problems))]
pub async fn log(
    State(finder): State<Arc<Finder>>,
    State(logs): State<Logs>,
    Id(id): Id,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let lines = wanted.tail.unwrap_or(LOG_LINES as u32);
    if lines > MOST_LINES {
        return Err(ProblemType::Query.because(format!("tail is 0 to {MOST_LINES}")).at("tail"));
    }
    let known = finder.find(&id).await?;
    let attempt = attempt(&wanted, &known)?;
    let turn = logs.turn()?;
    match source::find(&finder, &logs.reads, &known, attempt).await? {
        Source::Archived(log) => {
            Ok(answer("archived", attempt, body::last_lines(&log, lines as usize).to_owned().into(), false))
        }
        Source::Live(log_of) => {
            let stream = source::open(&logs.reads, &known.head.namespace, &log_of, lines, wanted.follow).await;
            match stream {
                Ok(stream) if wanted.follow => {
                    let body = Body::from_stream(body::followed(stream, logs.over, turn));
                    let unbuffered = [(UNBUFFERED, HeaderValue::from_static("no"))];
                    Ok((unbuffered, answer("live", attempt, body, false)).into_response())
                }
                Ok(stream) => body::end_of(stream).await.map(|(end, cut)| answer("live", attempt, end.into(), cut)),
                // The pod may have gone meanwhile, or its node does not answer.
                Err(problem) => match source::archived(&finder, &known, attempt).await {
                    Ok(log) => {
                        Ok(answer("archived", attempt, body::last_lines(&log, lines as usize).to_owned().into(), false))
                    }
                    Err(gone) => Err(problem.unwrap_or(gone)),
                },
            }
        }
    }
}

/// The attempt that is meant.
fn attempt(wanted: &Wanted, known: &IndexedTask) -> Result<i32, Problem> {
    let last = known.head.attempt;
    match wanted.attempt {
        None if last < 1 => Err(source::nothing_yet(known)),
        None => Ok(last),
        Some(number) if (1..=last).contains(&number) => Ok(number),
        Some(_) => Err(ProblemType::Query
            .because(match last {
                ..1 => "it was never launched so far: there is no attempt".to_owned(),
                last => format!("its attempts so far are 1 to {last}"),
            })
            .at("attempt")),
    }
}

fn answer(source: &'static str, attempt: i32, body: Body, is_cut: bool) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(SOURCE, HeaderValue::from_static(source));
    headers.insert(ATTEMPT, attempt.into());
    if is_cut {
        headers.insert(CUT, HeaderValue::from_static("true"));
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A browser must not make a page of a text that a pod wrote.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    response
}
