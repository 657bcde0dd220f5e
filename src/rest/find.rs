//! How a task is found by its id: in memory, whole at the API server, and in the archive.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use kube::ResourceExt;
use tokio::sync::Semaphore;

use super::api_server::ApiServer;
use super::index::{Index, IndexedTask};
use super::namespaces::Namespaces;
use super::request::id::unknown_task;
use crate::api::Task;
use crate::archive;
use crate::archive::{Archive, AttemptKey, Record};
use crate::serving::problem::{Problem, ProblemType};

/// Tasks that are looked up in the archive at once, whoever asks…
const LOOKUPS: usize = 8;
/// …and so many of these for requests about many tasks, so that they keep no request about one from its turn.
const OF_MANY: usize = 4;

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    OneTask,
    ManyTasks,
}
/// So long after its creation the watch shows a task at the latest.
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(2);

pub struct Finder {
    index: Arc<Index>,
    api: ApiServer,
    archive: Archive,
    namespaces: Arc<Namespaces>,
    lookups: Semaphore,
    of_many: Semaphore,
}

impl Finder {
    pub fn new(index: Arc<Index>, api: ApiServer, archive: Archive, namespaces: Arc<Namespaces>) -> Self {
        Self { index, api, archive, namespaces, lookups: Semaphore::new(LOOKUPS), of_many: Semaphore::new(OF_MANY) }
    }

    /// The task of this id, from memory. One that is not known may have been made a moment ago, through another
    /// replica: it is waited for until the watch must have shown it. One that is no longer in the cluster is in
    /// the archive, which is asked meanwhile.
    pub async fn find(&self, id: &str) -> Result<Arc<IndexedTask>, Problem> {
        self.find_for(id, About::OneTask).await
    }

    async fn find_for(&self, id: &str, about: About) -> Result<Arc<IndexedTask>, Problem> {
        if let Some(known) = self.index.get(id) {
            return Ok(known);
        }
        if !may_be_uid(id) {
            return Err(unknown_task());
        }
        let archived = async {
            // Fails only when the semaphore is closed, which it never is.
            let _turn = if about == About::ManyTasks { self.of_many.acquire().await.ok() } else { None };
            self.archived(id).await?.ok_or_else(unknown_task)
        };
        if self.index.is_gone(id) {
            return archived.await;
        }
        let found = if self.index.is_not_awaited(id) {
            archived.await
        } else {
            match select(pin!(self.shown(id)), pin!(archived)).await {
                Either::Left((Some(known), _)) | Either::Right((Ok(known), _)) => Ok(known),
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

    /// The same for one of many tasks, where it is no problem that there is none.
    pub async fn find_among_many(&self, id: &str) -> Result<Option<Arc<IndexedTask>>, Problem> {
        match self.find_for(id, About::ManyTasks).await {
            Err(problem) if problem.is(ProblemType::UnknownTask) => Ok(None),
            found => found.map(Some),
        }
    }

    /// The task once the watch shows it; `None` when it should have.
    async fn shown(&self, id: &str) -> Option<Arc<IndexedTask>> {
        let mut changes = self.index.subscribe(id);
        let sought = async {
            loop {
                if let Some(known) = self.index.get(id) {
                    return known;
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

    /// The task with all that is in it: as the API server has it, else as it was archived.
    pub async fn whole(&self, known: &IndexedTask) -> Result<Task, Problem> {
        if let Some(task) = self.in_cluster(known).await? {
            return Ok(task);
        }
        self.record_of(known).await.map(|record| record.task())
    }

    /// The task as the API server has it, if it still is the one that is meant.
    pub async fn in_cluster(&self, known: &IndexedTask) -> Result<Option<Task>, Problem> {
        if !known.is_in_cluster() {
            return Ok(None);
        }
        let task = self.api.task(&known.head.namespace, &known.head.name).await?;
        let task = task.filter(|task| task.uid().as_deref() == Some(&*known.uid));
        task.iter().for_each(|task| self.index.task_seen(task));
        Ok(task)
    }

    /// The record of this task's last run, if it ran in a namespace that is served.
    pub async fn record(&self, id: &str) -> Result<Option<Record>, Problem> {
        // The archive's deadline begins only when it has its turn. Fails only when the semaphore is closed, which it never is.
        let permit = self.lookups.acquire().await;
        let record = self.archive.find(id).await.map_err(archive_is_away)?;
        drop(permit);
        let trouble = self.archive.identity().trouble();
        if let (None, Some(trouble)) = (&record, &*trouble.borrow()) {
            return Err(
                ProblemType::Archive.because(format!("it is not known whether there was such a task: {trouble}"))
            );
        }
        Ok(record.filter(|record| self.namespaces.serves(&record.summary.namespace)))
    }

    /// The record of the run that this is about: an earlier one may be there while this one's is still to be written.
    pub async fn record_of(&self, known: &IndexedTask) -> Result<Record, Problem> {
        let record = self.archive.find_run(&known.uid, &known.run_id).await.map_err(archive_is_away)?;
        record.filter(|record| record.began() == known.began()).ok_or_else(|| match known.is_archived {
            true => ProblemType::RecordGone.because(
                "the archive has forgotten its record, and only what is on record is run again; submit it anew",
            ),
            false => ProblemType::Archive.because("its record is not written yet; ask again in a moment"),
        })
    }

    /// The log of an attempt that others followed, if it was kept.
    pub async fn attempt_log(&self, known: &IndexedTask, attempt: i32) -> Result<Option<String>, Problem> {
        let key = AttemptKey { uid: &known.uid, run_id: &known.run_id, began: known.began(), attempt };
        self.archive.log(&key).await.map_err(archive_is_away)
    }

    /// The last run of a task that is no longer in the cluster, as its record tells of it.
    pub async fn archived(&self, id: &str) -> Result<Option<Arc<IndexedTask>>, Problem> {
        let record = self.record(id).await?;
        Ok(record.map(|record| Arc::new(IndexedTask::of(&record.task(), None, None))))
    }
}

/// The archive did not do what it was asked.
pub fn archive_is_away(error: archive::Error) -> Problem {
    tracing::warn!(%error, "a REST client asked for what is in the archive");
    ProblemType::Archive.because(
        "the archive, which knows of tasks that are no longer in the cluster, does not answer; ask again in a moment",
    )
}

/// Ids are UUIDs; nothing else need be waited for.
fn may_be_uid(id: &str) -> bool {
    id.len() == 36 && id.bytes().all(|byte| byte == b'-' || matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
