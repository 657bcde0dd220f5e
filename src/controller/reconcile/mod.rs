//! One look at one task: gather, decide, carry out.

pub mod apply;
pub mod delete;
pub mod gather;
mod label;
mod launch;
mod pod_events;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::runtime::controller::Action as Requeue;

use super::Context;
use crate::api::Task;
use crate::cluster::calls::CallError;
use crate::core;
use crate::core::attempt::backoff;
use crate::core::decide;

/// A look failed; the driver looks again.
#[derive(Debug, thiserror::Error)]
#[error("failed to gather what matters or to carry out the decision: {0}")]
pub struct Error(#[source] CallError);

pub async fn reconcile(task: Arc<Task>, context: Arc<Context>) -> Result<Requeue, Error> {
    // Before everything is known, what is missing may only not have been seen.
    if !context.is_ready().await {
        return Ok(Requeue::await_change());
    }
    let began = Instant::now();
    let looked = look(&task, &context).await;
    if looked.is_ok() {
        context.cache.look_went_well(&task);
    }
    context.metrics.reconciled(began.elapsed(), looked.as_ref().err().map(|error| error.0.kind()));
    looked
}

async fn look(task: &Arc<Task>, context: &Context) -> Result<Requeue, Error> {
    let now = core::time::as_written(Timestamp::now());
    let Some(input) = gather::gather(task, context, now).await.map_err(Error)? else {
        return Ok(Requeue::await_change());
    };
    let decision = decide(&input, now);
    // What is kept of a batch is changed in place where nobody else reads it.
    drop(input);
    let again = apply::carry_out(task, decision.action, context).await.map_err(Error)?;
    let wake = [again, decision.wake.map(until)].into_iter().flatten().min();
    Ok(wake.map_or_else(Requeue::await_change, Requeue::requeue))
}

fn until(time: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(Timestamp::now())).unwrap_or_default()
}

/// The more looks at a task have failed one after another, the longer the next one waits.
pub fn on_error(task: Arc<Task>, error: &Error, context: Arc<Context>) -> Requeue {
    let errors = context.cache.look_failed(&task);
    let metadata = &task.metadata;
    tracing::warn!(namespace = metadata.namespace, task = metadata.name, errors, %error, "will look again");
    Requeue::requeue(backoff::after_errors(errors).unsigned_abs())
}
