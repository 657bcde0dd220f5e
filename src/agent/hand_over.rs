//! The result of work that succeeded: a small one is handed in with the lease, a large one goes into the store before.

use hyper::body::Bytes;
use tokio::sync::mpsc;

use super::Agent;
use super::folder::Folder;
use super::heartbeat::Told;
use super::left::{self, Left};
use super::operator::{About, CallError};
use super::patience::Patience;
use super::work::{WORKER, error_of};
use crate::api::worker_protocol::{Done, LARGEST_RESULT_BYTES, LeasedTask};

/// Adds the result of work that succeeded: a large one goes into the store before. `None` where the lease is over meanwhile.
pub async fn hand_over(
    agent: &Agent,
    task: &LeasedTask,
    done: Done,
    folder: &Folder,
    orders: &mut mpsc::Receiver<Told>,
) -> Option<Done> {
    let path = folder.result();
    let content =
        tokio::task::spawn_blocking(move || left::read(&path)).await.unwrap_or_else(|error| Err(error.into()));
    let failed =
        |type_: &str, why: &str, retryable| Done { error: Some(error_of(type_, why, retryable)), ..done.clone() };
    match content.map(left::result) {
        Err(error) => Some(failed(WORKER, &format!("failed to read the result: {error}"), true)),
        Ok(Left::Nothing) => Some(done),
        Ok(Left::Small(result)) => Some(Done { result: Some(result), ..done }),
        Ok(Left::TooLarge) => {
            let why = format!(
                "the result has more than {LARGEST_RESULT_BYTES} bytes: hand over a reference to a store of yours"
            );
            Some(failed("ResultTooLarge", &why, false))
        }
        Ok(Left::Large { content_type, content }) => {
            // One at a time, so that no more is in memory and the operator takes it.
            let _turn = agent.uploads.lock().await;
            match put(agent, task, content_type, content, orders).await {
                Ok(()) => Some(done),
                Err(CallError::Over(_)) => None,
                Err(error) => Some(failed("ResultRefused", &error.to_string(), false)),
            }
        }
    }
}

/// Says it again until it is taken, refused, or the lease is over.
async fn put(
    agent: &Agent,
    task: &LeasedTask,
    content_type: &str,
    content: Vec<u8>,
    orders: &mut mpsc::Receiver<Told>,
) -> Result<(), CallError> {
    let (content, about) = (Bytes::from(content), About::lease(&task.lease));
    let mut patience = Patience::default();
    loop {
        let said = tokio::select! {
            said = agent.operator.put_result(&about, content_type, content.clone()) => said,
            Some(told) = orders.recv() => match told {
                Told::Over => return Err(CallError::Over("the lease is over".into())),
                // It has ended already.
                Told::Cancel(_) => continue,
            },
        };
        match said {
            Err(error @ (CallError::Again { .. } | CallError::NotOurs(_))) => {
                patience.pause("the result", error).await?
            }
            said => return said,
        }
    }
}
