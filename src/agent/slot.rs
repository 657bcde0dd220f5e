//! One slot: asks for a task, has it run, hands it in with the next call, and so on until the worker ends.

use jiff::Timestamp;

use super::not_begun::not_begun;
use super::operator::{CallError, Next};
use super::patience::Patience;
use super::{Agent, tell, work};
use crate::api::worker_protocol::{Done, NextAnswer, NextRequest, WAIT_SECONDS, WorkError};

/// The worker is not known to the operator, or speaks in a way that it does not understand.
#[derive(Debug, thiserror::Error)]
#[error("gave up: {0}")]
pub struct GivenUp(#[from] CallError);

/// Runs tasks until the worker is to end.
pub async fn run(agent: &Agent, slot: u32) -> Result<(), GivenUp> {
    let mut done = None;
    while let Some(Next { answer, at }) = ask(agent, slot, done.take()).await? {
        if answer.stop {
            agent.stopping.cancel();
        }
        if let Some(task) = answer.task {
            let left = work::time_left(&task, at.unwrap_or_else(Timestamp::now));
            let is_too_late = agent.over.is_cancelled();
            done = if is_too_late { Some(not_begun(&task)) } else { work::run(agent, &task, left).await };
        }
    }
    Ok(())
}

/// Says it until it is answered, and what was handed in is kept or is too late. `None` where the worker is to end, and nothing
/// is left to be handed in.
async fn ask(agent: &Agent, slot: u32, mut done: Option<Done>) -> Result<Option<Next>, GivenUp> {
    let mut patience = Patience::default();
    loop {
        let is_ending = agent.is_ending();
        if is_ending && done.is_none() {
            return Ok(None);
        }
        let wait = Some(if is_ending { 0 } else { WAIT_SECONDS });
        let request = NextRequest { done: done.clone(), slot, wait, beats: true };
        let said = tokio::select! {
            said = agent.operator.next(&request) => said,
            // The call is ended, and what it hands in is said again without waiting for another task.
            () = agent.ending(), if !is_ending => continue,
        };
        let error = match said {
            Ok(next) if done.is_none() || is_settled(&next.answer) => return Ok(Some(next)),
            Ok(_) => CallError::Again { why: "the operator has not said whether it is kept".into(), after: None },
            Err(CallError::Refused(why)) if done.is_some() => {
                done = instead(done, &why);
                continue;
            }
            Err(error) => error,
        };
        tokio::select! {
            paused = patience.pause("the call for work", error) => paused?,
            () = agent.ending(), if !is_ending => {}
        }
    }
}

/// Whether what was handed in is off the worker's hands.
fn is_settled(answer: &NextAnswer) -> bool {
    if answer.kept == Some(false) {
        let why = answer.why.as_deref().unwrap_or("no reason is given");
        tell(&format!("what was handed in came too late: {why}"));
    }
    // Who gives another task has no room for that one.
    answer.kept.is_some() || answer.task.is_some() || answer.stop
}

/// What is handed in instead of something that is refused: that it was, and then nothing.
fn instead(refused: Option<Done>, why: &str) -> Option<Done> {
    let refused =
        refused.filter(|done| done.error.as_ref().is_none_or(|error| error.type_.as_deref() != Some(REFUSED)));
    let Some(Done { lease, exit_code, .. }) = refused else {
        tell(&format!("what was handed in is refused, and given up: {why}"));
        return None;
    };
    tell(&format!("what was handed in is refused, and told as an error: {why}"));
    let message = Some(why.chars().take(1024).collect());
    let error = Some(WorkError { type_: Some(REFUSED.into()), message, retryable: Some(false) });
    Some(Done { lease, error, exit_code, ..Done::default() })
}

const REFUSED: &str = "ResultRefused";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_that_is_refused_is_handed_in_as_an_error_once() {
        let done = Done { lease: "l".into(), log: Some("x".into()), exit_code: Some(0), ..Done::default() };
        let error = instead(Some(done), "too long").expect("an error");
        assert_eq!((error.lease.as_str(), error.exit_code, error.log.as_deref()), ("l", Some(0), None));
        assert!(error.has_failed());
        assert!(instead(Some(error), "too long").is_none());
    }

    #[test]
    fn a_task_is_off_the_workers_hands_when_it_is_kept_or_too_late() {
        let answer = |kept, stop| NextAnswer { kept, stop, ..NextAnswer::default() };
        assert!(is_settled(&answer(Some(true), false)) && is_settled(&answer(Some(false), false)));
        assert!(is_settled(&answer(None, true)) && !is_settled(&answer(None, false)));
    }
}
