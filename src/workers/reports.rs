//! POST /worker/v1/progress and /worker/v1/error: short words.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::Desk;
use crate::core::attempt::reports;
use crate::core::attempt::reports::{Unclear, Word};
use crate::live::Speaker;
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
    speaker: Speaker,
    State(desk): State<Arc<Desk>>,
    Body(said): Body<Progress>,
) -> Result<StatusCode, Problem> {
    let progress = reports::progress(said.percent, said.done, said.total, said.message.as_deref())?;
    desk.live.hear(&speaker, Word::Progress(progress)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn error(
    speaker: Speaker,
    State(desk): State<Arc<Desk>>,
    Body(said): Body<Error>,
) -> Result<StatusCode, Problem> {
    let error = reports::error(said.type_.as_deref(), said.message.as_deref(), said.retryable)?;
    desk.live.hear(&speaker, Word::Error(error)).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<Unclear> for Problem {
    fn from(unclear: Unclear) -> Self {
        let problem = ProblemType::Invalid.because(unclear.why);
        unclear.field.map_or(problem.clone(), |field| problem.at(field))
    }
}
