//! Has the tasks looked at whose statuses are to say why they wait.

use std::sync::Arc;
use std::time::Duration;

use futures::SinkExt;
use jiff::Timestamp;

use crate::controller::cache::Cache;
use crate::controller::watch::Wake;

/// How often it is found out what holds tasks back.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);

/// Runs for ever.
pub async fn run(cache: Arc<Cache>, mut wake: Wake) {
    loop {
        for task in cache.notice_waits(Timestamp::now()) {
            // Fails only when the reconciler has ended, and then nobody need be woken.
            let _ = wake.send(task).await;
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}
