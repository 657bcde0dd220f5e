//! The one way to put a record into the archive.

use std::time::Instant;

use crate::archive::{Error, Guard, Record};
use crate::metrics::Metrics;

/// Puts a record; counts it, and logs what will not pass by itself.
pub async fn put(guard: &Guard, record: &Record, metrics: &Metrics) -> Result<(), Error> {
    let began = Instant::now();
    let put = guard.put(record).await;
    metrics.archived(began.elapsed(), put.as_ref().err().map_or("ok", |error| error.label()));
    if let Err(error) = &put
        && !error.is_temporary()
    {
        let summary = &record.summary;
        tracing::error!(namespace = summary.namespace, task = summary.name, uid = summary.uid, %error, "a record could not be written");
    }
    put
}
