//! An attempt that a Job and its one pod run. Only the pod tells how it ended; the Job is there to be launched, and to be
//! deleted with its pod.

use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};

use super::ended::{Ended, LOST_AFTER, job_may_tell_until};
use super::facts::{JobFacts, Observed, PodFacts, TOLD_AFTER, Unanswered, Why};
use super::id::AttemptId;
use super::needs::{Answered, Needs};
use super::reports::Reports;
use super::{Child, Deletion, Ending, Live, Ran, Stage, ended, others};
use crate::Reason;
use crate::launch::names;
use crate::time::{after, earliest};
use task_manager_api::{Task, TaskStatus};

/// A pod that runs so long past its timeout is ended by us: its kubelet did not do it.
const OVERDUE_AFTER: SignedDuration = SignedDuration::from_secs(60);

pub struct ByJob<'a> {
    pub(super) task: &'a Task,
    pub(super) status: &'a TaskStatus,
    pub(super) observed: &'a Observed,
    pub(super) now: Timestamp,
    /// The name of its Job, whether that is there or not.
    pub(super) name: String,
    pub(super) job: Option<&'a JobFacts>,
    /// Where there are several: one that has not ended, and among those the first. Whoever makes another one in the
    /// Job's name comes later.
    pub(super) pod: Option<&'a PodFacts>,
}

/// The name of the present attempt's Job.
pub fn job_name(task: &Task) -> String {
    names::job_of(task, task.status_or_default())
}

impl<'a> ByJob<'a> {
    pub(super) fn of(task: &'a Task, observed: &'a Observed, now: Timestamp) -> Self {
        let (name, status) = (job_name(task), task.status_or_default());
        // A launch that came to nothing leaves its name to the next one.
        let job = observed.jobs.iter().filter(|job| job.name == name).max_by_key(|job| (!job.gone, job.created_at));
        // Of a Job that nobody remembers, only the pod is believed whose name was written down while it was there.
        let is_believed = |pod: &PodFacts| match job {
            Some(job) => pod.is_owned_by(job),
            None => pod.job == name && status.worker.as_ref() == Some(&pod.name),
        };
        let pods = observed.pods.iter().filter(|pod| is_believed(pod));
        let first = |pod: &PodFacts| Reverse((pod.created_at, pod.uid.clone()));
        let stays = |pod: &PodFacts| (!pod.has_ended(), !pod.is_gone(), pod.due_gone_at.is_none());
        let pod = pods.max_by_key(|pod| (stays(pod), first(pod)));
        Self { task, status, observed, now, name, job, pod }
    }

    pub(super) fn stage(&self, start_within: i64) -> Stage {
        if let Some(ending) = self.ends_others() {
            return Stage::ToEnd(ending);
        }
        if let Some(why) = self.late_start(start_within) {
            return self.too_late(why);
        }
        match self.pod {
            Some(pod) => self.with_pod(pod, start_within),
            None => self.without_pod(),
        }
    }

    /// Nothing is known of it: before anything follows from that, what else there is of the task ends.
    fn ends_others(&self) -> Option<Ending> {
        let is_unknown = self.job.is_none() && self.pod.is_none();
        is_unknown.then(|| others::ending(self.task, self.observed, self.now)).flatten()
    }

    fn with_pod(&self, pod: &PodFacts, start_within: i64) -> Stage {
        if let Some(until) = job_may_tell_until(pod, self.job).filter(|until| *until > self.now) {
            return Stage::Unclear { until: Some(until) };
        }
        match ended::ended(pod, self.job, self.now) {
            Some(ended) => Stage::Ended(self.overdue_before_it_began(pod, &ended).unwrap_or(ended)),
            None => self.live(pod, start_within),
        }
    }

    /// The pod is on its way or at work.
    fn live(&self, pod: &PodFacts, start_within: i64) -> Stage {
        let overdue = overdue_at(pod);
        if self.is_past(overdue) && pod.due_gone_at.is_none() {
            return Stage::ToEnd(delete_pod(Some(pod), Reason::Timeout));
        }
        let lost = pod.gone_by().map(just_lost);
        let (news, news_at) = if pod.has_started() { running(pod) } else { self.starting(pod) };
        let start = self.start_deadline(start_within).filter(|_| !pod.has_started());
        Stage::Live(Live { news, news_at, wake: earliest([overdue, lost, start].map(|time| self.ahead(time))) })
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        match self.pod {
            Some(pod) => ended::ended(pod, self.job, self.now),
            None => self.job.and_then(super::without_pod::ended_unseen),
        }
    }

    pub(super) fn can_run_no_more(&self) -> bool {
        match self.pod {
            Some(pod) => ended::ended(pod, self.job, self.now).is_some(),
            None => self.job.is_none_or(|job| !job.is_live()),
        }
    }

    /// Deletes its Job, or what that leaves, or waits until all is gone.
    pub(super) fn stop(&self, why: Reason) -> Ending {
        match self.job {
            Some(job) if !job.gone && !job.deleting => Ending::Delete(deletion(job, why)),
            _ => delete_pod(self.pod, why),
        }
    }

    /// One that is gone without a trace may have left its name in the status.
    pub(super) fn was_launched(&self) -> bool {
        let is_told = self.status.worker.is_some() || self.status.reason == Reason::Stopping;
        self.pod.is_some() || self.job.is_some() || is_told
    }

    pub(super) fn ran(&self) -> Option<Ran> {
        let pod = self.pod?;
        Some(Ran {
            pod: pod.name.clone(),
            node: pod.node.clone(),
            started_at: pod.started_at,
            has_begun: pod.has_started(),
            containers: pod.containers,
        })
    }

    pub(super) fn at_work_from(&self) -> Option<Timestamp> {
        self.pod.map(at_work_from)
    }

    pub(super) fn reports(&self) -> Option<&'a Reports> {
        let (reports, pod) = (self.observed.reports.as_ref()?, self.pod?);
        (reports.pod == pod.uid && reports.attempt == AttemptId::of(self.task)).then_some(reports)
    }

    pub(super) fn launch_refused(&self) -> Option<&'a Why> {
        self.observed.refused.as_ref()
    }

    pub(super) fn launch_unanswered(&self) -> Option<&'a Unanswered> {
        self.observed.unanswered.as_ref()
    }

    pub(super) fn leftover(&self, why: Reason) -> Option<Deletion> {
        let present = self.job.filter(|job| !job.gone)?;
        let mut jobs = self.observed.jobs.iter();
        let leftover = jobs.find(|job| !job.gone && !job.deleting && job.name != present.name)?;
        Some(deletion(leftover, why))
    }

    /// The watches are behind, each by its own delay: before the pod is taken to be gone, or the launch not to have
    /// taken place, the API server is asked. A launch may have been asked for and not answered, by us or by who led
    /// before.
    pub(super) fn needs(&self, answered: Answered, gives_slot_back: impl FnOnce() -> bool) -> Needs {
        if !answered.pods && self.observed.lacks_the_pod_of(&self.name) {
            return Needs::PodsOf(self.name.clone());
        }
        if let Some(pod) = self.pod.filter(|pod| pod.went_unseen() && !answered.pod) {
            return Needs::Pod { name: pod.name.clone(), uid: pod.uid.clone() };
        }
        let seen = || self.observed.jobs.iter().filter(|job| job.name == self.name);
        let is_named = || seen().next().is_none() && self.observed.pods.iter().any(|pod| pod.job == self.name);
        if !answered.job && (is_named() || seen().all(|job| job.gone) && gives_slot_back()) {
            return Needs::Job(self.name.clone());
        }
        match self.observed.stuck(&self.name, self.now) {
            Some(stuck) if !answered.events => Needs::EventsOf(stuck.uid().into()),
            _ => Needs::Nothing,
        }
    }

    pub(super) fn is_past(&self, time: Option<Timestamp>) -> bool {
        time.is_some_and(|time| time <= self.now)
    }

    fn ahead(&self, time: Option<Timestamp>) -> Option<Timestamp> {
        time.filter(|time| *time > self.now)
    }
}

pub(super) fn deletion(job: &JobFacts, why: Reason) -> Deletion {
    Deletion { child: Child::Job, name: job.name.clone(), uid: job.uid.clone(), why }
}

pub(super) fn delete_pod(pod: Option<&PodFacts>, why: Reason) -> Ending {
    match pod {
        Some(pod) if !pod.is_gone() && pod.due_gone_at.is_none() => {
            Ending::Delete(Deletion { child: Child::Pod, name: pod.name.clone(), uid: pod.uid.clone(), why })
        }
        pod => Ending::Wait { until: pod.and_then(PodFacts::gone_by).map(just_lost) },
    }
}

/// The first moment at which a pod that should be gone counts as lost.
fn just_lost(due: Timestamp) -> Timestamp {
    after(due, LOST_AFTER + SignedDuration::from_secs(1))
}

/// When it should long have been ended for its timeout.
fn overdue_at(pod: &PodFacts) -> Option<Timestamp> {
    let timeout = SignedDuration::from_secs(pod.timeout_seconds?);
    Some(after(after(pod.started_from()?, timeout), OVERDUE_AFTER))
}

fn at_work_from(pod: &PodFacts) -> Timestamp {
    pod.started_from().unwrap_or(pod.age_from())
}

/// A run longer than ten seconds is written once: its pod and when it started. Anything shorter is in the final write alone.
fn running(pod: &PodFacts) -> (Why, Option<Timestamp>) {
    let node = pod.node.as_deref().unwrap_or("its node");
    (Why::new(Reason::Running, format!("on {node}")), Some(after(at_work_from(pod), TOLD_AFTER)))
}
