//! The last lines of a container's log, for the record of a run that failed. Whatever goes wrong with it holds
//! nothing up: then there is no log.

use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use tokio::time::timeout;

use crate::archive::{LOG_BYTES, LOG_LINES};
use crate::cluster::calls::{CallError, Reads};
use crate::cluster::rights::Right;
use crate::core::attempt::facts::LogOf;
use crate::errors::chain;

/// No log is waited for longer.
const DEADLINE: Duration = Duration::from_secs(2);
/// The end is kept, but a limit in the request cuts off the end. No node hands out more than this of so many lines.
const READ_AT_MOST: i64 = 4 << 20;

pub async fn of(namespace: &str, log_of: &LogOf, reads: &Reads) -> Option<String> {
    let pods = reads.namespaced::<Pod>(namespace);
    let which = LogParams {
        container: Some(log_of.container.clone()),
        tail_lines: i64::try_from(LOG_LINES).ok(),
        limit_bytes: Some(READ_AT_MOST),
        ..LogParams::default()
    };
    let reading = async {
        let stream = pods.log_stream(&log_of.pod, &which).await.map_err(CallError::from);
        reads.rights.note(Right::GetPodLogs, namespace, &stream);
        Ok::<_, CallError>(end_of(stream?).await)
    };
    match timeout(DEADLINE, reading).await {
        Ok(Ok(log)) => Some(log).filter(|log| !log.is_empty()),
        Ok(Err(error)) => {
            tracing::debug!(namespace, pod = log_of.pod, error = chain(&error), "its log could not be read");
            None
        }
        Err(_) => {
            tracing::debug!(namespace, pod = log_of.pod, "its log did not come in time");
            None
        }
    }
}

/// The end of what there is to read; of what breaks off, the end of what came.
async fn end_of(mut log: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut chunk = vec![0; LOG_BYTES];
    while let Ok(read @ 1..) = log.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..read]);
        let too_many = kept.len().saturating_sub(LOG_BYTES);
        kept.drain(..too_many);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::io::Cursor;

    #[tokio::test]
    async fn of_long_lines_the_end_is_kept() {
        let log: String = (0..200).map(|number| format!("{number} {}\n", "x".repeat(1000))).collect();
        let end = end_of(Cursor::new(log.as_bytes())).await;
        assert_eq!(end.len(), LOG_BYTES);
        assert!(log.ends_with(&end));
    }

    #[tokio::test]
    async fn what_is_no_text_is_read_all_the_same() {
        let end = end_of(Cursor::new(b"a\xffb\n".as_slice())).await;
        assert_eq!(end, "a\u{fffd}b\n");
    }
}
