//! How an attempt ended, by its pod and by its Job. `verdict` says what follows from that.

mod by_whom;
mod cluster;
mod helpers;
mod left;
mod overdue;

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};

use super::Child;
use super::ending::suspended_while_it_ran;
use super::facts::{JobEnd, JobFacts, NodeState, Phase, PodFacts, Why, Work};
use super::permanence::is_permanent;
use crate::Reason;
use crate::telling::conditions;
use crate::time::after;
use by_whom::{SIGNALLED, by_others};
use cluster::{disrupted, ended_by_node, lost, rejected};
use overdue::{cut_short, overdue};

pub(super) use overdue::{is_lost_past_its_deadline, overdue_before_its_work};

/// A pod that is still there so long after it should be gone is given up: its node does not answer.
pub const LOST_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// A pod that somebody deleted, and that says nothing of its end, waits so long for what its Job says.
const JOB_TELLS_WITHIN: SignedDuration = SignedDuration::from_secs(5);

/// How an attempt ended, before anyone judges it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    pub reason: Reason,
    pub message: String,
    /// No other try would help, whatever the reason is in general.
    pub permanent: bool,
    pub exit_code: Option<i32>,
    pub at: Option<Timestamp>,
    /// The work's own report of its error.
    pub reported: Option<Reported>,
    /// The content of the result file.
    pub left: Option<String>,
    /// What ended the work, where it did not end by itself, as part of a sentence. Its own words go before that.
    pub ended_by: Option<String>,
    /// Helpers that failed before the work did, or for which the pod counts as failed.
    pub helpers: Option<String>,
    /// The work's own container ran out of memory: with more of it another try may end well.
    pub lacks_memory: bool,
}

/// `{"error": {"type": …, "message": …, "retryable": …}}` in the result file, or the same said over HTTP.
pub use task_manager_api::ReportedError as Reported;

/// How the pod ended, if it has: the same for every executor, from the pod and never from the Job's own
/// conditions.
pub fn ended(pod: &PodFacts, job: Option<&JobFacts>, now: Timestamp) -> Option<Ended> {
    if !pod.has_ended() && !is_lost(pod, now) {
        return None;
    }
    Some(judged(pod, job))
}

/// The pod of a warm worker as it is judged: the worker has ended with its container, though the kubelet has not told the pod's end
/// yet, or another container goes on.
pub fn as_worker(pod: &PodFacts) -> Cow<'_, PodFacts> {
    if pod.work_ended() && !pod.has_ended() {
        return Cow::Owned(PodFacts { phase: Phase::Failed, ..pod.clone() });
    }
    Cow::Borrowed(pod)
}

/// How it ends, should it be over now.
pub(super) fn judged(pod: &PodFacts, job: Option<&JobFacts>) -> Ended {
    says_itself(pod, job).unwrap_or_else(|| silent(pod, job))
}

/// The end as the pod itself tells it.
fn says_itself(pod: &PodFacts, job: Option<&JobFacts>) -> Option<Ended> {
    out_of_memory(pod)
        .or_else(|| success(pod, job))
        .or_else(|| not_startable(pod))
        .or_else(|| overdue(pod, job))
        .or_else(|| cut_short(pod))
        .or_else(|| exited_before_others_acted(pod))
        .or_else(|| disrupted(pod))
        .or_else(|| lost(pod))
        .or_else(|| rejected(pod))
        .or_else(|| ended_by_node(pod))
        .or_else(|| exited(pod))
        .or_else(|| failed_init(pod))
}

/// Until when the Job of a pod that was deleted and says nothing of its end may still tell: that it counted the
/// pod as succeeded, or that it was deleted itself. Two watches keep no common time.
pub fn job_may_tell_until(pod: &PodFacts, job: Option<&JobFacts>) -> Option<Timestamp> {
    let deleted = pod.gone_at.or_else(|| pod.gone_by())?;
    let job_is_silent = job.is_some_and(|job| job.is_live() && !job.deleting);
    (job_is_silent && pod.has_ended() && says_itself(pod, job).is_none()).then(|| after(deleted, JOB_TELLS_WITHIN))
}

/// It should long be gone.
pub fn is_long_due(pod: &PodFacts, now: Timestamp) -> bool {
    pod.gone_by().is_some_and(|due| now > after(due, LOST_AFTER))
}

/// A node that answers is only slow to end it: while it pulls an image, or waits for a hook, it does not even try.
fn is_lost(pod: &PodFacts, now: Timestamp) -> bool {
    let may_run = match pod.asked.node {
        NodeState::Answers => true,
        // Without a node nothing runs.
        NodeState::NotAsked => pod.node.is_some(),
        NodeState::NotKnown | NodeState::Silent => false,
    };
    is_long_due(pod, now) && !may_run
}

impl Ended {
    pub fn has_succeeded(&self) -> bool {
        matches!(self.reason, Reason::Succeeded | Reason::ResultLost)
    }

    /// The work said why it fails. That counts where it ended by itself: of a kill for its use of memory it knows
    /// nothing, and exit code 0 is success whatever it said.
    pub fn with_report(self, reported: &Reported) -> Self {
        if !matches!(self.reason, Reason::ExitCode | Reason::ReportedError) {
            return self;
        }
        let said = [reported.type_.as_deref(), reported.message.as_deref()].into_iter().flatten();
        let said = said.collect::<Vec<_>>().join(": ");
        let message = match (said.is_empty(), &self.ended_by) {
            (true, _) => self.message,
            (false, Some(by)) => conditions::followed(&said, &format!("it ended after {by}")),
            (false, None) => said,
        };
        Self { reason: Reason::ReportedError, message, reported: Some(reported.clone()), ..self }
    }

    /// Its message, and what else belongs to it.
    pub fn told(&self) -> String {
        match &self.helpers {
            Some(helpers) => conditions::followed(&self.message, helpers),
            None => self.message.clone(),
        }
    }

    /// Nothing is there any longer that could say more.
    pub fn unseen(reason: Reason, message: String) -> Self {
        Self {
            reason,
            message,
            permanent: false,
            exit_code: None,
            at: None,
            reported: None,
            left: None,
            ended_by: None,
            helpers: None,
            lacks_memory: false,
        }
    }

    /// Its work never started.
    pub(super) fn not_started(Why { reason, message }: Why) -> Self {
        Self { permanent: is_permanent(reason, &message), ..Self::unseen(reason, message) }
    }

    /// It was given up when this limit was reached. Where no other try helps, no limit matters.
    pub(super) fn given_up_at(self, limit: &str) -> Self {
        let message = if self.permanent { self.message } else { conditions::followed(&self.message, limit) };
        Self { message, ..self }
    }

    fn new(pod: &PodFacts, reason: Reason, message: impl Into<String>) -> Self {
        let (exit_code, at, left) = match &pod.work {
            Work::Ended { exit_code, at, left, .. } => (Some(*exit_code), *at, left.clone()),
            _ => (None, None, None),
        };
        Self { exit_code, at, left, ..Self::unseen(reason, message.into()) }
    }
}

fn out_of_memory(pod: &PodFacts) -> Option<Ended> {
    let killed = pod.out_of_memory.as_ref()?;
    let lacks_memory = pod.container.as_ref() == Some(&killed.container);
    Some(Ended { lacks_memory, ..Ended::new(pod, Reason::OOMKilled, killed.told()) })
}

/// Exit 0 is success, whatever happened to the pod around it; only that the work was killed for its use of memory, or a
/// part of it, goes before: what it left may be half done. Who ended it is told.
fn success(pod: &PodFacts, job: Option<&JobFacts>) -> Option<Ended> {
    let exited_well = matches!(pod.work, Work::Ended { exit_code: 0, .. });
    let succeeded_unseen = pod.phase == Phase::Succeeded && pod.work == Work::NotStarted;
    if !exited_well && !succeeded_unseen {
        return None;
    }
    let ended_by = by_others(pod, job).or_else(|| pod.asked.killed_for.clone());
    let message = ended_by.as_ref().map(|by| format!("the work ended with 0 after {by}")).unwrap_or_default();
    let helpers = helpers::for_which_it_failed(pod, ended_by.is_some());
    Some(Ended { ended_by, helpers, ..Ended::new(pod, Reason::Succeeded, message) })
}

/// Nothing of it has run, and trying again would not help.
fn not_startable(pod: &PodFacts) -> Option<Ended> {
    let why = pod.not_startable.as_ref()?;
    Some(Ended { permanent: true, ..Ended::new(pod, Reason::ContainerConfig, why) })
}

/// Deletions are stamped by the API server's clock, ends by the node's. They differ by milliseconds where both are kept by
/// NTP, and by seconds where one is not. A signal that came so shortly before a deletion was most likely sent for it, and
/// what was lost to the cluster must not count as a failure of the work.
const CLOCKS_DIFFER_BY: SignedDuration = SignedDuration::from_secs(5);

/// Its work ended before anybody evicted the pod or asked for its deletion. Where it is not known when that was, the exit
/// code of a signal is taken for the deletion's.
pub(super) fn ended_by_itself(pod: &PodFacts) -> bool {
    let Work::Ended { at, exit_code, .. } = &pod.work else { return false };
    let was_signalled = SIGNALLED.contains(exit_code);
    if pod.without_grace && was_signalled {
        return false;
    }
    let allowed = if was_signalled { CLOCKS_DIFFER_BY } else { SignedDuration::ZERO };
    others_acted_at(pod).zip(*at).is_none_or(|(acted, ended)| after(ended, allowed) < acted)
}

/// When the cluster or a person first acted against the pod.
fn others_acted_at(pod: &PodFacts) -> Option<Timestamp> {
    pod.disrupted_at.into_iter().chain(pod.deleted_at).min()
}

/// The work had ended when its pod was evicted, or deleted from a node that went silent: helpers beside it kept the pod.
fn exited_before_others_acted(pod: &PodFacts) -> Option<Ended> {
    others_acted_at(pod)?;
    let Work::Ended { at: Some(_), .. } = pod.work else { return None };
    exited(pod)
}

/// The work ended by itself, or its kubelet ended it for a probe or a hook. A signal that followed somebody's deletion of
/// the pod is told by `silent`.
fn exited(pod: &PodFacts) -> Option<Ended> {
    let Work::Ended { exit_code, left, .. } = &pod.work else { return None };
    if !ended_by_itself(pod) {
        return None;
    }
    let ended_by = pod.asked.killed_for.clone();
    let after = ended_by.as_ref().map(|by| format!(" after {by}")).unwrap_or_default();
    let plain = format!("the work ended with exit code {exit_code}{after}");
    let ended = Ended { ended_by, helpers: helpers::that_failed_before(pod), ..Ended::new(pod, Reason::ExitCode, "") };
    let Some(reported) = left.as_deref().and_then(left::reported) else {
        let gap = if after.is_empty() { ": " } else { "; its last words: " };
        let message = left.as_deref().map_or(plain.clone(), |left| format!("{plain}{gap}{}", left::brief(left)));
        return Some(Ended { message, ..ended });
    };
    Some(Ended { message: plain, ..ended }.with_report(&reported))
}

/// Its kubelet may have ended the work for a probe or a hook: its events tell.
pub(super) fn may_have_been_killed(pod: &PodFacts) -> bool {
    let Work::Ended { started_at, at, .. } = &pod.work else { return false };
    // Stamps are of whole seconds.
    let ran = started_at.zip(*at).map(|(start, end)| end.duration_since(start).as_secs().saturating_add(1));
    let has_run_for = |seconds| ran.is_none_or(|ran| ran >= seconds);
    let is_open = pod.has_ended() && ended_by_itself(pod) && pod.out_of_memory.is_none();
    is_open && pod.may_be_killed_after.is_some_and(has_run_for) && by_others(pod, None).is_none()
}

fn failed_init(pod: &PodFacts) -> Option<Ended> {
    let failed = pod.failed_init.as_ref().filter(|_| pod.deleted_at.is_none())?;
    let message = format!("init container {} ended with exit code {}", failed.container, failed.exit_code);
    Some(Ended { exit_code: Some(failed.exit_code), at: failed.at, ..Ended::new(pod, Reason::ExitCode, message) })
}

/// The reason where it was not us.
fn deleted_as(job: &JobFacts) -> Reason {
    match job.kind {
        Child::Job => Reason::JobDeleted,
        Child::Pod => Reason::PodDeleted,
    }
}

/// The message where it was not us.
pub(super) fn job_deleted(job: &JobFacts) -> String {
    format!("somebody deleted the {} {}", job.kind.word(), job.name)
}

/// The message for work that succeeded and whose pod nobody could ask.
pub fn result_lost(job: &str) -> String {
    format!("the Job {job} succeeded, but its pod was gone before the result could be read")
}

/// The pod says nothing of its end.
fn silent(pod: &PodFacts, job: Option<&JobFacts>) -> Ended {
    match job {
        Some(JobFacts { finished: Some(JobEnd { succeeded: true, .. }), name, .. }) if pod.is_gone() => {
            Ended::new(pod, Reason::ResultLost, result_lost(name))
        }
        Some(job) if job.suspended => Ended::new(pod, Reason::Preempted, suspended_while_it_ran(job)),
        _ if !pod.is_gone() && pod.deleted_at.is_none() => {
            Ended::new(pod, Reason::NodeLost, format!("the pod {} failed, and its node does not say why", pod.name))
        }
        Some(job) if job.gone || job.deleting => Ended::new(pod, deleted_as(job), job_deleted(job)),
        _ => Ended::new(pod, Reason::PodDeleted, format!("somebody deleted the pod {}", pod.name)),
    }
}

#[cfg(test)]
mod tests;
