//! An attempt that a warm worker runs: a lease of one of its slots. It ends by the worker's word or by the end of the worker's
//! pod, and never by elapsed time alone.

use jiff::{SignedDuration, Timestamp};

use super::ended::{self, Ended};
use super::ending::{delete_pod, looked_at_by};
use super::facts::worker::{HandedOut, Outcome, ToldToStop, WorkerFacts};
use super::facts::{NodeState, Observed, PodFacts, TOLD_AFTER, Why};
use super::id::AttemptId;
use super::needs::{Answered, Needs};
use super::reports::Reports;
use super::{Ending, HeldUp, Live, Ran, Stage, admitted_at, others};
use crate::Reason;
use crate::time::{after, as_written, earliest};
use task_manager_api::{AdmittedWorker, ReportedError, Task, TaskStatus};

/// A worker that is given the same task so often has failed it.
pub const HAND_OUTS: u32 = 5;

pub struct ByWorker<'a> {
    task: &'a Task,
    status: &'a TaskStatus,
    observed: &'a Observed,
    now: Timestamp,
    lease: &'a AdmittedWorker,
    /// `None` until it was looked for.
    worker: Option<&'a WorkerFacts>,
}

impl<'a> ByWorker<'a> {
    pub(super) fn of(task: &'a Task, lease: &'a AdmittedWorker, observed: &'a Observed, now: Timestamp) -> Self {
        Self { task, status: task.status_or_default(), observed, now, lease, worker: observed.worker.as_ref() }
    }

    fn pod(&self) -> Option<&'a PodFacts> {
        self.worker?.pod.as_ref()
    }

    fn name(&self) -> &str {
        self.status.worker.as_deref().unwrap_or("the worker")
    }

    pub(super) fn stage(&self, timeout: i64) -> Stage {
        match (self.ended(), self.worker.map(|worker| worker.handed_out)) {
            // It was never given the task: that was no attempt.
            (Some(ended), Some(HandedOut::NotYet)) => {
                return Stage::NeverLaunched(Why::new(Reason::NoWorker, ended.message));
            }
            (Some(ended), _) => return Stage::Ended(ended),
            (None, Some(HandedOut::NotYet)) => {
                // Before it is, whatever else there is of the task ends.
                let others = others::ending(self.task, self.observed, self.now);
                return others.map_or(Stage::NotLaunched, Stage::ToEnd);
            }
            (None, _) => {}
        }
        if self.is_past(self.overdue_at(timeout)) {
            return Stage::ToEnd(self.stop(Reason::Timeout));
        }
        let news = Why::new(Reason::Running, format!("on worker {}", self.name()));
        let news_at = self.told_to_stop().is_none().then(|| after(self.at_work_since(), TOLD_AFTER));
        let wake = earliest([self.overdue_at(timeout), self.looked_at_by()].map(|time| self.ahead(time)));
        Stage::Live(Live { news, news_at, wake })
    }

    /// By the worker's word, by the end of its pod, or because it began anew again and again.
    pub(super) fn ended(&self) -> Option<Ended> {
        let worker = self.worker?;
        if let Some(word) = &worker.word {
            return Some(of_word(&word.outcome, as_written(word.at)));
        }
        match &worker.pod {
            None => Some(Ended::unseen(Reason::WorkerLost, format!("the worker {} is gone", self.name()))),
            Some(pod) => self.ended_with(pod, worker).or_else(|| self.begun_anew(worker)),
        }
    }

    /// Whose fault it was that the pod ended while the worker held the lease.
    fn ended_with(&self, pod: &PodFacts, worker: &WorkerFacts) -> Option<Ended> {
        let pod = &*ended::as_worker(pod);
        let ended = ended::ended(pod, None, self.now)?;
        let lost = |message: String| Ended::unseen(Reason::WorkerLost, message);
        let is_overdue = worker.told_to_stop.is_some_and(|told| told.why == Reason::Timeout);
        // A worker that was ended because this task did not stop is replaced for that, too.
        if let Some(why) = worker.replaced_for.as_ref().filter(|_| !is_overdue) {
            return Some(lost(format!("the worker {} was ended: {}", pod.name, why.message)));
        }
        Some(match ended.reason {
            Reason::Succeeded | Reason::OOMKilled | Reason::ExitCode if ended::ended_by_itself(pod) => {
                self.ended_by_itself(pod, worker, ended)
            }
            // Whoever ended it: its time was over, and it did not stop.
            _ if is_overdue => {
                let message = "ran longer than timeoutSeconds, and did not stop when its worker was told to";
                Ended { at: ended.at, ..Ended::unseen(Reason::Timeout, message.into()) }
            }
            Reason::Succeeded => lost(format!("the worker {} was ended, and had not handed the task in", pod.name)),
            _ => lost(ended.message),
        })
    }

    /// Nobody ended the worker. Of several tasks nobody knows which one it was for.
    fn ended_by_itself(&self, pod: &PodFacts, worker: &WorkerFacts, ended: Ended) -> Ended {
        let not_handed_in = || format!("the worker {} ended with 0 and had not handed the task in", pod.name);
        let succeeded = ended.reason == Reason::Succeeded;
        let message = if succeeded { not_handed_in() } else { ended.message };
        let ended = Ended { message, left: None, ..ended };
        match ended.reason {
            _ if worker.holds_others => {
                let message = format!("the worker {} ended while it ran several tasks: {}", pod.name, ended.message);
                Ended { exit_code: ended.exit_code, at: ended.at, ..Ended::unseen(Reason::WorkerLost, message) }
            }
            Reason::Succeeded => Ended { reason: Reason::ExitCode, ..ended },
            Reason::OOMKilled if worker.outlived_oom => {
                let message = "whether it was above its memory limit is not known: an earlier task of its worker was";
                Ended { reason: Reason::ExitCode, message: message.into(), lacks_memory: false, ..ended }
            }
            _ => ended,
        }
    }

    fn begun_anew(&self, worker: &WorkerFacts) -> Option<Ended> {
        let HandedOut::At { times, .. } = worker.handed_out else { return None };
        let message = format!("the worker {} asked for work {times} times while it held the task", self.name());
        (times > HAND_OUTS).then(|| Ended::unseen(Reason::WorkerRestarted, message))
    }

    /// A worker that was not given the task before it was to be told to stop is never given it.
    pub(super) fn can_run_no_more(&self) -> bool {
        let is_withheld =
            |worker: &WorkerFacts| worker.handed_out == HandedOut::NotYet && worker.told_to_stop.is_some();
        self.ended().is_some() || self.worker.is_some_and(is_withheld)
    }

    /// The worker is told to stop; one that does not fetch that, or goes on past its grace, is ended with its pod.
    pub(super) fn stop(&self, why: Reason) -> Ending {
        let Some(told) = self.told_to_stop() else { return Ending::TellWorker(why) };
        let due = self.ended_by(told);
        if due <= self.now { delete_pod(self.pod(), why, self.now) } else { Ending::Wait { until: Some(due) } }
    }

    fn told_to_stop(&self) -> Option<&'a ToldToStop> {
        self.worker?.told_to_stop.as_ref()
    }

    fn ended_by(&self, told: &ToldToStop) -> Timestamp {
        let heartbeat = self.worker.map_or(0, |worker| worker.heartbeat);
        told.due_at(heartbeat, self.pod().map_or(0, |pod| pod.grace_seconds))
    }

    pub(super) fn was_launched(&self) -> bool {
        self.worker.is_none_or(|worker| worker.handed_out != HandedOut::NotYet)
    }

    pub(super) fn ran(&self) -> Option<Ran> {
        let pod = self.pod();
        Some(Ran {
            pod: self.status.worker.clone()?,
            node: pod.and_then(|pod| pod.node.clone()),
            started_at: Some(self.at_work_since()).filter(|_| self.was_launched()),
            has_begun: self.was_launched(),
            containers: 1,
        })
    }

    pub(super) fn at_work_from(&self) -> Option<Timestamp> {
        self.was_launched().then(|| self.at_work_since())
    }

    /// From the hand-out; where whoever led before may have handed it out, from the admission, of which that was a part.
    fn at_work_since(&self) -> Timestamp {
        match self.worker.map(|worker| worker.handed_out) {
            Some(HandedOut::At { first, .. }) => as_written(first),
            _ => self.status.started_at.as_ref().map_or(admitted_at(self.status), |started| started.0),
        }
    }

    fn overdue_at(&self, timeout: i64) -> Option<Timestamp> {
        self.was_launched().then(|| after(self.at_work_since(), SignedDuration::from_secs(timeout)))
    }

    fn looked_at_by(&self) -> Option<Timestamp> {
        looked_at_by(self.pod()?, self.now)
    }

    pub(super) fn reports(&self) -> Option<&'a Reports> {
        let reports = self.observed.reports.as_ref()?;
        (reports.pod == self.lease.uid && reports.attempt == AttemptId::of(self.task)).then_some(reports)
    }

    /// The worker's pod should long be gone, and its node answers.
    pub(super) fn held_up(&self) -> Option<HeldUp> {
        let is_slow = |pod: &&PodFacts| pod.asked.node == NodeState::Answers && ended::is_long_due(pod, self.now);
        let pod = self.pod().filter(|pod| !pod.has_ended()).filter(is_slow)?;
        let node = pod.node.as_deref().unwrap_or_default();
        let by = format!("node {node} answers, and has not ended the worker {} yet", pod.name);
        Some(HeldUp { by, at: self.now, ends_for: Why::new(Reason::Stopping, "its worker is being ended") })
    }

    pub(super) fn needs(&self, answered: Answered) -> Needs {
        if self.worker.is_none() && !answered.worker {
            return Needs::Worker { name: self.name().into(), uid: self.lease.uid.clone() };
        }
        let of_worker = self.pod().filter(|_| self.worker.is_some_and(|worker| worker.word.is_none()));
        others::doubtful_node(self.observed, of_worker, answered, self.now)
            .map_or(Needs::Nothing, |node| Needs::Node(node.clone()))
    }

    fn is_past(&self, time: Option<Timestamp>) -> bool {
        time.is_some_and(|time| time <= self.now)
    }

    fn ahead(&self, time: Option<Timestamp>) -> Option<Timestamp> {
        time.filter(|time| *time > self.now)
    }
}

/// The end as its worker tells it. Work that the worker ended for its time or its use of memory failed by that; of another
/// reason the worker's word proves nothing.
fn of_word(outcome: &Outcome, at: Timestamp) -> Ended {
    match outcome {
        Outcome::Done(left) => {
            Ended { left: left.clone(), at: Some(at), ..Ended::unseen(Reason::Succeeded, String::new()) }
        }
        Outcome::Failed {
            exit_code,
            ended_for: Some(why @ (Reason::Timeout | Reason::OOMKilled | Reason::WorkerLost)),
            ..
        } => {
            // An exit code with WorkerLost is that of a worker which ended by itself.
            let exit_code = exit_code.filter(|_| *why != Reason::WorkerLost);
            Ended { exit_code, at: Some(at), ..Ended::unseen(*why, told_by_worker(*why).into()) }
        }
        Outcome::Failed { error, exit_code, .. } => {
            let message = exit_code.map(|code| format!("the work ended with exit code {code}")).unwrap_or_default();
            let ended = Ended { exit_code: *exit_code, at: Some(at), ..Ended::unseen(Reason::ExitCode, message) };
            if exit_code.is_some() && *error == ReportedError::default() { ended } else { ended.with_report(error) }
        }
    }
}

fn told_by_worker(why: Reason) -> &'static str {
    match why {
        Reason::Timeout => "ran longer than timeoutSeconds, and its worker ended it",
        Reason::OOMKilled => "the work was above its memory limit, and its worker ended it",
        _ => "its worker gave it up",
    }
}
