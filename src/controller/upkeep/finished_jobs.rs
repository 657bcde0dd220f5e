//! Removes finished Jobs, and bare pods, before their time: where a quota counts them and refuses another, and where a namespace has too
//! many. Never decides which may go.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;

use crate::api::Task;
use crate::cluster::calls::{CallError, Calls};
use crate::controller::cache::Cache;
use crate::controller::reconcile::delete::{Removal, only, remove};
use crate::controller::record;
use crate::controller::record::Records;
use crate::core::attempt::Child;
use crate::core::attempt::facts::JobFacts;
use crate::core::task::room;

/// How long a quota takes to be counted anew after a deletion: so long nothing more goes for it.
const COUNTED_WITHIN: Duration = Duration::from_secs(5);
const BETWEEN_SWEEPS: Duration = Duration::from_secs(10);
/// How many of one namespace go before it is looked again which of them may.
const IN_A_TURN: usize = 500;
/// How many are removed at once: about what the API server deletes while tasks end as fast as they can.
const AT_ONCE: usize = 8;

pub struct FinishedJobs {
    cache: Arc<Cache>,
    records: Arc<Records>,
    calls: Calls,
    /// When room was last made, by namespace.
    made: Mutex<HashMap<String, Instant>>,
}

/// Keeps no more than `most` finished Jobs in each namespace, beside those that finished since the last sweep.
pub async fn run(finished: Arc<FinishedJobs>, most: usize) {
    loop {
        tokio::time::sleep(BETWEEN_SWEEPS).await;
        if let Err(error) = finished.sweep(most).await {
            tracing::warn!(%error, "failed to remove finished Jobs and pods beyond the number that is kept; will try again");
        }
    }
}

impl FinishedJobs {
    pub fn new(cache: Arc<Cache>, records: Arc<Records>, calls: Calls) -> Self {
        Self { cache, records, calls, made: Mutex::default() }
    }

    /// Deletes some finished Jobs of this namespace; false where none may go, and none went just now.
    pub async fn make_room(&self, namespace: &str) -> Result<bool, CallError> {
        if !self.is_due(namespace) {
            return Ok(true);
        }
        let goes = room::first_to_go(self.spare(Some(namespace)), |(_, job)| job.finished_from());
        let removed = self.remove_all(goes).await;
        if !matches!(removed, Ok(1..)) {
            self.made.lock().remove(namespace);
        }
        removed.map(|removed| removed > 0)
    }

    /// Nobody made room there just now; from here on somebody does.
    fn is_due(&self, namespace: &str) -> bool {
        let mut made = self.made.lock();
        made.retain(|_, at| at.elapsed() < COUNTED_WITHIN);
        if made.contains_key(namespace) {
            return false;
        }
        made.insert(namespace.into(), Instant::now());
        true
    }

    /// Removes all beyond `most`, also those that come to be beyond it meanwhile. Each is asked for once in a sweep.
    async fn sweep(&self, most: usize) -> Result<(), CallError> {
        let mut asked = HashSet::new();
        loop {
            let goes = self.beyond(most, &asked);
            asked.extend(goes.iter().map(|(_, job)| job.uid.clone()));
            if goes.is_empty() {
                return Ok(());
            }
            if let Err(error @ (CallError::Deadline | CallError::NotLeader)) = self.remove_all(goes).await {
                return Err(error);
            }
        }
    }

    /// The oldest beyond `most` in each namespace, but for those that were asked for: the watch has not shown yet that they
    /// go, or they stay.
    fn beyond(&self, most: usize, asked: &HashSet<String>) -> Vec<(Arc<Task>, JobFacts)> {
        let mut by_namespace = HashMap::<_, Vec<_>>::new();
        for (task, job) in self.spare(None) {
            by_namespace.entry(job.namespace.clone()).or_default().push((task, job));
        }
        let of_one = |spare| {
            let goes = room::beyond(most, spare, |(_, job): &(_, JobFacts)| job.finished_from());
            goes.into_iter().filter(|(_, job)| !asked.contains(&job.uid)).take(IN_A_TURN)
        };
        by_namespace.into_values().flat_map(of_one).collect()
    }

    fn spare(&self, namespace: Option<&str>) -> Vec<(Arc<Task>, JobFacts)> {
        self.cache.spare_jobs(namespace, |task| self.records.is_in_doubt(task))
    }

    /// How many were removed.
    async fn remove_all(&self, goes: Vec<(Arc<Task>, JobFacts)>) -> Result<usize, CallError> {
        let mut removed = 0;
        let mut trouble = None;
        let removing = stream::iter(goes).map(|(task, job)| async move { (self.remove(&task, &job).await, job) });
        let mut outcomes = std::pin::pin!(removing.buffer_unordered(AT_ONCE));
        while let Some((outcome, job)) = outcomes.next().await {
            match outcome {
                Ok(is_removed) => removed += usize::from(is_removed),
                // One that stays keeps no other from going.
                Err(error @ (CallError::Deadline | CallError::NotLeader)) => return Err(error),
                Err(error) => {
                    tracing::warn!(namespace = job.namespace, name = job.name, kind = job.kind.word(), %error, "what has finished could not be removed");
                    trouble = Some(error);
                }
            }
        }
        trouble.filter(|_| removed == 0).map_or(Ok(removed), Err)
    }

    async fn remove(&self, task: &Task, job: &JobFacts) -> Result<bool, CallError> {
        let JobFacts { namespace, name, uid, .. } = job;
        record::record_run::before_job_goes(task, name, &self.calls.reads, &self.records).await?;
        let observed = self.cache.observed(task);
        if !self.records.attempt_logs().keep(task, name, &observed, &self.calls.reads).await {
            return Ok(false);
        }
        let removal = match job.kind {
            Child::Job => remove::<Job>(namespace, name, only(uid), &self.calls).await?,
            Child::Pod => remove::<Pod>(namespace, name, only(uid), &self.calls).await?,
        };
        match removal {
            Removal::Asked => self.cache.job_deleted(task, uid),
            Removal::NotThere => self.cache.not_there(task, uid),
            Removal::Refused => return Ok(false),
        }
        tracing::info!(
            namespace,
            kind = job.kind.word(),
            name,
            "removed what has finished before its time, to make room"
        );
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
