//! Keeps the status of the queues: what waits and what runs, a few seconds late, and only when it changed.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::cluster::calls::CallError;
use crate::controller::cache::Cache;
use crate::controller::status::StatusWriter;
use crate::core::queue::queue_status;

/// A queue's status is written at most so often.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);

pub async fn run(cache: Arc<Cache>, writer: Arc<StatusWriter>) {
    loop {
        for (queue, counts) in cache.queues() {
            let status = queue_status(&queue, &counts, Timestamp::now());
            if queue.status.as_ref() == Some(&status) {
                continue;
            }
            match writer.write_queue(&queue, status).await {
                // The queue has changed, or is gone: the next look sees.
                Ok(_) | Err(CallError::Conflict | CallError::NotFound | CallError::NotLeader) => {}
                Err(error) => {
                    tracing::warn!(namespace = queue.namespace(), queue = queue.name_any(), %error, "failed to write a queue's status; will try again");
                }
            }
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}
