//! Wakes the tasks that wait for the archive whenever it is back.

use std::sync::Arc;

use futures::SinkExt;

use super::Records;
use crate::controller::cache::Cache;
use crate::controller::watch::Wake;

/// Never ends.
pub async fn run(records: Arc<Records>, cache: Arc<Cache>, mut wake: Wake) {
    let mut trouble = records.trouble();
    // Fails only when the guard is gone, and with it everything.
    while trouble.wait_for(Option::is_some).await.is_ok() && trouble.wait_for(Option::is_none).await.is_ok() {
        for task in records.waiting().iter().filter_map(|uid| cache.reference(uid)) {
            let _ = wake.send(task).await;
        }
    }
    std::future::pending().await
}
