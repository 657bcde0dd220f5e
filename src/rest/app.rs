//! What all handlers share, and how a task is found.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use kube::Client;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::index::Index;
use super::index::entry::IndexedTask;
use super::problem::{Problem, ProblemType};
use super::request::extract::unknown_task;
use super::submit::calls::Calls;
use crate::archive;
use crate::archive::{Archive, Record};

/// Requests at once; those beyond are sent away with 503.
const REQUESTS: usize = 256;
/// Large bodies at once.
const BULKS: usize = 4;
/// Large results at once, each of which is in memory.
const LARGES: usize = 4;
/// Tasks that are looked up in the archive at once, whoever asks.
const LOOKUPS: usize = 8;
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
    lookups: Semaphore,
    /// Held by the answers themselves.
    pub larges: Arc<Semaphore>,
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
            lookups: Semaphore::new(LOOKUPS),
            larges: Arc::new(Semaphore::new(LARGES)),
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
            ProblemType::UnknownNamespace
                .because("this namespace is not served here; leave it out for the usual one")
                .at("namespace")
        })
    }

    /// The task of this id, from memory. One that is not known may have been made a moment ago, through another
    /// replica: it is waited for until the watch must have shown it. One that is no longer in the cluster is in
    /// the archive, which is asked meanwhile.
    pub async fn find(&self, id: &str) -> Result<Arc<IndexedTask>, Problem> {
        if let Some(entry) = self.index.get(id) {
            return Ok(entry);
        }
        if !may_be_uid(id) {
            return Err(unknown_task());
        }
        let archived = async { self.archived(id).await?.ok_or_else(unknown_task) };
        if self.index.is_gone(id) {
            return archived.await;
        }
        let found = if self.index.is_not_awaited(id) {
            archived.await
        } else {
            match select(pin!(self.shown(id)), pin!(archived)).await {
                Either::Left((Some(entry), _)) | Either::Right((Ok(entry), _)) => Ok(entry),
                Either::Left((None, archived)) => archived.await,
                Either::Right((Err(problem), shown)) => shown.await.ok_or(problem),
            }
        };
        match found {
            // Nobody can say that there is none.
            Err(problem) if problem.is(ProblemType::UnknownTask) && self.index.is_behind() => {
                Err(ProblemType::NotReady.because(
                    "it is not known whether there is such a task: the cluster cannot be watched; ask again soon",
                ))
            }
            found => found,
        }
    }

    /// The task once the watch shows it; `None` when it should have.
    async fn shown(&self, id: &str) -> Option<Arc<IndexedTask>> {
        let mut changes = self.index.subscribe(id);
        let sought = async {
            loop {
                if let Some(entry) = self.index.get(id) {
                    return entry;
                }
                changes.changed().await;
            }
        };
        let shown = tokio::time::timeout(CATCHES_UP_WITHIN, sought).await.ok();
        if shown.is_none() && !self.index.is_behind() {
            self.index.sought_in_vain(id);
        }
        shown
    }

    /// What the archive has of this task's last run, if that is for the eyes of our clients.
    pub async fn record(&self, id: &str) -> Result<Option<Record>, Problem> {
        // Its deadline begins only then. Fails only where nobody may ask any more.
        let permit = self.lookups.acquire().await;
        let record = self.archive.find(id).await.map_err(away)?;
        drop(permit);
        Ok(record.filter(|record| self.namespaces.contains(&record.summary.namespace)))
    }

    /// The record of the run that this is about: an earlier one may be there while this one's is still to be written.
    pub async fn record_of(&self, known: &IndexedTask) -> Result<Record, Problem> {
        let record = self.archive.find_run(&known.uid, &known.run_id).await.map_err(away)?;
        record.filter(|record| record.began() == known.began()).ok_or_else(|| match known.archived {
            true => ProblemType::RecordGone.because(
                "the archive has forgotten its record, and only what is on record is run again; submit it anew",
            ),
            false => ProblemType::Archive.because("its record is not written yet; ask again in a moment"),
        })
    }

    /// The same as a task that is no longer in the cluster.
    pub async fn archived(&self, id: &str) -> Result<Option<Arc<IndexedTask>>, Problem> {
        Ok(self.record(id).await?.map(|record| Arc::new(IndexedTask::of(&record.task(), None, None))))
    }

    pub fn namespaces(&self) -> &[String] {
        &self.namespaces
    }
}

/// The archive did not do what it was asked.
pub fn away(error: archive::Error) -> Problem {
    tracing::warn!(%error, "a REST client asked for what is in the archive");
    ProblemType::Archive.because(
        "the archive, which knows of tasks that are no longer in the cluster, does not answer; ask again in a moment",
    )
}

/// Ids are UUIDs; nothing else need be waited for.
fn may_be_uid(id: &str) -> bool {
    id.len() == 36 && id.bytes().all(|byte| byte == b'-' || matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
