//! POST /worker/v1/progress and /worker/v1/error: progress and error reports.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::WorkerApi;
use crate::api::worker_protocol::{Cancel, ProgressAnswer, ProgressRequest};
use crate::core::attempt::reports;
use crate::core::attempt::reports::{InvalidReport, Report};
use crate::live::{Reporter, ToStop};
use crate::serving::body::Body;
use crate::serving::problem::{Problem, ProblemType};

/// Why the work will fail, with the same meaning as in TASK_RESULT_FILE.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Error {
    #[serde(rename = "type")]
    type_: Option<String>,
    message: Option<String>,
    retryable: Option<bool>,
}

/// With 204 the work goes on. An empty report is a heartbeat.
pub(super) async fn progress(
    reporter: Reporter,
    State(api): State<Arc<WorkerApi>>,
    Body(body): Body<ProgressRequest>,
) -> Result<Response, Problem> {
    let report = if body == ProgressRequest::default() {
        Report::Heartbeat
    } else {
        match reports::progress(body.percent, body.done, body.total, body.message.as_deref()) {
            Ok(progress) => Report::Progress(progress),
            // Whoever says a wrong number is alive all the same.
            Err(invalid) if reporter.lease.is_some() => {
                api.live.take(&reporter, Report::Heartbeat).await?;
                return Err(invalid.into());
            }
            Err(invalid) => return Err(invalid.into()),
        }
    };
    Ok(match api.live.take(&reporter, report).await? {
        Some(stop) => Json(ProgressAnswer { cancel: Some(cancel(stop)) }).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

fn cancel(ToStop { reason, grace_seconds }: ToStop) -> Cancel {
    Cancel { reason: reason.to_string(), grace_seconds }
}

pub(super) async fn error(
    reporter: Reporter,
    State(api): State<Arc<WorkerApi>>,
    Body(body): Body<Error>,
) -> Result<StatusCode, Problem> {
    let error = reports::error(body.type_.as_deref(), body.message.as_deref(), body.retryable)?;
    api.live.take(&reporter, Report::Error(error)).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<InvalidReport> for Problem {
    fn from(invalid: InvalidReport) -> Self {
        let problem = ProblemType::Invalid.because(invalid.why);
        invalid.field.map_or(problem.clone(), |field| problem.at(field))
    }
}
