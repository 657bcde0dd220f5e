//! Work that was given and has not begun: why it is to be ended before, and what is handed in of it.

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::Agent;
use super::heartbeat::Told;
use super::work::{EndedFor, TIMEOUT, WORKER, WORKER_LOST, error_of};
use crate::api::worker_protocol::{Done, LeasedTask};

/// The type of the error.
const STOPPING: &str = "WorkerStopping";

/// Waits until the work is to be ended, while it has not begun.
pub async fn to_be_ended(agent: &Agent, over_at: Instant, orders: &mut mpsc::Receiver<Told>) -> EndedFor {
    tokio::select! {
        () = sleep_until(over_at) => EndedFor::Reason(TIMEOUT.into()),
        () = agent.over.cancelled() => EndedFor::Reason(WORKER_LOST.into()),
        told = orders.recv() => match told {
            Some(Told::Cancel(cancel)) => EndedFor::Reason(cancel.reason),
            Some(Told::Over) | None => EndedFor::LeaseOver,
        },
    }
}

/// The worker was told to end as it was given the task.
pub fn not_begun(task: &LeasedTask) -> Done {
    ended_before_it_began(task, WORKER_LOST.into())
}

pub fn not_begun_for(task: &LeasedTask, ended_for: EndedFor) -> Option<Done> {
    match ended_for {
        EndedFor::Reason(reason) => Some(ended_before_it_began(task, reason)),
        EndedFor::LeaseOver => None,
    }
}

fn ended_before_it_began(task: &LeasedTask, reason: String) -> Done {
    let error = Some(error_of(STOPPING, "the worker was told to end before the task began", true));
    Done { lease: task.lease.clone(), error, ended_for: Some(reason), ..Done::default() }
}

pub fn not_started(task: &LeasedTask, why: &str) -> Done {
    let error = Some(error_of(WORKER, why, true));
    Done { lease: task.lease.clone(), error, ..Done::default() }
}
