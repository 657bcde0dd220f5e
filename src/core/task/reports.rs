//! The work's reports on their way into the task's status. Errors, and that a result is stored, must outlive us and are
//! written at once; progress now and then, for each write costs the API server more than it tells.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::look::Look;
use crate::attempt::Attempt;
use crate::attempt::facts::TOLD_AFTER;
use crate::attempt::reports::{Reports, same};
use crate::time::after;
use task_manager_api::{Progress, TaskStatus};

/// Progress is written so often at most; that of warm workers, of which there are many and whose beats come often, more seldom.
const PROGRESS_EVERY: SignedDuration = SignedDuration::from_secs(10);
const PROGRESS_OF_WORKERS_EVERY: SignedDuration = SignedDuration::from_secs(30);

impl Look<'_> {
    /// With what the attempt has reported, as far as it is due to be written.
    pub(super) fn with_due_reports(&self, attempt: &Attempt) -> Self {
        let Some(reports) = attempt.reports() else { return self.clone() };
        let is_due = self.is_past(self.progress_due(attempt));
        self.having(reports, reports.progress.as_ref().filter(|_| is_due))
    }

    /// The same when nothing follows any longer: the last progress too.
    pub(super) fn with_last_reports(&self, attempt: &Attempt) -> Self {
        attempt.reports().map_or_else(|| self.clone(), |reports| self.having(reports, reports.progress.as_ref()))
    }

    /// When the latest progress is to be written; `None` where it is written.
    pub(super) fn reports_due(&self, attempt: &Attempt) -> Option<Timestamp> {
        let progress = attempt.reports()?.progress.as_ref()?;
        self.progress_due(attempt).filter(|_| self.is_news(progress))
    }

    fn is_news(&self, progress: &Progress) -> bool {
        !self.status.progress.as_ref().is_some_and(|written| same(written, progress))
    }

    /// The progress of work that is over within ten seconds is written with its end alone.
    fn progress_due(&self, attempt: &Attempt) -> Option<Timestamp> {
        let told = after(attempt.at_work_from()?, TOLD_AFTER);
        let written = self.status.progress.as_ref().and_then(|progress| progress.updated_at.as_ref());
        let every = if attempt.is_by_worker() { PROGRESS_OF_WORKERS_EVERY } else { PROGRESS_EVERY };
        Some(written.map_or(told, |written| after(written.0, every).max(told)))
    }

    fn having(&self, reports: &Reports, progress: Option<&Progress>) -> Self {
        let progress = progress.filter(|progress| self.is_news(progress));
        let dated = progress.map(|progress| Progress { updated_at: Some(MicroTime(self.now)), ..progress.clone() });
        let status = TaskStatus {
            progress: dated.or_else(|| self.status.progress.clone()),
            reported_error: reports.error.clone().or_else(|| self.status.reported_error.clone()),
            result_ref: reports.result.clone().or_else(|| self.status.result_ref.clone()),
            ..self.status.clone()
        };
        Self { status, ..self.clone() }
    }
}
