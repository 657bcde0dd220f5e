//! The transitions of a task's status. Each returns the whole status that is to be written.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::limits;
use super::look::Look;
use crate::attempt::Ran;
use crate::attempt::backoff;
use crate::attempt::ended::Ended;
use crate::attempt::facts::Why;
use crate::attempt::id::{next_attempt, run_began};
use crate::attempt::result::LeftResult;
use crate::attempt::verdict::Verdict;
use crate::telling::conditions;
use crate::telling::conditions::Explanation;
use crate::{ParsedType, Policy, Reason};
use task_manager_api::exact::Fault;
use task_manager_api::{Admitted, AttemptOutcome, AttemptRecord, State, Task, TaskStatus};

/// How many ended attempts a status keeps.
pub(super) const ATTEMPTS_KEPT: usize = 10;

/// The result of admission for one task.
#[derive(Clone, Debug, PartialEq)]
pub struct Admission {
    /// Its arrival where the status names none: such a task has no other place in the order.
    pub arrival: u64,
    pub holds: Admitted,
    /// The pod of the worker that is to run it, where one is.
    pub worker: Option<String>,
}

/// Puts state, reason, message and conditions into `status`: the end of every transition.
pub(super) fn saying(mut status: TaskStatus, task: &Task, state: State, why: &Why, now: Timestamp) -> TaskStatus {
    let message = conditions::shortened(&why.message);
    let said = Explanation { state, reason: why.reason, message: &message };
    status.conditions = conditions::of_task(&said, &status.conditions, now);
    status.observed_generation = task.metadata.generation.unwrap_or_default();
    status.run_id.get_or_insert_with(|| task.spec.run_id.clone());
    status.state = state;
    status.reason = why.reason;
    status.message = Some(message).filter(|message| !message.is_empty());
    status
}

/// The status that admits a task: written before anything is launched, so that a stop in between leaves a
/// trace of the slot, never a pod that nobody counts.
pub fn admitted(task: &Task, kind: &ParsedType, admission: &Admission, now: Timestamp) -> TaskStatus {
    let before = next_attempt(task, admission.arrival);
    let status = TaskStatus {
        priority: Some(Policy::of(&task.spec, Some(&kind.spec)).priority),
        queued_at: Some(MicroTime(run_began(task, &before))),
        admitted: Some(admission.holds.clone()),
        admitted_at: Some(MicroTime(now)),
        started_at: None,
        next_attempt_at: None,
        worker: admission.worker.clone(),
        progress: None,
        reported_error: None,
        result_ref: None,
        ..before
    };
    saying(status, task, State::Processing, &Why::new(Reason::Admitted, ""), now)
}

impl Look<'_> {
    /// It waits, for `why`.
    pub(super) fn waiting(&self, why: &Why) -> TaskStatus {
        let status = TaskStatus {
            priority: Some(self.policy.priority),
            arrival: Some(self.status.arrival.clone().unwrap_or_else(|| self.input.first_seen.to_string())),
            queued_at: Some(MicroTime(self.queued_at())),
            ..self.status.clone()
        };
        saying(status, self.task, State::Queued, why, self.now)
    }

    /// It holds its slot, and this is what its attempt is about.
    pub(super) fn processing(&self, why: &Why, ran: Option<&Ran>) -> TaskStatus {
        let status = TaskStatus {
            started_at: self.started_at(ran.filter(|ran| ran.has_begun)),
            worker: self.worker(ran),
            ..self.status.clone()
        };
        saying(status, self.task, State::Processing, why, self.now)
    }

    /// Its namespace is being deleted. What it holds it keeps until it is gone.
    pub(super) fn in_terminating_namespace(&self) -> TaskStatus {
        let message = "its namespace is being deleted, so nothing of it is begun or tried again";
        let why = Why::new(Reason::NamespaceTerminating, message);
        if self.status.state == State::Processing { self.processing(&why, None) } else { self.waiting(&why) }
    }

    fn started_at(&self, ran: Option<&Ran>) -> Option<MicroTime> {
        ran.and_then(|ran| ran.started_at).map(MicroTime).or_else(|| self.status.started_at.clone())
    }

    fn worker(&self, ran: Option<&Ran>) -> Option<String> {
        ran.map(|ran| ran.pod.clone()).or_else(|| self.status.worker.clone())
    }

    pub(super) fn cancelled(&self, why: &Why) -> TaskStatus {
        self.finished(State::Cancelled, why)
    }

    pub(super) fn failed(&self, why: &Why) -> TaskStatus {
        self.finished(State::Failed, why)
    }

    /// It is final, for `why`.
    pub(super) fn finished(&self, state: State, why: &Why) -> TaskStatus {
        let status = TaskStatus {
            priority: Some(self.policy.priority),
            queued_at: Some(MicroTime(self.queued_at())),
            finished_at: Some(MicroTime(self.now)),
            admitted: None,
            next_attempt_at: None,
            reported_error: None,
            result_ref: self.status.result_ref.clone().filter(|_| state == State::Completed),
            ..self.status.clone()
        };
        saying(status, self.task, state, why, self.now)
    }

    /// A new run: everything starts anew, and arrival is when it was seen, however long the one before took to end.
    pub(super) fn new_run(&self) -> TaskStatus {
        let status = TaskStatus {
            run_id: Some(self.task.spec.run_id.clone()),
            priority: Some(self.policy.priority),
            arrival: Some(self.input.first_seen.to_string()),
            queued_at: Some(MicroTime(self.now)),
            conditions: self.status.conditions.clone(),
            ..TaskStatus::default()
        };
        saying(status, self.task, State::Queued, &Why::new(Reason::Queued, ""), self.now)
    }

    /// It holds nothing any longer.
    pub(super) fn slotless(&self) -> TaskStatus {
        TaskStatus {
            admitted: None,
            started_at: None,
            worker: None,
            progress: None,
            reported_error: None,
            result_ref: None,
            ..self.status.clone()
        }
    }

    /// The present attempt ended, and `verdict` is what follows.
    pub(super) fn attempt_ended(&self, ended: &Ended, verdict: Verdict, ran: Option<&Ran>) -> TaskStatus {
        let look = Self { status: self.counted(ended, verdict, ran), ..self.clone() };
        let status = &look.status;
        let why = Why::new(ended.reason, ended.told());
        match verdict {
            Verdict::Succeeded => look.completed(ended, &why, ran),
            Verdict::FailedForGood => look.failed_after_all(&explained(&why, "not tried again")),
            Verdict::Failed if status.failures > self.policy.retry.limit => {
                look.failed_after_all(&explained(&why, &limits::failed_too_often(status)))
            }
            Verdict::Disrupted if status.disruptions > self.policy.retry.disruption_limit => {
                let told = limits::disrupted_too_often(status, self.policy.retry.disruption_limit);
                look.failed(&explained(&why, &told))
            }
            Verdict::Failed => look.retrying(&why, status.failures),
            Verdict::Disrupted => look.retrying(&why, status.disruptions),
        }
    }

    /// The status with the ended attempt on its list and counted once.
    fn counted(&self, ended: &Ended, verdict: Verdict, ran: Option<&Ran>) -> TaskStatus {
        let (outcome, failures, disruptions) = match verdict {
            Verdict::Succeeded => (AttemptOutcome::Succeeded, 0, 0),
            Verdict::Disrupted => (AttemptOutcome::Disrupted, 0, 1),
            Verdict::Failed | Verdict::FailedForGood => (AttemptOutcome::Failed, 1, 0),
        };
        TaskStatus {
            failures: self.status.failures.saturating_add(failures),
            disruptions: self.status.disruptions.saturating_add(disruptions),
            oom_kills: self.status.oom_kills.saturating_add(i32::from(ended.lacks_memory)),
            given_back: 0,
            last_given_back: None,
            attempts: self.attempts_with(ended, outcome, verdict == Verdict::FailedForGood, ran),
            worker: self.worker(ran),
            started_at: self.started_at(ran),
            ..self.status.clone()
        }
    }

    /// The attempt was ended, in whatever way, because somebody asked for it.
    pub(super) fn attempt_stopped(&self, why: &Why, ended: Option<&Ended>, ran: Option<&Ran>) -> Vec<AttemptRecord> {
        let ended = Ended {
            exit_code: ended.and_then(|ended| ended.exit_code),
            at: ended.and_then(|ended| ended.at),
            ..Ended::unseen(why.reason, why.message.clone())
        };
        self.attempts_with(&ended, AttemptOutcome::Cancelled, false, ran)
    }

    fn attempts_with(
        &self,
        ended: &Ended,
        outcome: AttemptOutcome,
        permanent: bool,
        ran: Option<&Ran>,
    ) -> Vec<AttemptRecord> {
        let record = AttemptRecord {
            number: self.status.attempt,
            started_at: self.started_at(ran),
            finished_at: Some(MicroTime(ended.at.unwrap_or(self.now))),
            outcome,
            reason: ended.reason,
            message: (outcome != AttemptOutcome::Succeeded).then(|| conditions::shortened(&ended.told())),
            exit_code: ended.exit_code,
            permanent,
            pod: self.worker(ran),
            node: ran.and_then(|ran| ran.node.clone()),
        };
        let mut attempts = self.status.attempts.clone();
        attempts.push(record);
        attempts.split_off(attempts.len().saturating_sub(ATTEMPTS_KEPT))
    }

    fn completed(&self, ended: &Ended, why: &Why, ran: Option<&Ran>) -> TaskStatus {
        // A result that was handed over over HTTP goes before the result file.
        let left = ended.left.as_deref().filter(|_| self.status.result_ref.is_none());
        let left = left.map(|left| LeftResult::of(left, ran.map_or(1, |ran| ran.containers)));
        let remark = left.as_ref().and_then(LeftResult::remark);
        let remarks = [Some(why.message.clone()), remark, self.doubt_of_payload()].into_iter().flatten();
        let message = remarks.filter(|remark| !remark.is_empty()).collect::<Vec<_>>().join("; ");
        TaskStatus {
            result_truncated: left.as_ref().is_some_and(|left| left.truncated),
            result_as_text: left.as_ref().is_some_and(|left| left.as_text.is_some()),
            result: left.map(|left| left.value),
            ..self.finished(State::Completed, &Why::new(why.reason, message))
        }
    }

    /// A number of the payload that may not be the one that was written: the end of the task tells of it.
    fn doubt_of_payload(&self) -> Option<String> {
        let fault = self.task.spec.payload.as_ref()?.fault()?;
        matches!(fault, Fault::MayBeRounded { .. }).then(|| fault.to_string())
    }

    /// It failed for good after an attempt.
    fn failed_after_all(&self, why: &Why) -> TaskStatus {
        match self.doubt_of_payload() {
            Some(doubt) => self.failed(&explained(why, &doubt)),
            None => self.failed(why),
        }
    }

    fn retrying(&self, why: &Why, times: i32) -> TaskStatus {
        let pause = backoff::pause(&self.policy.retry, times, self.uid(), self.status.attempt);
        // A node refuses a pod within a second: short pauses of the policy would make a storm of pods.
        let least = if why.reason == Reason::RejectedByNode { backoff::after_refusals(times) } else { pause };
        let pause = pause.max(least);
        let seconds = pause.as_secs_f64().round();
        let status = TaskStatus { next_attempt_at: Some(MicroTime(self.now + pause)), ..self.slotless() };
        let message = format!("attempt {}: {}: {}", self.status.attempt, why.reason, why.message);
        let why = explained(&Why::new(Reason::WaitingForRetry, message), &format!("tried again after {seconds} s"));
        saying(status, self.task, State::Queued, &why, self.now)
    }
}

pub(super) fn explained(why: &Why, how: &str) -> Why {
    Why::new(why.reason, conditions::followed(&why.message, how))
}
