//! An attempt of which no pod is seen: not launched yet, its pod still to come, or all of it gone.

use jiff::SignedDuration;

use super::by_job::ByJob;
use super::ended::{Ended, job_deleted, result_lost};
use super::facts::{GIVEN_BACK_AFTER, JobFacts, TOLD_AFTER, Why};
use super::{Child, Live, Stage};
use crate::Reason;
use crate::telling::conditions;
use crate::time::after;

/// How long a finished Job's pod may be unseen before it is taken to be gone: two watches keep no common time.
const POD_UNSEEN_FOR: SignedDuration = SignedDuration::from_secs(5);

impl ByJob<'_> {
    pub(super) fn without_pod(&self) -> Stage {
        match self.job {
            None if self.status.reason == Reason::Preempted => Stage::Ended(self.preempted_unseen()),
            None if self.status.started_at.is_some() => {
                // It ran, as the status says, and nothing of it is left.
                Stage::Ended(self.all_gone())
            }
            None => Stage::NotLaunched,
            Some(job) if job.gone || job.deleting => self.job_gone(job),
            Some(job) => match (job.finished_from().map(|end| after(end, POD_UNSEEN_FOR)), ended_unseen(job)) {
                (Some(unseen), Some(_)) if unseen > self.now => Stage::Unclear { until: Some(unseen) },
                (_, Some(ended)) => Stage::Ended(ended),
                (_, None) => self.no_pod_yet(job),
            },
        }
    }

    fn all_gone(&self) -> Ended {
        match self.kind {
            Child::Job => Ended::unseen(Reason::JobDeleted, format!("the Job {} and its pod are gone", self.name)),
            Child::Pod => Ended::unseen(Reason::PodDeleted, format!("the pod {} is gone", self.name)),
        }
    }

    /// The Job is gone and no pod of it was seen: by our hand, because no pod came; or by somebody else's.
    fn job_gone(&self, job: &JobFacts) -> Stage {
        if !job.gone {
            return Stage::Unclear { until: None };
        }
        if self.status.reason == Reason::Preempted {
            return Stage::Ended(self.preempted_unseen());
        }
        let was_given_up = self.is_past(Some(after(job.age_from(), GIVEN_BACK_AFTER)));
        match self.missing_pod_told() {
            Some(why) if was_given_up => Stage::NeverLaunched(why),
            _ => Stage::Ended(Ended::unseen(Reason::JobDeleted, job_deleted(job))),
        }
    }

    /// It was suspended while it ran, as the status says, and nothing of it is left.
    fn preempted_unseen(&self) -> Ended {
        Ended::unseen(Reason::Preempted, conditions::without_hold_up(self.status))
    }

    /// The reason for which the pod is missing, as it was written to the status before the Job was given up.
    fn missing_pod_told(&self) -> Option<Why> {
        let reason = self.status.reason;
        let is_told = matches!(reason, Reason::PodNotCreated | Reason::QuotaExceeded | Reason::LaunchRefused);
        is_told.then(|| Why::new(reason, conditions::without_hold_up(self.status)))
    }

    /// A Job whose pod has not appeared: looked into, told, and in the end given up with nothing counted.
    fn no_pod_yet(&self, job: &JobFacts) -> Stage {
        let tell_at = after(job.pod_due_from(), TOLD_AFTER);
        if job.suspended {
            let news = Why::new(Reason::JobSuspended, format!("somebody else suspended the Job {}", job.name));
            return Stage::Live(Live { news, news_at: Some(tell_at), wake: None });
        }
        let give_up_at = after(job.pod_due_from(), GIVEN_BACK_AFTER);
        let found = self.observed.explained.clone();
        let news =
            found.unwrap_or_else(|| Why::new(Reason::PodNotCreated, format!("the Job {} has no pod yet", job.name)));
        let is_told = self.missing_pod_told().is_some_and(|told| told.reason == news.reason);
        if is_told && self.is_past(Some(give_up_at)) {
            return Stage::ToEnd(self.delete(news.reason));
        }
        let wake = Some(give_up_at).filter(|give_up| self.now >= tell_at && *give_up > self.now);
        Stage::Live(Live { news, news_at: Some(tell_at), wake })
    }
}

/// How a finished Job ended whose pod is gone.
pub(super) fn ended_unseen(job: &JobFacts) -> Option<Ended> {
    let name = &job.name;
    Some(match job.finished?.succeeded {
        true => Ended::unseen(Reason::ResultLost, result_lost(name)),
        false => Ended::unseen(Reason::PodDeleted, format!("the pod of the Job {name} is gone")),
    })
}
