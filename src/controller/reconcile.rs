//! One look at one task: gather, decide, carry out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::runtime::controller::Action as Requeue;

use super::calls::CallError;
use super::{Context, apply, gather};
use crate::api::Task;
use crate::core::{self, decide};

/// How long a look that failed waits before the next one.
const AFTER_AN_ERROR: Duration = Duration::from_secs(2);

/// A look failed; the driver looks again soon.
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
    context.metrics.reconciled(began.elapsed(), looked.as_ref().err().map(|error| error.0.kind()));
    looked
}

async fn look(task: &Task, context: &Context) -> Result<Requeue, Error> {
    let now = core::time::as_written(Timestamp::now());
    let Some(gathered) = gather::gather(task, context, now).await.map_err(Error)? else {
        return Ok(Requeue::await_change());
    };
    let decision = decide(task, &gathered.surroundings(&context.settings), now);
    let again = apply::carry_out(task, decision.action, context).await.map_err(Error)?;
    let wake = [again, decision.wake.map(until)].into_iter().flatten().min();
    Ok(wake.map_or_else(Requeue::await_change, Requeue::requeue))
}

fn until(time: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(Timestamp::now())).unwrap_or_default()
}

pub fn on_error(task: Arc<Task>, error: &Error, _: Arc<Context>) -> Requeue {
    let metadata = &task.metadata;
    tracing::warn!(namespace = metadata.namespace, task = metadata.name, %error, "will look again");
    Requeue::requeue(AFTER_AN_ERROR)
}
