//! An attempt that a Job and its one pod run, or a bare pod, which counts as its own Job. Only the pod tells how it ended; the
//! Job is there to be launched, and to be deleted with its pod.

use std::cmp::Reverse;

use jiff::Timestamp;

use super::clocks;
use super::ended::{Ended, job_may_tell_until};
use super::ending::{deletion, looked_at_by};
use super::facts::{JobFacts, Observed, PodFacts, Stuck, TOLD_AFTER, Unanswered, Why};
use super::id::AttemptId;
use super::needs::{Answered, Intent, Needs};
use super::reports::Reports;
use super::{Child, Deletion, Ending, Live, Ran, Stage, TimeLimits, ended, others};
use crate::Reason;
use crate::launch::names;
use crate::time::{after, earliest};
use task_manager_api::{Executor, Task, TaskStatus};

pub struct ByJob<'a> {
    pub(super) task: &'a Task,
    pub(super) status: &'a TaskStatus,
    pub(super) observed: &'a Observed,
    pub(super) now: Timestamp,
    /// The kind of object that it is launched as, by its slot; without a slot, by what bears its name.
    pub(super) kind: Child,
    /// The name of its Job or bare pod, whether that is there or not.
    pub(super) name: String,
    pub(super) job: Option<&'a JobFacts>,
    /// Where there are several: one that has not ended, and among those the first. Whoever makes another one in the
    /// Job's name comes later.
    pub(super) pod: Option<&'a PodFacts>,
}

/// The name of the present attempt's Job or bare pod.
pub fn job_name(task: &Task) -> String {
    names::job_of(task, task.status_or_default())
}

/// When its slot was given.
pub fn admitted_at(status: &TaskStatus) -> Timestamp {
    status.admitted_at.as_ref().map_or(Timestamp::MAX, |time| time.0)
}

impl<'a> ByJob<'a> {
    pub(super) fn of(task: &'a Task, executor: Executor, observed: &'a Observed, now: Timestamp) -> Self {
        let (name, status) = (job_name(task), task.status_or_default());
        let admitted_as = status.admitted.is_some().then(|| Child::of(executor));
        let is_of_kind = |job: &JobFacts| admitted_as.is_none_or(|kind| job.kind == kind);
        let named = observed.jobs.iter().filter(|job| job.name == name && is_of_kind(job));
        // A launch that came to nothing leaves its name to the next one.
        let job = named.max_by_key(|job| (!job.gone, job.created_at));
        let kind = admitted_as.or_else(|| Some(job?.kind)).unwrap_or(Child::of(executor));
        // Of a Job that nobody remembers, only the pod is believed whose name was written down while it was there.
        let is_believed = |pod: &PodFacts| match job {
            Some(job) => pod.is_owned_by(job),
            None => pod.job == name && status.worker.as_ref() == Some(&pod.name),
        };
        let pods = observed.pods.iter().filter(|pod| is_believed(pod));
        let first = |pod: &PodFacts| Reverse((pod.created_at, pod.uid.clone()));
        let stays = |pod: &PodFacts| (!pod.has_ended(), !pod.is_gone(), pod.due_gone_at.is_none());
        let pod = pods.max_by_key(|pod| (stays(pod), first(pod)));
        Self { task, status, observed, now, kind, name, job, pod }
    }

    pub(super) fn stage(&self, limits: TimeLimits) -> Stage {
        if let Some(ending) = self.ends_others() {
            return Stage::ToEnd(ending);
        }
        if let Some(why) = self.late_start(limits) {
            return self.too_late(why, limits.work);
        }
        match self.pod {
            Some(pod) => self.with_pod(pod, limits),
            None => self.without_pod(),
        }
    }

    /// Nothing is known of it: before anything follows from that, what else there is of the task ends.
    fn ends_others(&self) -> Option<Ending> {
        let is_unknown = self.job.is_none() && self.pod.is_none();
        is_unknown.then(|| others::ending(self.task, self.observed, self.now)).flatten()
    }

    fn with_pod(&self, pod: &PodFacts, limits: TimeLimits) -> Stage {
        let ended = ended::ended(pod, self.job, self.now);
        let is_tried_again = ended.as_ref().is_some_and(|ended| !ended.has_succeeded());
        if let Some(goes) = self.held_job_goes(pod).filter(|_| is_tried_again) {
            return goes;
        }
        if let Some(until) = job_may_tell_until(pod, self.job).filter(|until| *until > self.now) {
            return Stage::Unclear { until: Some(until) };
        }
        match ended {
            Some(ended) => Stage::Ended(self.overdue_before_it_began(pod, &ended).unwrap_or(ended)),
            None => self.live(pod, limits),
        }
    }

    /// A Job that somebody holds back would make another pod as soon as it is resumed: it goes before anything follows.
    fn held_job_goes(&self, pod: &PodFacts) -> Option<Stage> {
        self.job.filter(|job| job.is_held())?;
        Some(self.preempted(pod).unwrap_or_else(|| Stage::ToEnd(self.delete(Reason::Preempted))))
    }

    /// The pod is on its way or at work.
    fn live(&self, pod: &PodFacts, limits: TimeLimits) -> Stage {
        if let Some(due) = self.due(pod) {
            return due;
        }
        let (news, news_at) = if pod.has_begun() { running(pod) } else { self.starting(pod) };
        // A status that speaks of its end stays.
        let ends = pod.due_gone_at.is_some() || pod.work_ended() || !clocks::ends_by_its_timeout(pod);
        let news_at = news_at.filter(|_| !ends);
        let start = self.start_deadline(limits).filter(|_| !pod.has_begun());
        let lowered = clocks::lowered(pod).and_then(|_| clocks::to_be_lowered_at(pod));
        let beside = self.beside_ends_by(pod);
        let leaves = looked_at_by(pod, self.now);
        let again = self.looked_into_again(pod);
        let due = [clocks::overdue_at(pod), leaves, start, lowered, beside, again].map(|time| self.ahead(time));
        Stage::Live(Live { news, news_at, wake: earliest(due) })
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        match self.pod {
            Some(pod) => ended::ended(pod, self.job, self.now),
            None => self.job.and_then(super::without_pod::ended_unseen),
        }
    }

    pub(super) fn can_run_no_more(&self) -> bool {
        match self.pod {
            Some(pod) => {
                let is_held = self.job.is_some_and(JobFacts::is_held);
                !is_held && ended::ended(pod, self.job, self.now).is_some()
            }
            None => self.job.is_none_or(|job| !job.is_live()),
        }
    }

    /// One that is gone without a trace may have left its name in the status.
    pub(super) fn was_launched(&self) -> bool {
        let is_told = self.status.worker.is_some() || self.status.reason == Reason::Stopping;
        self.pod.is_some() || self.job.is_some() || is_told
    }

    pub(super) fn ran(&self) -> Option<Ran> {
        let pod = self.pod?;
        let work_from = pod.work.started_at().or(pod.asked.work_started_at);
        Some(Ran {
            pod: pod.name.clone(),
            node: pod.node.clone(),
            started_at: work_from.or(pod.started_at).filter(|_| pod.has_begun()),
            has_begun: pod.has_begun(),
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
        let is_present = |job: &JobFacts| (job.kind, &job.name) == (present.kind, &present.name);
        let leftover = jobs.find(|job| !job.gone && !job.deleting && !is_present(job))?;
        Some(deletion(leftover, why))
    }

    /// The watches are behind, each by its own delay: before the pod is taken to be gone, or the launch not to have
    /// taken place, the API server is asked. A launch may have been asked for and not answered, by us or by who led
    /// before.
    pub(super) fn needs(&self, answered: Answered, intent: Intent, gives_slot_back: impl FnOnce() -> bool) -> Needs {
        if !answered.pods && self.observed.lacks_the_pod_of(&self.name) {
            return Needs::PodsOf(self.name.clone());
        }
        if let Some(pod) = self.pod.filter(|pod| pod.went_unseen() && !answered.pod) {
            return Needs::Pod { name: pod.name.clone(), uid: pod.uid.clone() };
        }
        if let Some(node) = others::doubtful_node(self.observed, None, answered, self.now) {
            return Needs::Node(node.clone());
        }
        let seen = || self.observed.jobs.iter().filter(|job| (job.kind, &job.name) == (self.kind, &self.name));
        let is_named = || seen().next().is_none() && self.observed.pods.iter().any(|pod| pod.job == self.name);
        if !answered.launched && (is_named() || seen().all(|job| job.gone) && gives_slot_back()) {
            return Needs::Launched { kind: self.kind, name: self.name.clone() };
        }
        if answered.events {
            return Needs::Nothing;
        }
        if let Some(pod) = self.pod.filter(|pod| ended::may_have_been_killed(pod)) {
            return Needs::EventsOfEnd(pod.uid.clone());
        }
        self.asked_for_its_events(intent).map_or(Needs::Nothing, |uid| Needs::EventsOf(uid.into()))
    }

    /// The uid of whatever is stuck; or of a pod that is to be deleted because its work has not begun, for its status may
    /// hide that it has; or of one that is to be given up for want of a node, for one may be coming. Before either the events
    /// are read anew; else those of a pod that were read not long ago do.
    fn asked_for_its_events(&self, intent: Intent) -> Option<&str> {
        let is_late = self.is_past(self.start_deadline(intent.limits));
        let is_to_go =
            |pod: &&PodFacts| (intent.ends || is_late) && pod.node.is_some() && !pod.has_started() && !pod.has_ended();
        let wants_a_node = |pod: &&PodFacts| is_late && pod.node.is_none() && self.may_get_a_node(pod);
        let is_due = |pod: &PodFacts| pod.events.as_ref().is_none_or(|read| self.is_past(Some(read.due_at())));
        if let Some(pod) = self.pod.filter(|pod| is_to_go(pod) || wants_a_node(pod)) {
            return (pod.due_gone_at.is_none() || is_due(pod)).then_some(pod.uid.as_str());
        }
        match self.stuck()? {
            Stuck::PodNotStarted(pod) => is_due(pod).then_some(pod.uid.as_str()),
            job @ Stuck::JobWithoutPod(_) => Some(job.uid()),
        }
    }

    pub(super) fn stuck(&self) -> Option<Stuck<'a>> {
        self.observed.stuck(&self.name, admitted_at(self.status), self.now)
    }

    pub(super) fn is_past(&self, time: Option<Timestamp>) -> bool {
        time.is_some_and(|time| time <= self.now)
    }

    pub(super) fn ahead(&self, time: Option<Timestamp>) -> Option<Timestamp> {
        time.filter(|time| *time > self.now)
    }
}

fn at_work_from(pod: &PodFacts) -> Timestamp {
    let begun = if pod.has_started() { pod.work_from() } else { pod.asked.work_started_at };
    begun.or(pod.started_from()).unwrap_or(pod.age_from())
}

/// Part of the message of work whose node went silent.
pub const NODE_IS_SILENT: &str = ", which does not answer since ";

/// A run longer than ten seconds is written once: its pod and when it started. Anything shorter is in the final write alone.
/// That its node went silent, or is back, is written too.
fn running(pod: &PodFacts) -> (Why, Option<Timestamp>) {
    let node = pod.node.as_deref().unwrap_or("its node");
    let silent = pod.node_silent_since.map(|since| format!("{NODE_IS_SILENT}{since}")).unwrap_or_default();
    (Why::new(Reason::Running, format!("on {node}{silent}")), Some(after(at_work_from(pod), TOLD_AFTER)))
}
