//! A container that takes long to start: the status says what it waits for, and past its time the attempt is given up.

use jiff::{SignedDuration, Timestamp};

use super::by_job::ByJob;
use super::ended::Ended;
use super::facts::{PodFacts, TOLD_AFTER, Why};
use super::{Live, Stage, ended};
use crate::Reason;
use crate::time::after;

impl ByJob<'_> {
    /// When it must have started.
    pub(super) fn start_deadline(&self, start_within: i64) -> Option<Timestamp> {
        let admitted = self.status.admitted_at.as_ref()?.0;
        Some(after(admitted, SignedDuration::from_secs(start_within)))
    }

    /// The timeout counts from the pod's start on its node: where it is shorter than the time to start, it ends a pod
    /// whose container was never made. The attempt then failed for what the container waited for.
    pub(super) fn overdue_before_it_began(&self, pod: &PodFacts, ended: &Ended) -> Option<Ended> {
        if ended.reason != Reason::Timeout || pod.has_started() {
            return None;
        }
        let why = pod.waiting.clone().or_else(|| self.start_trouble_told())?;
        (why.reason != Reason::Unschedulable).then(|| Ended::unseen(why.reason, why.message))
    }

    /// Why the container has not started though its time to start is over: by the pod's status, else by what was written
    /// before, for a pod that is being deleted may say nothing of it any longer.
    pub(super) fn late_start(&self, start_within: i64) -> Option<Why> {
        if !self.is_past(self.start_deadline(start_within)) {
            return None;
        }
        let Some(pod) = self.pod else { return self.start_trouble_told() };
        if pod.disruption.is_some() {
            return None;
        }
        if pod.has_started() {
            return self.start_trouble_told().filter(|_| self.is_ended_by_giving_up(pod));
        }
        let unexplained =
            || Why::new(Reason::ContainerConfig, format!("its container was not made within {start_within} s"));
        let waits = pod.waiting.clone().or_else(|| self.start_trouble_told()).or_else(|| self.waits_for(pod));
        match pod.has_ended() {
            true => waits,
            false => Some(waits.unwrap_or_else(unexplained)),
        }
    }

    /// The work began just as it was given up, and was ended by that. What it says of its end itself goes before.
    fn is_ended_by_giving_up(&self, pod: &PodFacts) -> bool {
        let says_who_deleted_it = |ended: Ended| matches!(ended.reason, Reason::JobDeleted | Reason::PodDeleted);
        self.job.is_none_or(|job| job.gone || job.deleting)
            && ended::ended(pod, self.job, self.now).is_none_or(says_who_deleted_it)
    }

    /// The reason for a slow start that stands in the status.
    fn start_trouble_told(&self) -> Option<Why> {
        let reason = self.status.reason;
        let is_told = matches!(reason, Reason::ImageUnavailable | Reason::ContainerConfig | Reason::Unschedulable);
        is_told.then(|| Why::new(reason, self.status.message.clone().unwrap_or_default()))
    }

    /// Why a container has not started, by the pod's status or by its events.
    fn waits_for(&self, pod: &PodFacts) -> Option<Why> {
        pod.waiting.clone().or_else(|| self.observed.explained.clone())
    }

    /// It did not start in time. That is told first, then the Job goes; and then the task goes back to the queue, where
    /// no node had room, or fails for good, where trying again would not help.
    pub(super) fn too_late(&self, why: Why) -> Stage {
        let is_there = self.job.is_some_and(|job| !job.gone) || !self.can_run_no_more();
        match (is_there, self.start_trouble_told()) {
            (true, Some(_)) => Stage::ToEnd(self.stop(why.reason)),
            (true, None) => Stage::Live(Live { news: why, news_at: Some(self.now), wake: None }),
            (false, _) if why.reason == Reason::Unschedulable => Stage::NotPlaced(why),
            (false, _) => Stage::Ended(Ended::unseen(why.reason, why.message)),
        }
    }

    /// A start that takes longer than ten seconds is written with what it waits for. An image that cannot be pulled
    /// alternates between two wordings under one reason: the first one is told.
    pub(super) fn starting(&self, pod: &PodFacts) -> (Why, Option<Timestamp>) {
        let tell_at = self.status.admitted_at.as_ref().map(|time| after(time.0, TOLD_AFTER));
        let why = self.waits_for(pod);
        (why.unwrap_or_else(|| Why::new(Reason::Starting, "its container is being made")), tell_at)
    }
}
