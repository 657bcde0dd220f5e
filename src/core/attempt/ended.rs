//! How an attempt ended, by its pod and by its Job. `verdict` says what follows from that.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::facts::{JobEnd, JobFacts, Phase, PodFacts, Work};
use crate::Reason;
use crate::telling::text;
use crate::time::after;

/// A pod that is still there so long after it should be gone is given up: its node does not answer.
pub const LOST_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// The longest result that a task keeps: the kubelet's own limit on a termination message, of which it reads the end …
pub const RESULT_BYTES: usize = 4096;
/// … and on those of a whole pod: the first so many bytes of each are kept, in equal shares.
const RESULT_BYTES_OF_A_POD: usize = 3 * RESULT_BYTES;

/// A pod that somebody deleted, and that says nothing of its end, waits so long for what its Job says.
const JOB_TELLS_WITHIN: SignedDuration = SignedDuration::from_secs(5);

/// How an attempt ended, before anyone judges it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    pub reason: Reason,
    pub message: String,
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
        .or_else(|| disrupted(pod))
        .or_else(|| lost(pod))
        .or_else(|| refused_by_node(pod))
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

fn is_lost(pod: &PodFacts, now: Timestamp) -> bool {
    pod.gone_by().is_some_and(|due| now > after(due, LOST_AFTER))
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
        Self { reason, message, exit_code: None, at: None, reported: None, left: None }
    }

    fn new(pod: &PodFacts, reason: Reason, message: impl Into<String>) -> Self {
        let (exit_code, at, left) = match &pod.work {
            Work::Ended { exit_code, at, left } => (Some(*exit_code), *at, left.clone()),
            _ => (None, None, None),
        };
        Self { reason, message: message.into(), exit_code, at, reported: None, left }
    }
}

fn out_of_memory(pod: &PodFacts) -> Option<Ended> {
    let container = pod.out_of_memory.as_ref()?;
    Some(Ended::new(
        pod,
        Reason::OOMKilled,
        format!("container {container} was killed for using more memory than its limit"),
    ))
}

/// Exit 0 is success, whatever happened to the pod around it; only that a container of it was killed for its use of
/// memory goes before: what the work left may be half done.
fn success(pod: &PodFacts) -> Option<Ended> {
    let exited_well = matches!(pod.work, Work::Ended { exit_code: 0, .. });
    let succeeded_unseen = pod.phase == Phase::Succeeded && pod.work == Work::NotStarted;
    (exited_well || succeeded_unseen).then(|| Ended::new(pod, Reason::Succeeded, "the work ended with exit code 0"))
}

/// Nothing of it has run, and trying again would not help.
fn not_startable(pod: &PodFacts) -> Option<Ended> {
    let why = pod.not_startable.as_ref()?;
    Some(Ended::new(pod, Reason::ContainerConfig, why))
}

fn overdue(pod: &PodFacts) -> Option<Ended> {
    let by_kubelet = pod.reason.as_deref() == Some("DeadlineExceeded");
    // Ours to end when the kubelet did not: see `by_job`.
    let by_us =
        pod.deleted_at.zip(due_to_end(pod)).is_some_and(|(deleted, due)| deleted >= due) && !ended_by_itself(pod);
    let seconds = pod.timeout_seconds.unwrap_or_default();
    (by_kubelet || by_us)
        .then(|| Ended::new(pod, Reason::Timeout, format!("ran longer than its timeout of {seconds} s")))
}

/// When the attempt's timeout runs out.
pub fn due_to_end(pod: &PodFacts) -> Option<Timestamp> {
    Some(after(pod.started_at?, SignedDuration::from_secs(pod.timeout_seconds?)))
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

/// The kubelet ended the pod, or would not take it.
fn refused_by_node(pod: &PodFacts) -> Option<Ended> {
    let word = pod.reason.as_deref()?;
    let message = format!("{word}: {}", pod.message.as_deref().unwrap_or_default());
    match word {
        "Evicted" => Some(Ended::new(pod, Reason::DiskLimit, message)),
        _ if pod.phase == Phase::Failed && !pod.has_started() => Some(Ended::new(pod, Reason::Evicted, message)),
        "Terminated" | "NodeShutdown" | "Preempting" | "Shutdown" => Some(Ended::new(pod, Reason::Evicted, message)),
        _ => None,
    }
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
    let (container, code) = pod.failed_init.as_ref().filter(|_| pod.deleted_at.is_none())?;
    let message = format!("init container {container} ended with exit code {code}");
    Some(Ended { exit_code: Some(*code), ..Ended::new(pod, Reason::ExitCode, message) })
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

/// Reads the result file: JSON, else text; and whether it was cut off, in a pod of so many containers.
pub fn result(left: &str, containers: usize) -> (Value, bool) {
    if let Ok(value) = serde_json::from_str(left) {
        return (value, false);
    }
    let room = RESULT_BYTES.min(RESULT_BYTES_OF_A_POD / containers.max(1));
    (Value::String(left.trim_end_matches('\n').to_owned()), left.len() >= room)
}

#[cfg(test)]
mod tests;
