//! Keeps the metrics of how full the queues are, a few seconds late.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::controller::cache::Cache;
use crate::metrics::Metrics;

const BETWEEN_LOOKS: Duration = Duration::from_secs(5);

pub async fn run(cache: Arc<Cache>, metrics: Arc<Metrics>) {
    loop {
        metrics.load(cache.load(Timestamp::now()));
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}
