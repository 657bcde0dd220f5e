//! A pod, and what its node knows of it.

use super::*;

/// A pod, and what its node knows of it.
#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub(super) facts: PodFacts,
    pub(super) node_answers: bool,
    /// As its work is, where the status does not tell.
    pub(super) hidden: Option<Work>,
    pub(super) killed: i32,
    /// When its deadline was last lowered.
    pub(super) lowered_at: Option<Timestamp>,
    /// The exit code that its work ended with before anybody ended it.
    pub(super) own_end: Option<i32>,
}

impl Pod {
    pub(super) fn of(facts: PodFacts) -> Self {
        Self { facts, node_answers: true, hidden: None, killed: 143, lowered_at: None, own_end: None }
    }

    pub(super) fn work(&self) -> &Work {
        self.hidden.as_ref().unwrap_or(&self.facts.work)
    }

    pub(super) fn runs_its_work(&self) -> bool {
        matches!(self.work(), Work::Running { .. }) && !self.facts.has_ended()
    }

    /// Its work is over, and so is the pod unless something stands beside that.
    pub(super) fn work_ends(&mut self, work: Work) {
        let Work::Ended { exit_code, .. } = work else { return };
        if self.hidden.is_some() {
            self.hidden = Some(work);
            return;
        }
        self.facts.work = work;
        if self.facts.beside.is_empty() {
            self.facts.phase = if exit_code == 0 { Phase::Succeeded } else { Phase::Failed };
        }
    }

    /// Its kubelet ends it once its deadline is over, and says so only then.
    pub(super) fn meets_its_deadline(&mut self, now: Timestamp) {
        let Some(deadline) = clocks::deadline(&self.facts) else { return };
        let begins = self.lowered_at.map_or(deadline, |lowered| lowered.max(deadline));
        let grace = SignedDuration::from_secs(if self.killed == 137 { self.facts.grace_seconds } else { 0 });
        let ends = after(begins, grace);
        if ends > now || self.facts.has_ended() {
            return;
        }
        if let Work::Running { started_at } = *self.work() {
            self.facts.work = Work::Ended { exit_code: self.killed, started_at, at: Some(ends), left: None };
        } else if let Some(work) = self.hidden.take() {
            self.facts.work = work;
        }
        (self.hidden, self.facts.phase) = (None, Phase::Failed);
        self.facts.reason = Some("DeadlineExceeded".into());
        self.facts.beside.clear();
    }
}

pub(super) fn ended_by_deletion(pod: Pod, now: Timestamp) -> PodFacts {
    let Pod { facts, hidden, .. } = pod;
    if facts.has_ended() {
        return facts;
    }
    let work = match hidden.unwrap_or(facts.work.clone()) {
        Work::Running { started_at } => Work::Ended { exit_code: 143, started_at, at: Some(now), left: None },
        work => work,
    };
    PodFacts { phase: Phase::Failed, work, beside: vec![], ..facts }
}
