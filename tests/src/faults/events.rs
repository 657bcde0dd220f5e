//! The answer of a watch on the wire: line by line.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use kube::client::DynBody;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tower::BoxError;

use super::layer::broken;
use super::point::label_of_event;
use super::unreadable::spoiled;
use super::wire::{EventFault, Wire};

pub(super) type Chunk = Result<Bytes, BoxError>;

/// A body with the wire's faults on its lines.
pub(super) fn pass(wire: Arc<Wire>, life: usize, resource: &str, body: Box<DynBody>) -> Box<DynBody> {
    let lines = Lines { body: body.into_data_stream().boxed(), rest: vec![] };
    let silenced = wire.silenced();
    let tap = Tap { wire, life, resource: resource.to_owned(), lines, due: VecDeque::new(), over: false, silenced };
    of_chunks(stream::unfold(tap, async |mut tap| tap.next().await.map(|chunk| (chunk, tap))).boxed())
}

pub(super) fn of_chunks(chunks: BoxStream<'static, Chunk>) -> Box<DynBody> {
    Box::new(StreamBody::new(chunks.map_ok(Frame::data)))
}

struct Lines {
    body: BoxStream<'static, Chunk>,
    /// Bytes of an incomplete line and of the lines behind it.
    rest: Vec<u8>,
}

impl Lines {
    async fn next(&mut self) -> Option<Chunk> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let behind = self.rest.split_off(end + 1);
                return Some(Ok(std::mem::replace(&mut self.rest, behind).into()));
            }
            match self.body.next().await? {
                Ok(chunk) => self.rest.extend_from_slice(&chunk),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

struct Tap {
    wire: Arc<Wire>,
    life: usize,
    resource: String,
    lines: Lines,
    /// Bytes to be delivered next.
    due: VecDeque<Chunk>,
    over: bool,
    silenced: CancellationToken,
}

impl Tap {
    async fn next(&mut self) -> Option<Chunk> {
        while self.due.is_empty() && !self.over {
            let line = tokio::select! {
                biased;
                () = self.silenced.cancelled() => futures::future::pending().await,
                line = self.lines.next() => line,
                () = self.wire.is_being_cut() => Some(Err(broken())),
            };
            match line {
                Some(Ok(line)) => self.take(line).await,
                other => {
                    self.due.extend(other);
                    self.over = true;
                }
            }
        }
        self.due.pop_front()
    }

    async fn take(&mut self, line: Bytes) {
        let line = match self.wire.unreadable_name(&self.resource) {
            Some(name) => spoiled(&line, name),
            None => line,
        };
        match self.wire.event(self.life, &label_of_event(&line)) {
            None => self.due.push_back(Ok(line)),
            Some(EventFault::Late(time)) => {
                tokio::time::sleep(time).await;
                self.due.push_back(Ok(line));
            }
            Some(EventFault::Twice) => self.due.extend([Ok(line.clone()), Ok(line)]),
            Some(EventFault::CutInside) => self.end([Ok(line.slice(..line.len() / 2)), Err(broken())]),
            Some(EventFault::EndBefore) => self.end([]),
            Some(EventFault::Expired) => self.end([Ok(expired())]),
            Some(EventFault::EndThenGone) => {
                self.wire.refuse_watches(&self.resource);
                self.end([]);
            }
        }
    }

    fn end(&mut self, last: impl IntoIterator<Item = Chunk>) {
        self.due.extend(last);
        self.over = true;
    }
}

/// The event of a watch whose start version the API server no longer knows.
fn expired() -> Bytes {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410,
        "reason": "Expired", "message": "too old resource version"});
    format!("{}\n", json!({"type": "ERROR", "object": status})).into()
}
