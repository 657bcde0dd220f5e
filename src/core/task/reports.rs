//! What the work says of itself while it runs, on its way into the task's status. What must outlive us (its error,
//! and that its result is stored) is written at once; progress now and then, for each write costs the API server
//! more than it tells.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::View;
use crate::attempt::facts::{PodFacts, TOLD_AFTER};
use crate::attempt::reports;
use crate::attempt::reports::Said;
use crate::time::after;
use task_manager_api::{Progress, TaskStatus};

/// Progress is written so often at most.
const PROGRESS_EVERY: SignedDuration = SignedDuration::from_secs(10);

impl<'a> View<'a> {
    /// With what this pod of the present attempt has said, as far as it is due to be written.
    pub(super) fn with_words(&self, pod: Option<&PodFacts>) -> Self {
        let Some((pod, said)) = pod.and_then(|pod| Some((pod, self.said(pod)?))) else { return self.clone() };
        let progress = said.progress.as_ref().filter(|_| self.is_past(Some(self.progress_due(pod))));
        self.having(said, progress)
    }

    /// The same when nothing follows any more: the last progress too.
    pub(super) fn with_last_words(&self, pod: Option<&PodFacts>) -> Self {
        pod.and_then(|pod| self.said(pod))
            .map_or_else(|| self.clone(), |said| self.having(said, said.progress.as_ref()))
    }

    /// When what this pod has said is to be written; `None` when all is.
    pub(super) fn words_due(&self, pod: &PodFacts) -> Option<Timestamp> {
        let progress = self.said(pod)?.progress.as_ref()?;
        self.is_news(progress).then(|| self.progress_due(pod))
    }

    /// What another pod has said, of an attempt before mostly, counts for nothing.
    fn said(&self, pod: &PodFacts) -> Option<&'a Said> {
        self.around.observed.said.as_ref().filter(|said| said.pod == pod.uid)
    }

    fn is_news(&self, progress: &Progress) -> bool {
        !self.status.progress.as_ref().is_some_and(|written| reports::same(written, progress))
    }

    /// Work that is over within ten seconds is told of by its final write alone.
    fn progress_due(&self, pod: &PodFacts) -> Timestamp {
        let told = after(pod.started_from().unwrap_or(pod.age_from()), TOLD_AFTER);
        let written = self.status.progress.as_ref().and_then(|progress| progress.updated_at.as_ref());
        written.map_or(told, |written| after(written.0, PROGRESS_EVERY).max(told))
    }

    fn having(&self, said: &Said, progress: Option<&Progress>) -> Self {
        let progress = progress.filter(|progress| self.is_news(progress));
        let dated = progress.map(|progress| Progress { updated_at: Some(MicroTime(self.now)), ..progress.clone() });
        let status = TaskStatus {
            progress: dated.or_else(|| self.status.progress.clone()),
            reported_error: said.error.clone().or_else(|| self.status.reported_error.clone()),
            result_ref: said.result.clone().or_else(|| self.status.result_ref.clone()),
            ..self.status.clone()
        };
        Self { status, ..self.clone() }
    }
}
