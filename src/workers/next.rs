//! POST /worker/v1/next: a warm worker hands in what is done, asks for what is next, and hangs until there is something.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;

use super::WorkerApi;
use crate::api::Reason;
use crate::api::worker_protocol::{Done, LOG_BYTES, NextAnswer, NextRequest, RESULT_BYTES};
use crate::core::attempt::facts::worker::Outcome;
use crate::core::attempt::lease::Kept;
use crate::core::telling::text;
use crate::live;
use crate::live::{Ask, Given, Next, Reporter};
use crate::serving::body::Body;
use crate::serving::problem::{Problem, ProblemType};

pub(super) async fn next(
    reporter: Reporter,
    State(api): State<Arc<WorkerApi>>,
    Body(body): Body<NextRequest>,
) -> Result<Json<NextAnswer>, Problem> {
    let wait = Duration::from_secs(body.wait_seconds().into());
    let done = body.done.map(handed_in).transpose()?;
    let ask = Ask { done, slot: body.slot, wait, beats: body.beats };
    Ok(Json(answer(api.live.next(&reporter, ask).await?)))
}

fn answer(Next { kept, given }: Next) -> NextAnswer {
    let (kept, why) = match kept {
        None => (None, None),
        Some(Kept::Yes) => (Some(true), None),
        Some(Kept::No(why)) => (Some(false), Some(why.to_string())),
    };
    let stop = matches!(given, Given::Stop);
    let task = match given {
        Given::Task(task) => Some(*task),
        Given::Nothing | Given::Stop => None,
    };
    NextAnswer { kept, why, task, stop }
}

/// The lease, how that went, and the end of its log: a longer one is no reason to lose what came of the work.
fn handed_in(done: Done) -> Result<live::Done, Problem> {
    if done.result.as_ref().is_some_and(|result| result.get().len() > RESULT_BYTES) {
        let why = format!(
            "a result has up to {RESULT_BYTES} bytes here; send a larger one by PUT /worker/v1/result before, and leave it out"
        );
        return Err(ProblemType::PayloadTooLarge.because(why).at("done.result"));
    }
    let outcome = if done.has_failed() {
        Outcome::Failed {
            ended_for: done.ended_for.as_deref().map(Reason::read),
            error: done.error.unwrap_or_default().into(),
            exit_code: done.exit_code,
        }
    } else {
        Outcome::Done(done.result.map(|result| result.get().to_owned()))
    };
    let log = done.log.map(|log| text::end(&log, LOG_BYTES).to_owned()).filter(|log| !log.is_empty());
    Ok(live::Done { lease: done.lease, outcome, log })
}
