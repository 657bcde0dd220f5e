//! The transitions of a task's status. Each returns the whole status that is to be written.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::{View, queued_at};
use crate::attempt::backoff;
use crate::attempt::ended;
use crate::attempt::ended::{Ended, Verdict};
use crate::attempt::facts::{PodFacts, Why};
use crate::telling::conditions;
use crate::telling::conditions::Explanation;
use crate::{ParsedType, Policy, Reason};
use task_manager_api::{Admitted, AttemptOutcome, AttemptRecord, State, Task, TaskStatus};

/// How many ended attempts a status keeps.
const ATTEMPTS_KEPT: usize = 10;
const RESULT_CUT: &str = "the result filled all the room there was (4096 bytes, less in a pod of many containers), so only a \
    part of it may be kept, as text: hand over a longer one with PUT /worker/v1/result";

/// What admission found out about a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Admission {
    pub arrival: u64,
    pub holds: Admitted,
}

/// Puts state, reason, message and conditions into `status`: the end of every transition.
fn saying(mut status: TaskStatus, task: &Task, state: State, why: &Why, now: Timestamp) -> TaskStatus {
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

pub(super) fn because(reason: Reason, message: impl Into<String>) -> Why {
    Why { reason, message: message.into() }
}

pub(super) fn admitted(task: &Task, kind: &ParsedType, admission: &Admission, now: Timestamp) -> TaskStatus {
    let before = next_attempt(task, admission.arrival);
    let status = TaskStatus {
        priority: Some(Policy::of(&task.spec, Some(&kind.spec)).priority),
        queued_at: Some(MicroTime(queued_at(task, &before))),
        admitted: Some(admission.holds.clone()),
        admitted_at: Some(MicroTime(now)),
        started_at: None,
        next_attempt_at: None,
        worker: None,
        progress: None,
        reported_error: None,
        result_ref: None,
        ..before
    };
    saying(status, task, State::Processing, &because(Reason::Admitted, ""), now)
}

/// The status with the number of the attempt to come. That, the run and its arrival are what its Job is named by.
pub(super) fn next_attempt(task: &Task, arrival: u64) -> TaskStatus {
    let status = task.status.clone().unwrap_or_default();
    TaskStatus {
        attempt: status.attempt.saturating_add(1),
        arrival: status.arrival.or_else(|| Some(arrival.to_string())),
        ..status
    }
}

impl View<'_> {
    /// It waits, for `why`.
    pub(super) fn waiting(&self, why: &Why) -> TaskStatus {
        let status = TaskStatus {
            priority: Some(self.policy.priority),
            arrival: Some(self.status.arrival.clone().unwrap_or_else(|| self.around.first_seen.to_string())),
            queued_at: Some(MicroTime(self.queued_at())),
            ..self.status.clone()
        };
        saying(status, self.task, State::Queued, why, self.now)
    }

    /// It holds its slot, and this is what its pod is about.
    pub(super) fn processing(&self, why: &Why, pod: Option<&PodFacts>) -> TaskStatus {
        let started = pod.filter(|pod| pod.has_started());
        let status = TaskStatus {
            started_at: started
                .and_then(|pod| pod.started_at)
                .map(MicroTime)
                .or_else(|| self.status.started_at.clone()),
            worker: pod.map(|pod| pod.name.clone()).or_else(|| self.status.worker.clone()),
            ..self.status.clone()
        };
        saying(status, self.task, State::Processing, why, self.now)
    }

    /// It is final, with `why` as its last word.
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
            arrival: Some(self.around.first_seen.to_string()),
            queued_at: Some(MicroTime(self.now)),
            conditions: self.status.conditions.clone(),
            ..TaskStatus::default()
        };
        saying(status, self.task, State::Queued, &because(Reason::Queued, ""), self.now)
    }

    /// What was admitted is no more what would be launched: it is admitted anew.
    pub(super) fn readmitted(&self, why: &Why) -> TaskStatus {
        let status = TaskStatus { next_attempt_at: Some(MicroTime(self.now)), ..self.without_attempt() };
        saying(status, self.task, State::Queued, why, self.now)
    }

    /// No pod came of the launch: it was no attempt.
    pub(super) fn not_launched(&self, why: &Why) -> TaskStatus {
        self.given_back(self.without_attempt(), why)
    }

    /// A pod was made, and no node took it.
    pub(super) fn not_placed(&self, why: &Why) -> TaskStatus {
        self.given_back(self.slotless(), why)
    }

    /// The slot is given back and nothing is counted. Each time in a row the task waits longer before it is admitted
    /// again, so that what nobody puts right costs little.
    fn given_back(&self, status: TaskStatus, why: &Why) -> TaskStatus {
        let given_back = status.given_back.saturating_add(1);
        let pause = backoff::after_giving_back(given_back);
        let status = TaskStatus { given_back, next_attempt_at: Some(MicroTime(self.now + pause)), ..status };
        let why = explained(why, &format!("tried again after {} s", pause.as_secs()));
        saying(status, self.task, State::Queued, &why, self.now)
    }

    fn without_attempt(&self) -> TaskStatus {
        TaskStatus { attempt: self.status.attempt.saturating_sub(1), ..self.slotless() }
    }

    fn slotless(&self) -> TaskStatus {
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
    pub(super) fn attempt_ended(&self, ended: &Ended, verdict: Verdict, pod: Option<&PodFacts>) -> TaskStatus {
        let view = Self {
            status: self.counted(ended, verdict, pod),
            task: self.task,
            around: self.around,
            policy: self.policy.clone(),
            now: self.now,
        };
        let status = &view.status;
        let why = because(ended.reason, ended.message.clone());
        match verdict {
            Verdict::Succeeded => view.completed(ended, &why, pod),
            Verdict::FailedForGood => view.finished(State::Failed, &explained(&why, "not tried again")),
            Verdict::Failed if status.failures > self.policy.retry.limit => {
                let tries = status.failures;
                let times = if tries == 1 { "once".into() } else { format!("{tries} times") };
                view.finished(State::Failed, &explained(&why, &format!("failed {times}, retries used up")))
            }
            Verdict::Disrupted if status.disruptions > self.policy.retry.disruption_limit => {
                let limit = self.policy.retry.disruption_limit;
                view.finished(State::Failed, &explained(&why, &format!("lost more than {limit} times to the cluster")))
            }
            Verdict::Failed => view.retrying(&why, status.failures),
            Verdict::Disrupted => view.retrying(&why, status.disruptions),
        }
    }

    /// The status with the ended attempt on its list and counted once.
    fn counted(&self, ended: &Ended, verdict: Verdict, pod: Option<&PodFacts>) -> TaskStatus {
        let (outcome, failures, disruptions) = match verdict {
            Verdict::Succeeded => (AttemptOutcome::Succeeded, 0, 0),
            Verdict::Disrupted => (AttemptOutcome::Disrupted, 0, 1),
            Verdict::Failed | Verdict::FailedForGood => (AttemptOutcome::Failed, 1, 0),
        };
        TaskStatus {
            failures: self.status.failures.saturating_add(failures),
            disruptions: self.status.disruptions.saturating_add(disruptions),
            oom_kills: self.status.oom_kills.saturating_add(i32::from(ended.reason == Reason::OOMKilled)),
            given_back: 0,
            attempts: self.attempts_with(ended, outcome, pod),
            worker: pod.map(|pod| pod.name.clone()).or_else(|| self.status.worker.clone()),
            started_at: pod.and_then(|pod| pod.started_at).map(MicroTime).or_else(|| self.status.started_at.clone()),
            ..self.status.clone()
        }
    }

    /// The attempt was ended, in whatever way, because somebody asked for it.
    pub(super) fn attempt_stopped(
        &self,
        why: &Why,
        ended: Option<&Ended>,
        pod: Option<&PodFacts>,
    ) -> Vec<AttemptRecord> {
        let ended = Ended {
            reason: why.reason,
            message: why.message.clone(),
            exit_code: ended.and_then(|ended| ended.exit_code),
            at: ended.and_then(|ended| ended.at),
            reported: None,
            left: None,
        };
        self.attempts_with(&ended, AttemptOutcome::Cancelled, pod)
    }

    fn attempts_with(&self, ended: &Ended, outcome: AttemptOutcome, pod: Option<&PodFacts>) -> Vec<AttemptRecord> {
        let record = AttemptRecord {
            number: self.status.attempt,
            started_at: pod.and_then(|pod| pod.started_at).map(MicroTime).or_else(|| self.status.started_at.clone()),
            finished_at: Some(MicroTime(ended.at.unwrap_or(self.now))),
            outcome,
            reason: ended.reason,
            message: (outcome != AttemptOutcome::Succeeded).then(|| conditions::shortened(&ended.message)),
            exit_code: ended.exit_code,
            pod: pod.map(|pod| pod.name.clone()).or_else(|| self.status.worker.clone()),
            node: pod.and_then(|pod| pod.node.clone()),
        };
        let mut attempts = self.status.attempts.clone();
        attempts.push(record);
        attempts.split_off(attempts.len().saturating_sub(ATTEMPTS_KEPT))
    }

    fn completed(&self, ended: &Ended, why: &Why, pod: Option<&PodFacts>) -> TaskStatus {
        // What it handed over goes before what it left.
        let left = ended.left.as_deref().filter(|_| self.status.result_ref.is_none());
        let containers = pod.map_or(1, |pod| pod.containers);
        let (result, result_truncated) = left.map(|left| ended::result(left, containers)).unzip();
        let result_truncated = result_truncated.unwrap_or_default();
        let message = match why.reason {
            Reason::Succeeded if result_truncated => RESULT_CUT,
            Reason::Succeeded => "",
            _ => &why.message,
        };
        TaskStatus { result, result_truncated, ..self.finished(State::Completed, &because(why.reason, message)) }
    }

    fn retrying(&self, why: &Why, times: i32) -> TaskStatus {
        let pause = backoff::pause(&self.policy.retry, times, self.uid(), self.status.attempt);
        let seconds = pause.as_secs_f64().round();
        let status = TaskStatus { next_attempt_at: Some(MicroTime(self.now + pause)), ..self.slotless() };
        let message = format!("attempt {}: {}: {}", self.status.attempt, why.reason, why.message);
        let why = explained(&because(Reason::WaitingForRetry, message), &format!("tried again after {seconds} s"));
        saying(status, self.task, State::Queued, &why, self.now)
    }
}

fn explained(why: &Why, how: &str) -> Why {
    because(why.reason, conditions::followed(&why.message, how))
}
