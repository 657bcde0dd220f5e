//! How an attempt is ended. A pod whose work has begun is ended by its deadline: the kubelet keeps the grace period, the
//! log and the termination message. Any other is deleted with its Job.

use jiff::{SignedDuration, Timestamp};

use super::by_job::ByJob;
use super::clocks;
use super::ended::LOST_AFTER;
use super::facts::container::Beside;
use super::facts::{JobFacts, PodFacts, Why, Work};
use super::{Child, Deletion, Ending, Live, PodEnd, Stage};
use crate::Reason;
use crate::time::after;

/// Containers beside the work have so long to end once it has ended.
pub(super) const BESIDE_ENDS_WITHIN: SignedDuration = SignedDuration::from_secs(10);
/// A pod that should be gone, and whose node answers, is looked at again after so long.
const LOOKED_AT_AGAIN: SignedDuration = SignedDuration::from_secs(30);

impl ByJob<'_> {
    /// The next step of ending it, for `why`.
    pub(super) fn stop(&self, why: Reason) -> Ending {
        let pod = self.pod.filter(|pod| self.ends_by_its_deadline(pod));
        pod.and_then(|pod| self.by_its_deadline(pod, why)).unwrap_or_else(|| self.delete(why))
    }

    /// Deletes its Job, or what that leaves, or waits until all is gone.
    pub(super) fn delete(&self, why: Reason) -> Ending {
        match self.job {
            Some(job) if !job.gone && !job.deleting => Ending::Delete(deletion(job, why)),
            _ => delete_pod(self.pod, why, self.now),
        }
    }

    /// Its work has begun, and nobody deletes it.
    fn ends_by_its_deadline(&self, pod: &PodFacts) -> bool {
        let is_deleted = pod.due_gone_at.is_some() || self.job.is_some_and(|job| job.gone || job.deleting);
        pod.has_begun() && pod.started_at.is_some() && !pod.has_ended() && !is_deleted && !pod.asked.end_refused
    }

    /// `None` where the kubelet has had its time. Work that is over is judged by its own end, whatever the rest ends for.
    fn by_its_deadline(&self, pod: &PodFacts, why: Reason) -> Option<Ending> {
        let overdue = clocks::overdue_at(pod);
        let is_asked =
            clocks::ended_for(pod).is_some() && pod.deadline_seconds == Some(clocks::AT_ONCE) || ends_anyhow(pod);
        let why = if pod.work_ended() { Reason::Stopping } else { why };
        match is_asked {
            false => Some(Ending::EndPod(end_at(pod, clocks::AT_ONCE, why))),
            true if self.is_past(overdue) => None,
            true => Some(Ending::Wait { until: overdue }),
        }
    }

    /// The next step for a pod that nobody wants to end and that has not ended, where one is due.
    pub(super) fn due(&self, pod: &PodFacts) -> Option<Stage> {
        if let Some(preempted) = self.preempted(pod) {
            return Some(preempted);
        }
        if pod.due_gone_at.is_some() {
            return None;
        }
        if self.is_past(clocks::overdue_at(pod)) {
            return Some(Stage::ToEnd(self.delete(clocks::ended_for(pod).unwrap_or(Reason::Timeout))));
        }
        if !self.ends_by_its_deadline(pod) {
            return self.work_is_over(pod);
        }
        let is_due = clocks::ends_by_its_timeout(pod) && self.is_past(clocks::to_be_lowered_at(pod));
        match clocks::lowered(pod).filter(|_| is_due) {
            Some(seconds) => Some(Stage::ToEnd(Ending::EndPod(end_at(pod, seconds, Reason::Timeout)))),
            None => self.work_is_over(pod),
        }
    }

    /// Its work has ended, and other containers have not: they are ended with the pod. That is told first. A pod that its
    /// deadline ends anyhow keeps the reason for that.
    fn work_is_over(&self, pod: &PodFacts) -> Option<Stage> {
        let Work::Ended { exit_code, .. } = &pod.work else { return None };
        if pod.beside.is_empty() || ends_anyhow(pod) || !self.is_past(self.beside_ends_by(pod)) {
            return None;
        }
        let news = Why::new(Reason::Stopping, still_there(*exit_code, &pod.beside));
        Some(match self.status.reason {
            Reason::Stopping => Stage::ToEnd(self.stop(Reason::Stopping)),
            _ => Stage::Live(Live { news, news_at: Some(self.now), wake: None }),
        })
    }

    pub(super) fn beside_ends_by(&self, pod: &PodFacts) -> Option<Timestamp> {
        pod.work_ended_from().filter(|_| !pod.beside.is_empty()).map(|ended| after(ended, BESIDE_ENDS_WITHIN))
    }

    /// Somebody suspended its Job while its pod was there. Resumed, it would make another pod: so it goes, once it is told
    /// why.
    pub(super) fn preempted(&self, pod: &PodFacts) -> Option<Stage> {
        let job = self.job.filter(|job| job.is_held() && (pod.due_gone_at.is_some() || pod.is_gone()))?;
        let news = Why::new(Reason::Preempted, suspended_while_it_ran(job));
        Some(match self.status.reason {
            Reason::Preempted => Stage::ToEnd(self.delete(Reason::Preempted)),
            _ => Stage::Live(Live { news, news_at: Some(self.now), wake: None }),
        })
    }
}

/// Also what is told of it when nothing else is left.
pub(super) fn suspended_while_it_ran(job: &JobFacts) -> String {
    format!("somebody suspended the Job {} while its pod was there", job.name)
}

/// Its deadline has ended its work, and ends the rest.
fn ends_anyhow(pod: &PodFacts) -> bool {
    matches!(pod.work, Work::Ended { at: Some(at), .. } if clocks::outlasted_deadline(pod, at))
}

fn still_there(exit_code: i32, beside: &[Beside]) -> String {
    let names = |runs: bool| {
        let names: Vec<_> = beside.iter().filter(|one| one.runs == runs).map(|one| one.container.as_str()).collect();
        (names.len(), names.join(", "))
    };
    let what = match (names(true), names(false)) {
        ((0, _), (1, one)) => format!("container {one} has not started"),
        ((0, _), (_, all)) => format!("containers {all} have not started"),
        ((1, one), _) => format!("container {one} still runs"),
        ((_, all), _) => format!("containers {all} still run"),
    };
    format!("the work ended with {exit_code}, {what}")
}

fn end_at(pod: &PodFacts, seconds: i64, ended_for: Reason) -> PodEnd {
    PodEnd { name: pod.name.clone(), uid: pod.uid.clone(), seconds, ended_for }
}

pub(super) fn deletion(job: &JobFacts, why: Reason) -> Deletion {
    Deletion { child: job.kind, name: job.name.clone(), uid: job.uid.clone(), why }
}

pub(super) fn delete_pod(pod: Option<&PodFacts>, why: Reason, now: Timestamp) -> Ending {
    match pod {
        Some(pod) if !pod.is_gone() && pod.due_gone_at.is_none() => {
            Ending::Delete(Deletion { child: Child::Pod, name: pod.name.clone(), uid: pod.uid.clone(), why })
        }
        pod => Ending::Wait { until: pod.and_then(|pod| looked_at_by(pod, now)) },
    }
}

/// When a pod that is being deleted is looked at again: when it counts as lost, and then again and again while its node
/// answers.
pub(super) fn looked_at_by(pod: &PodFacts, now: Timestamp) -> Option<Timestamp> {
    let lost = after(pod.gone_by()?, LOST_AFTER + SignedDuration::from_secs(1));
    Some(if lost > now { lost } else { after(now, LOOKED_AT_AGAIN) })
}
