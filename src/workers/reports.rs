//! POST /worker/v1/progress and /worker/v1/error: progress and error reports.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::WorkerApi;
use crate::core::attempt::reports;
use crate::core::attempt::reports::{InvalidReport, Report};
use crate::live::Reporter;
use crate::serving::body::Body;
use crate::serving::problem::{Problem, ProblemType};

/// How far the work is; what it leaves out is not known.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    percent: Option<f64>,
    done: Option<f64>,
    total: Option<f64>,
    message: Option<String>,
}

/// Why the work will fail, with the same meaning as in TASK_RESULT_FILE.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Error {
    #[serde(rename = "type")]
    type_: Option<String>,
    message: Option<String>,
    retryable: Option<bool>,
}

pub(super) async fn progress(
    reporter: Reporter,
    State(api): State<Arc<WorkerApi>>,
    Body(body): Body<Progress>,
) -> Result<StatusCode, Problem> {
    let progress = reports::progress(body.percent, body.done, body.total, body.message.as_deref())?;
    api.live.take(&reporter, Report::Progress(progress)).await?;
    Ok(StatusCode::NO_CONTENT)
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
