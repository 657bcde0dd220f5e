//! The last lines of a container's log, for the record of a run that failed. No log is waited for longer than a moment; it
//! is told whether there is none, or whether it only did not come.

use std::io;
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

/// The end of a log, as far as it came.
#[derive(Debug, PartialEq, Eq)]
pub enum LogTail {
    /// All that there is: nothing where the container has written none, the pod is gone, or nobody may read it.
    Whole(String),
    /// Nobody answered, or the answer broke off behind this. It may come another time.
    BrokeOff(String),
}

impl LogTail {
    /// The lines that came, if any did.
    pub fn text(&self) -> Option<&str> {
        let (Self::Whole(text) | Self::BrokeOff(text)) = self;
        Some(text.as_str()).filter(|text| !text.is_empty())
    }
}

pub async fn of(namespace: &str, log_of: &LogOf, reads: &Reads) -> LogTail {
    let mut came = Vec::new();
    let trouble = match timeout(DEADLINE, read(namespace, log_of, reads, &mut came)).await {
        Ok(Ok(())) => None,
        Ok(Err(Trouble::Call(CallError::NotFound | CallError::Refused(_)))) => None,
        Ok(Err(Trouble::Call(error))) => Some(chain(&error)),
        Ok(Err(Trouble::BrokeOff(error))) => Some(chain(&error)),
        Err(_) => Some("no answer in time".to_owned()),
    };
    let text = String::from_utf8_lossy(&came).into_owned();
    match trouble {
        None => LogTail::Whole(text),
        Some(error) => {
            tracing::debug!(namespace, pod = log_of.pod, error, "its log did not come");
            LogTail::BrokeOff(text)
        }
    }
}

enum Trouble {
    Call(CallError),
    BrokeOff(io::Error),
}

async fn read(namespace: &str, log_of: &LogOf, reads: &Reads, came: &mut Vec<u8>) -> Result<(), Trouble> {
    let pods = reads.namespaced::<Pod>(namespace);
    let which = LogParams {
        container: Some(log_of.container.clone()),
        tail_lines: i64::try_from(LOG_LINES).ok(),
        limit_bytes: Some(READ_AT_MOST),
        ..LogParams::default()
    };
    let stream = pods.log_stream(&log_of.pod, &which).await.map_err(CallError::from);
    reads.rights.note(Right::GetPodLogs, namespace, &stream);
    read_end(stream.map_err(Trouble::Call)?, came).await.map_err(Trouble::BrokeOff)
}

/// Keeps the end of all that is read so far.
async fn read_end(mut log: impl AsyncRead + Unpin, came: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = vec![0; LOG_BYTES];
    loop {
        let read = log.read(&mut chunk).await?;
        if read == 0 {
            return Ok(());
        }
        came.extend_from_slice(&chunk[..read]);
        let too_many = came.len().saturating_sub(LOG_BYTES);
        came.drain(..too_many);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::http::{Request, Response};
    use futures::io::Cursor;
    use futures::stream;
    use kube::Client;
    use kube::client::Body;
    use serde_json::json;
    use tower::service_fn;

    use super::*;

    async fn end_of(log: &[u8]) -> String {
        let mut came = vec![];
        read_end(Cursor::new(log), &mut came).await.expect("it does not break off");
        String::from_utf8_lossy(&came).into_owned()
    }

    #[tokio::test]
    async fn of_long_lines_the_end_is_kept() {
        let log: String = (0..200).map(|number| format!("{number} {}\n", "x".repeat(1000))).collect();
        let end = end_of(log.as_bytes()).await;
        assert_eq!(end.len(), LOG_BYTES);
        assert!(log.ends_with(&end));
    }

    #[tokio::test]
    async fn what_is_no_text_is_read_all_the_same() {
        assert_eq!(end_of(b"a\xffb\n").await, "a\u{fffd}b\n");
    }

    /// The log of a pod whose API server answers with this code and text; where it `stays`, the answer has no end.
    async fn answered(code: u16, text: &'static str, stays: bool) -> LogTail {
        let server = service_fn(move |_: Request<Body>| async move {
            let status = json!({"kind": "Status", "status": "Failure", "code": code, "message": text});
            let text = if code == 200 { text.to_owned() } else { status.to_string() };
            let pieces = stream::iter([Ok::<_, Infallible>(text.into_bytes())]);
            let rest = stream::once(async move {
                if stays {
                    std::future::pending::<()>().await;
                }
                Ok(vec![])
            });
            let body = axum::body::Body::from_stream(futures::StreamExt::chain(pieces, rest));
            Ok::<_, Infallible>(Response::builder().status(code).body(body).expect("a response"))
        });
        let log_of = LogOf { pod: "p".into(), container: "work".into() };
        of("docs", &log_of, &Reads::new(Client::new(server, "docs"))).await
    }

    #[tokio::test(start_paused = true)]
    async fn that_there_is_no_log_is_told_apart_from_one_that_does_not_come() {
        let forbidden = "pods is forbidden: User \"u\" cannot get resource \"pods/log\" in API group \"\"";
        for (code, text) in [(404, "no such pod"), (400, "the container is waiting to start"), (403, forbidden)] {
            assert_eq!(answered(code, text, false).await, LogTail::Whole(String::new()), "{code}");
        }
        for code in [500, 503] {
            assert_eq!(answered(code, "the kubelet is away", false).await, LogTail::BrokeOff(String::new()), "{code}");
        }
        assert_eq!(answered(200, "bye", false).await, LogTail::Whole("bye".into()));
        assert_eq!(answered(200, "half", true).await, LogTail::BrokeOff("half".into()), "the rest does not come");
    }
}
