//! What all handlers share, and how a task is found.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::calls::Calls;
use super::entry::Entry;
use super::extract::unknown_task;
use super::index::Index;
use super::problem::{Kind, Problem};
use crate::archive::Archive;

/// Requests at once; those beyond are sent away with 503.
const REQUESTS: usize = 256;
/// Large bodies at once.
const BULKS: usize = 4;
/// Event streams at once.
const STREAMS: usize = 512;
/// So long after its creation the watch shows a task at the latest.
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(2);

pub struct App {
    pub calls: Calls,
    /// Asked for what is no longer in the cluster.
    pub archive: Archive,
    pub index: Arc<Index>,
    /// The first one is meant where a request names none.
    namespaces: Vec<String>,
    ready: watch::Receiver<bool>,
    pub over: CancellationToken,
    pub requests: Semaphore,
    pub bulks: Semaphore,
    /// Held by the streams themselves.
    pub streams: Arc<Semaphore>,
}

impl App {
    pub fn new(
        client: Client,
        archive: Archive,
        index: Arc<Index>,
        namespaces: &[String],
        ready: watch::Receiver<bool>,
        over: CancellationToken,
    ) -> Self {
        Self {
            calls: Calls::new(client),
            archive,
            index,
            namespaces: namespaces.to_vec(),
            ready,
            over,
            requests: Semaphore::new(REQUESTS),
            bulks: Semaphore::new(BULKS),
            streams: Arc::new(Semaphore::new(STREAMS)),
        }
    }

    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// The namespace that a request means.
    pub fn namespace(&self, asked: Option<&str>) -> Result<&str, Problem> {
        let Some(asked) = asked else { return Ok(self.namespaces.first().map(String::as_str).unwrap_or_default()) };
        let served = self.namespaces.iter().find(|served| *served == asked);
        served.map(String::as_str).ok_or_else(|| {
            Kind::UnknownNamespace
                .because("this namespace is not served here; leave it out for the usual one")
                .at("namespace")
        })
    }

    /// The task of this id. One that is not known may have been made a moment ago, through another replica: it
    /// is waited for until the watch must have shown it. What the archive knows will be sought here, next.
    pub async fn find(&self, id: &str) -> Result<Arc<Entry>, Problem> {
        if !may_be_uid(id) || self.index.is_gone(id) {
            return self.index.get(id).ok_or_else(unknown_task);
        }
        let mut changes = self.index.subscribe(id);
        let sought = async {
            loop {
                if let Some(entry) = self.index.get(id) {
                    return entry;
                }
                changes.changed().await;
            }
        };
        tokio::time::timeout(CATCHES_UP_WITHIN, sought).await.map_err(|_| {
            self.index.sought_in_vain(id);
            unknown_task()
        })
    }
}

/// Ids are UUIDs; nothing else need be waited for.
fn may_be_uid(id: &str) -> bool {
    id.len() == 36 && id.bytes().all(|byte| byte == b'-' || matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
