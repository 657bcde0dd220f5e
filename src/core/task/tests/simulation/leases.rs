//! The lease on the task, as the operator has it in memory: it mirrors the cache of the controller; and what must hold of it.

use super::workers::{Worker, succeeded};
use super::*;

/// How often a worker is heard.
const HEARTBEAT: i64 = 10;

/// As the operator has it.
pub(super) struct Lease {
    pub(super) attempt: AttemptId,
    pub(super) worker: String,
    pub(super) handed_out: HandedOut,
    pub(super) word: Option<Word>,
    pub(super) told_to_stop: Option<ToldToStop>,
}

impl World {
    /// Mirrors the cache: what is said of a lease is kept for the decision, or answered at once where it is known.
    pub(super) fn hand_in(&mut self, place: usize) -> Checked {
        let worker = &self.workers.all[place];
        let Some((attempt, outcome)) = worker.says.clone() else { return Ok(()) };
        self.workers.said.push((attempt.clone(), outcome.clone()));
        let now = at(self.clock());
        let lease = self.workers.lease.as_mut();
        if let Some(lease) = lease.filter(|lease| lease.attempt == attempt && lease.worker == worker.pod.facts.uid) {
            lease.word.get_or_insert(Word { at: now, outcome, log: None });
            return Ok(());
        }
        let kept = kept(&self.scene.task, &attempt, outcome.ended_for()).unwrap_or(Kept::No(NotKept::Unknown));
        self.is_answered(place, kept)
    }

    /// The worker learns what became of its word: that is so.
    pub(super) fn is_answered(&mut self, place: usize, kept: Kept) -> Checked {
        let Some((attempt, outcome)) = self.workers.all[place].says.take() else { return Ok(()) };
        let status = self.scene.status();
        let record = status.attempts.iter().find(|record| record.number == attempt.attempt);
        let record = record.filter(|_| AttemptId::of(&self.scene.task).run_id == attempt.run_id);
        let is_durable = record.is_some_and(|record| match &outcome {
            Outcome::Done(_) => record.outcome == AttemptOutcome::Succeeded,
            Outcome::Failed { .. } => matches!(record.outcome, AttemptOutcome::Failed | AttemptOutcome::Disrupted),
        });
        match kept {
            Kept::Yes => prop_assert!(is_durable, "said to be kept, and is not: {:?} {:?}", outcome, status),
            Kept::No(_) => {
                let denied = succeeded(&outcome) && is_durable;
                prop_assert!(!denied, "said not to be kept, and is: {:?} {:?}", outcome, status);
            }
        }
        Ok(())
    }

    /// Mirrors the cache: whoever asks though it holds the lease is given the same task again.
    pub(super) fn ask(&mut self, place: usize) {
        let worker = &self.workers.all[place];
        let (uid, is_leaving) = (worker.pod.facts.uid.clone(), worker.is_leaving());
        let now = at(self.clock());
        let held = self.workers.lease.as_mut().filter(|lease| lease.worker == uid);
        let Some(lease) = held else {
            self.workers.all[place].asks = !is_leaving;
            return;
        };
        if let Some(told) = lease.told_to_stop
            && lease.word.is_none()
            && lease.handed_out != HandedOut::NotYet
        {
            lease.word = Some(Word { at: now, outcome: Outcome::dropped(told.why), log: None });
        }
        if lease.word.is_some() || lease.handed_out == HandedOut::NotYet {
            self.workers.all[place].asks = true;
            return;
        }
        let (first, times) = match lease.handed_out {
            HandedOut::At { first, times } => (first, times + 1),
            HandedOut::NotKnown | HandedOut::NotYet => {
                (crate::attempt::admitted_at(self.scene.task.status_or_default()), 1)
            }
        };
        lease.handed_out = HandedOut::At { first, times };
        let attempt = lease.attempt.clone();
        if times <= HAND_OUTS && !std::mem::take(&mut self.no_answer_next) {
            self.is_given(place, attempt);
        }
    }

    pub(super) fn is_given(&mut self, place: usize, attempt: AttemptId) {
        self.workers.given.push(attempt.clone());
        let worker = &mut self.workers.all[place];
        (worker.work, worker.says, worker.asks) = (Some(attempt), None, false);
    }

    /// Answers the open call of the worker that the task was admitted to.
    pub(super) fn hand_out(&mut self) -> Checked {
        prop_assert!(self.scene.task.metadata.deletion_timestamp.is_none(), "handed out though it is being deleted");
        prop_assert!(!self.something_runs(), "handed out while something runs");
        let Some(place) = self.worker_of_lease().filter(|place| self.workers.all[*place].asks) else { return Ok(()) };
        let now = at(self.clock());
        let Some(lease) = self.workers.lease.as_mut().filter(|lease| lease.told_to_stop.is_none()) else {
            return Ok(());
        };
        prop_assert_eq!(lease.handed_out, HandedOut::NotYet);
        lease.handed_out = HandedOut::At { first: now, times: 1 };
        let attempt = lease.attempt.clone();
        self.workers.all[place].asks = false;
        if !std::mem::take(&mut self.no_answer_next) && self.workers.all[place].is_up() {
            self.is_given(place, attempt);
        }
        Ok(())
    }

    pub(super) fn tell_worker(&mut self, why: Reason) -> Checked {
        let since = at(self.clock());
        let Some(lease) = self.workers.lease.as_mut() else { return Ok(()) };
        prop_assert!(lease.told_to_stop.is_none(), "told twice");
        lease.told_to_stop = Some(ToldToStop { why, since, fetched_at: None });
        Ok(())
    }

    /// It was told to stop, and its time for that is over.
    pub(super) fn ends_worker(&mut self, uid: &str) -> Checked {
        let place = self.workers.all.iter().position(|worker| worker.pod.facts.uid == uid);
        let Some(place) = place else { return Ok(()) };
        let grace = self.workers.all[place].pod.facts.grace_seconds;
        let told = self.workers.lease.as_ref().filter(|lease| lease.worker == uid).and_then(|lease| lease.told_to_stop);
        let is_due = told.is_some_and(|told| told.due_at(HEARTBEAT, grace) <= at(self.clock()));
        prop_assert!(is_due, "its worker is ended before its time: {told:?}");
        prop_assert!(self.workers.all[place].pod.facts.due_gone_at.is_none(), "deletes what is being deleted");
        self.delete_worker(place);
        Ok(())
    }

    /// A worker that asks and has nothing, for admission: its pod and its uid.
    pub(super) fn free_worker(&self) -> Option<(String, String)> {
        let is_free = |worker: &&Worker| worker.asks && worker.is_up() && !worker.is_leaving();
        let free = self.workers.all.iter().find(is_free)?;
        Some((free.pod.facts.name.clone(), free.pod.facts.uid.clone()))
    }

    /// A free worker is being written into the status.
    pub(super) fn grant(&mut self, granted: bool) {
        self.workers.granted = granted;
    }

    /// Takes in who holds the lease by the status; what ended is answered.
    pub(super) fn take_in_lease(&mut self) -> Checked {
        let task = self.scene.task.clone();
        let status = task.status_or_default();
        let attempt = AttemptId::of(&task);
        let named = status.admitted.as_ref().and_then(|admitted| admitted.worker.clone());
        let named = named.filter(|_| status.state == State::Processing);
        let is_it =
            |lease: &Lease| lease.attempt == attempt && named.as_ref().is_some_and(|named| named.uid == lease.worker);
        if self.workers.lease.as_ref().is_some_and(is_it) {
            return Ok(());
        }
        if let Some(before) = self.workers.lease.take() {
            let ended_for = before.word.as_ref().and_then(|word| word.outcome.ended_for());
            let kept = kept(&task, &before.attempt, ended_for).unwrap_or(Kept::No(NotKept::Over));
            let waits = |worker: &Worker| {
                worker.pod.facts.uid == before.worker
                    && worker.says.as_ref().is_some_and(|(attempt, _)| *attempt == before.attempt)
                    && before.word.is_some()
            };
            if let Some(place) = self.workers.all.iter().position(waits) {
                self.is_answered(place, kept)?;
            }
        }
        let is_ours = std::mem::take(&mut self.workers.granted);
        self.workers.lease = named.map(|named| Lease {
            attempt,
            worker: named.uid,
            handed_out: if is_ours { HandedOut::NotYet } else { HandedOut::NotKnown },
            word: None,
            told_to_stop: None,
        });
        Ok(())
    }

    /// What the operator knows of the worker that holds the task; `None` where no watch has shown it.
    pub(super) fn worker_facts(&self) -> Option<WorkerFacts> {
        let lease = self.workers.lease.as_ref()?;
        let there = self.workers.all.iter().map(|worker| &worker.pod.facts);
        let shown = there.filter(|pod| !self.workers.unshown.contains(&pod.uid));
        let pod = shown.chain(&self.workers.gone).find(|pod| pod.uid == lease.worker)?;
        let fresh = pod.clone().first_seen(at(self.clock()));
        let pod = self.seen_pods.get(&pod.uid).map_or(fresh.clone(), |before| fresh.after(before));
        Some(WorkerFacts { pod: Some(pod), ..self.facts_beside_its_pod(lease) })
    }

    /// The API server was asked for it.
    pub(super) fn worker_asked_for(&mut self, uid: &str) -> Option<WorkerFacts> {
        self.workers.unshown.remove(uid);
        self.worker_facts().or_else(|| Some(self.facts_beside_its_pod(self.workers.lease.as_ref()?)))
    }

    pub(super) fn facts_beside_its_pod(&self, lease: &Lease) -> WorkerFacts {
        let worker = self.workers.all.iter().find(|worker| worker.pod.facts.uid == lease.worker);
        WorkerFacts {
            pod: None,
            holds_others: worker.is_some_and(|worker| worker.holds_others),
            handed_out: lease.handed_out,
            word: lease.word.clone(),
            told_to_stop: lease.told_to_stop,
            replaced_for: worker.and_then(|worker| worker.replaced_for.clone()),
            outlived_oom: false,
            heartbeat: HEARTBEAT,
        }
    }

    /// The operator begins anew: the lists of tasks may come before those of workers.
    pub(super) fn forget_workers(&mut self) -> Checked {
        (self.workers.lease, self.workers.granted) = (None, false);
        self.workers.gone.clear();
        self.workers.unshown = self.workers.all.iter().map(|worker| worker.pod.facts.uid.clone()).collect();
        self.workers.all.iter_mut().for_each(|worker| {
            // Its call breaks, and its pool gives it up anew where there is a reason.
            (worker.asks, worker.replaced_for) = (false, None);
        });
        self.take_in_lease()
    }

    /// An attempt that was never given to a worker may be given back; no other.
    pub(super) fn was_given(&self, status: &TaskStatus) -> bool {
        let attempt = AttemptId { attempt: status.attempt, ..AttemptId::of(&self.scene.task) };
        self.workers.given.contains(&attempt)
    }

    /// The recorded end of an attempt on a worker is what came to pass.
    pub(super) fn check_end_on_a_worker(&self, last: &TaskStatus, judged: &AttemptRecord) -> Checked {
        if self.executor != Executor::Pool {
            return Ok(());
        }
        let attempt = AttemptId { attempt: judged.number, ..AttemptId::of(&self.scene.task) };
        let mut said = self.workers.said.iter().filter(|(said, _)| *said == attempt);
        let by_word = said.clone().next().is_some();
        if judged.outcome == AttemptOutcome::Succeeded {
            prop_assert!(said.any(|(_, outcome)| succeeded(outcome)), "nobody said that it was done");
        }
        let of_it = |worker: &&Worker| last.worker.as_ref() == Some(&worker.pod.facts.name);
        let Some(worker) = self.workers.all.iter().find(of_it).filter(|_| !by_word) else { return Ok(()) };
        let was_ended = worker.pod.facts.due_gone_at.is_some() || worker.pod.facts.disruption.is_some();
        let lease = self.workers.lease.as_ref().filter(|_| !worker.holds_others && worker.replaced_for.is_none());
        let was_overdue = lease.and_then(|lease| lease.told_to_stop).is_some_and(|told| told.why == Reason::Timeout);
        prop_assert!(!was_overdue || judged.reason != Reason::WorkerLost, "its time was over: {:?}", judged);
        let blames_its_end =
            judged.outcome == AttemptOutcome::Failed && matches!(judged.reason, Reason::ExitCode | Reason::OOMKilled);
        prop_assert!(!blames_its_end || !was_ended, "counted though its worker was ended: {:?}", judged);
        prop_assert!(!blames_its_end || !worker.holds_others, "counted though its worker ran others: {:?}", judged);
        Ok(())
    }
}
