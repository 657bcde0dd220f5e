//! How an attempt ended, by its pod and by its Job. `verdict` says what follows from that.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::clocks;
use super::ending::suspended_while_it_ran;
use super::facts::container::OutOfMemory;
use super::facts::{JobEnd, JobFacts, Phase, PodFacts, Why, Work};
use super::permanence::{is_permanent, is_refused_everywhere};
use crate::Reason;
use crate::telling::text;
use crate::time::after;

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
}

/// `{"error": {"type": …, "message": …, "retryable": …}}` in the result file, or the same said over HTTP.
pub use task_manager_api::ReportedError as Reported;

/// How the pod ended, if it has: the same for every executor, from the pod and never from the Job's own
/// conditions.
pub fn ended(pod: &PodFacts, job: Option<&JobFacts>, now: Timestamp) -> Option<Ended> {
    if !pod.has_ended() && !is_lost(pod, now) {
        return None;
    }
    Some(says_itself(pod).unwrap_or_else(|| silent(pod, job)))
}

/// The end as the pod itself tells it.
fn says_itself(pod: &PodFacts) -> Option<Ended> {
    out_of_memory(pod)
        .or_else(|| success(pod))
        .or_else(|| not_startable(pod))
        .or_else(|| overdue(pod))
        .or_else(|| cut_short(pod))
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
    (job_is_silent && pod.has_ended() && says_itself(pod).is_none()).then(|| after(deleted, JOB_TELLS_WITHIN))
}

/// It should long be gone.
pub fn is_long_due(pod: &PodFacts, now: Timestamp) -> bool {
    pod.gone_by().is_some_and(|due| now > after(due, LOST_AFTER))
}

/// A node that answers is only slow to end it: while it pulls an image, or waits for a hook, it does not even try.
fn is_lost(pod: &PodFacts, now: Timestamp) -> bool {
    is_long_due(pod, now) && pod.asked.node_answers != Some(true)
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
        let message = if said.is_empty() { self.message } else { said };
        Self { reason: Reason::ReportedError, message, reported: Some(reported.clone()), ..self }
    }

    /// Nothing is there any longer that could say more.
    pub(super) fn unseen(reason: Reason, message: String) -> Self {
        Self { reason, message, permanent: false, exit_code: None, at: None, reported: None, left: None }
    }

    /// Its work never started.
    pub(super) fn not_started(Why { reason, message }: Why) -> Self {
        Self { permanent: is_permanent(reason, &message), ..Self::unseen(reason, message) }
    }

    fn new(pod: &PodFacts, reason: Reason, message: impl Into<String>) -> Self {
        let (exit_code, at, left) = match &pod.work {
            Work::Ended { exit_code, at, left, .. } => (Some(*exit_code), *at, left.clone()),
            _ => (None, None, None),
        };
        Self { reason, message: message.into(), permanent: false, exit_code, at, reported: None, left }
    }
}

fn out_of_memory(pod: &PodFacts) -> Option<Ended> {
    let OutOfMemory { container, limit } = pod.out_of_memory.as_ref()?;
    let limit = limit.as_ref().map(|limit| format!(" of {limit}")).unwrap_or_default();
    let message = format!("container {container} was killed for using more memory than its limit{limit}");
    Some(Ended::new(pod, Reason::OOMKilled, message))
}

/// Exit 0 is success, whatever happened to the pod around it; only that the work was killed for its use of memory, or a
/// part of it, goes before: what it left may be half done.
fn success(pod: &PodFacts) -> Option<Ended> {
    let exited_well = matches!(pod.work, Work::Ended { exit_code: 0, .. });
    let succeeded_unseen = pod.phase == Phase::Succeeded && pod.work == Work::NotStarted;
    (exited_well || succeeded_unseen).then(|| Ended::new(pod, Reason::Succeeded, "the work ended with exit code 0"))
}

/// Nothing of it has run, and trying again would not help.
fn not_startable(pod: &PodFacts) -> Option<Ended> {
    let why = pod.not_startable.as_ref()?;
    Some(Ended { permanent: true, ..Ended::new(pod, Reason::ContainerConfig, why) })
}

/// It was ended by its deadline, or by us because that did not end it. `DeadlineExceeded` alone proves nothing: the kubelet
/// says so of work, too, that had ended before. The stamps of the kubelet tell.
fn overdue(pod: &PodFacts) -> Option<Ended> {
    if !clocks::ends_by_its_timeout(pod) || !pod.has_started() {
        return None;
    }
    let by_kubelet = match &pod.work {
        Work::Ended { at: Some(at), .. } => clocks::outlasted_deadline(pod, *at),
        _ => false,
    };
    let by_us = pod.deleted_at.zip(clocks::due_to_end(pod)).is_some_and(|(deleted, due)| deleted >= due);
    if !by_kubelet && (!by_us || ended_by_itself(pod)) {
        return None;
    }
    let message = match (pod.timeout_seconds, pod.ended_for, pod.deadline_seconds) {
        (None, None, Some(seconds)) => format!("ran longer than its timeout of {seconds} s"),
        (Some(timeout), None, Some(seconds)) if by_kubelet && !outran(pod, timeout) => {
            format!("its pod was ended {seconds} s after its start, the time to start and the timeout together")
        }
        (timeout, ..) => format!("ran longer than its timeout of {} s", timeout.unwrap_or_default()),
    };
    Some(Ended::new(pod, Reason::Timeout, message))
}

fn outran(pod: &PodFacts, timeout: i64) -> bool {
    let Work::Ended { started_at: Some(start), at: Some(end), .. } = &pod.work else { return true };
    end.duration_since(*start).as_secs() >= timeout
}

/// We ended it for a reason that is not its own, and nobody wants that any longer: it counts as no failure of its.
fn cut_short(pod: &PodFacts) -> Option<Ended> {
    let ended_before = matches!(pod.work, Work::Ended { at: Some(at), .. } if !clocks::outlasted_deadline(pod, at));
    let why = pod.ended_for.filter(|why| !matches!(why, Reason::Timeout | Reason::Stopping) && !ended_before)?;
    Some(Ended::new(pod, why, "its pod was ended before its work was done"))
}

fn disrupted(pod: &PodFacts) -> Option<Ended> {
    let (by, message) = pod.disruption.as_ref()?;
    let reason = match by.as_str() {
        "PreemptionByScheduler" => Reason::Preempted,
        "DeletionByTaintManager" | "DeletionByPodGC" => Reason::NodeLost,
        _ => Reason::Evicted,
    };
    Some(Ended::new(pod, reason, format!("{by}: {message}")))
}

fn lost(pod: &PodFacts) -> Option<Ended> {
    let node = pod.node.as_deref().unwrap_or("no node");
    let unanswered = !pod.has_ended() || pod.reason.as_deref() == Some("NodeLost");
    unanswered.then(|| {
        Ended::new(
            pod,
            Reason::NodeLost,
            format!("the pod on {node} should be gone and is not: its node does not answer"),
        )
    })
}

/// The kubelet would not take it: it has made no container, and says why.
fn rejected(pod: &PodFacts) -> Option<Ended> {
    let word = pod.reason.as_deref().filter(|word| *word != "DeadlineExceeded")?;
    if pod.phase != Phase::Failed || !pod.is_bare || pod.started_at.is_none() {
        return None;
    }
    let said = pod.message.as_deref().unwrap_or_default();
    let message = format!("{word}: {}", said.strip_prefix("Pod was rejected: ").unwrap_or(said));
    let permanent = is_refused_everywhere(word);
    Some(Ended { permanent, ..Ended::new(pod, Reason::RejectedByNode, message) })
}

/// The kubelet ended it.
fn ended_by_node(pod: &PodFacts) -> Option<Ended> {
    let word = pod.reason.as_deref()?;
    let reason = match word {
        "Evicted" => Reason::DiskLimit,
        "Terminated" | "NodeShutdown" | "Preempting" | "Shutdown" => Reason::Evicted,
        _ => return None,
    };
    Some(Ended::new(pod, reason, format!("{word}: {}", pod.message.as_deref().unwrap_or_default())))
}

/// Exit codes that a deletion leaves: the work was ended by SIGTERM or SIGKILL.
const SIGNALLED: [i32; 2] = [143, 137];

/// Its work ended before anybody asked for the pod's deletion. Where it is not known when that was, the exit
/// code of a signal is taken for the deletion's.
fn ended_by_itself(pod: &PodFacts) -> bool {
    let Work::Ended { at, exit_code, .. } = &pod.work else { return false };
    if pod.without_grace && SIGNALLED.contains(exit_code) {
        return false;
    }
    pod.deleted_at.zip(*at).is_none_or(|(deleted, ended)| ended < deleted)
}

/// The work ended by itself. A signal that followed somebody's deletion of the pod is told by `silent`.
fn exited(pod: &PodFacts) -> Option<Ended> {
    let Work::Ended { exit_code, left, .. } = &pod.work else { return None };
    if !ended_by_itself(pod) {
        return None;
    }
    let plain = format!("the work ended with exit code {exit_code}");
    let Some(reported) = left.as_deref().and_then(reported) else {
        let message = left.as_deref().map_or(plain.clone(), |left| format!("{plain}: {}", brief(left)));
        return Some(Ended::new(pod, Reason::ExitCode, message));
    };
    Some(Ended::new(pod, Reason::ExitCode, plain).with_report(&reported))
}

fn failed_init(pod: &PodFacts) -> Option<Ended> {
    let failed = pod.failed_init.as_ref().filter(|_| pod.deleted_at.is_none())?;
    let message = format!("init container {} ended with exit code {}", failed.container, failed.exit_code);
    Some(Ended { exit_code: Some(failed.exit_code), at: failed.at, ..Ended::new(pod, Reason::ExitCode, message) })
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
        Some(job) if job.gone || job.deleting => {
            Ended::new(pod, Reason::JobDeleted, format!("somebody deleted the Job {}", job.name))
        }
        _ => Ended::new(pod, Reason::PodDeleted, format!("somebody deleted the pod {}", pod.name)),
    }
}

fn reported(left: &str) -> Option<Reported> {
    let left: Value = serde_json::from_str(left).ok()?;
    let error = left.get("error")?.as_object()?;
    let text = |key: &str| error.get(key).and_then(Value::as_str).map(str::to_owned);
    Some(Reported {
        type_: text("type"),
        message: text("message"),
        retryable: error.get("retryable").and_then(Value::as_bool),
    })
}

const BRIEF: usize = 200;

/// The last line. Where it begins in the middle of a character, the kubelet has cut off what came before.
fn brief(left: &str) -> String {
    let line = left.trim().lines().next_back().unwrap_or_default();
    text::cut(line.trim_start_matches('\u{fffd}'), BRIEF)
}

#[cfg(test)]
mod tests;
