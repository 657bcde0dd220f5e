//! Warm workers: what their programs do, and what becomes of their pods.

use super::leases::Lease;
use super::*;

const MOST_WORKERS: usize = 3;

/// The workers, and the operator's memory of them.
#[derive(Default)]
pub(super) struct Workers {
    pub(super) all: Vec<Worker>,
    pub(super) made: i32,
    /// The lease on the task, as the operator has it in memory.
    pub(super) lease: Option<Lease>,
    /// The slot that is being written into the status.
    pub(super) granted: bool,
    /// Pods that are gone, as the operator remembers them.
    pub(super) gone: Vec<PodFacts>,
    /// The uids of those that no watch has shown.
    pub(super) unshown: HashSet<String>,
    /// The attempts that a worker was given, ever.
    pub(super) given: Vec<AttemptId>,
    /// Everything that workers have handed in, ever.
    pub(super) said: Vec<(AttemptId, Outcome)>,
}

/// A worker's pod, and what its program does.
pub(super) struct Worker {
    pub(super) pod: Pod,
    /// The attempt that it is at work on.
    pub(super) work: Option<AttemptId>,
    /// What came of its last work, until it knows what became of that.
    pub(super) says: Option<(AttemptId, Outcome)>,
    /// Its call hangs.
    pub(super) asks: bool,
    pub(super) holds_others: bool,
    /// Why its pool gave it up.
    pub(super) replaced_for: Option<Why>,
}

/// How the work of a worker ends by the word of the worker.
#[derive(Clone, Copy, Debug)]
pub(super) enum Says {
    Done,
    Exit(i32),
    Permanent,
    EndedFor(Reason),
}

impl Says {
    pub(super) fn outcome(self) -> Outcome {
        let failed = |exit_code, retryable, ended_for| Outcome::Failed {
            error: ReportedError { retryable, ..ReportedError::default() },
            exit_code,
            ended_for,
        };
        match self {
            Self::Done => Outcome::Done(Some("{}".into())),
            Self::Exit(code) => failed(Some(code), None, None),
            Self::Permanent => failed(None, Some(false), None),
            Self::EndedFor(why) => failed(Some(143), None, Some(why)),
        }
    }
}

impl Worker {
    /// It may speak to the operator.
    pub(super) fn is_up(&self) -> bool {
        self.pod.node_answers && !self.pod.facts.has_ended()
    }

    /// The node controller has yet to delete its pod.
    pub(super) fn is_lost(&self) -> bool {
        !self.pod.node_answers && self.pod.facts.due_gone_at.is_none() && !self.pod.facts.has_ended()
    }

    /// Nobody gives it anything any longer.
    pub(super) fn is_leaving(&self) -> bool {
        self.replaced_for.is_some() || self.pod.facts.due_gone_at.is_some() || self.pod.facts.has_ended()
    }
}

pub(super) fn succeeded(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Done(_))
}

impl World {
    pub(super) fn worker_at(&self, place: u8) -> Option<usize> {
        let count = self.workers.all.len();
        (count > 0).then(|| usize::from(place) % count)
    }

    pub(super) fn worker_of_lease(&self) -> Option<usize> {
        let uid = &self.workers.lease.as_ref()?.worker;
        self.workers.all.iter().position(|worker| worker.pod.facts.uid == *uid)
    }

    pub(super) fn worker_comes(&mut self) {
        if self.executor != Executor::Pool
            || self.workers.all.iter().filter(|worker| !worker.is_leaving()).count() >= MOST_WORKERS
        {
            return;
        }
        self.workers.made += 1;
        let name = format!("warm-{}", self.workers.made);
        let facts = PodFacts {
            job: String::new(),
            owner: Some("uid of the pool".into()),
            created_at: at(self.now),
            deadline_seconds: None,
            timeout_seconds: None,
            ..self.scene.pod(&name)
        };
        self.workers.all.push(Worker {
            pod: Pod::of(facts),
            work: None,
            says: None,
            asks: true,
            holds_others: false,
            replaced_for: None,
        });
    }

    /// Its work ends, and it has not handed that in yet.
    pub(super) fn worker_ends_its_work(&mut self, place: u8, says: Says) {
        let Some(worker) = self.worker_at(place).map(|place| &mut self.workers.all[place]) else { return };
        if !worker.pod.facts.has_ended()
            && let Some(attempt) = worker.work.take()
        {
            worker.says = Some((attempt, says.outcome()));
        }
    }

    /// Hands in what it has, and asks for work. One whose process began anew has nothing any longer, and asks too.
    pub(super) fn worker_asks(&mut self, place: u8, begins_anew: bool) -> Checked {
        let Some(place) = self.worker_at(place).filter(|place| self.workers.all[*place].is_up()) else { return Ok(()) };
        let worker = &mut self.workers.all[place];
        if begins_anew {
            (worker.work, worker.says) = (None, None);
        }
        if worker.work.is_some() {
            return Ok(());
        }
        worker.asks = false;
        let uid = worker.pod.facts.uid.clone();
        self.workers.unshown.remove(&uid);
        self.hand_in(place)?;
        self.ask(place);
        Ok(())
    }

    /// It is heard: it fetches a stop, and obeys or does not; what is over it drops.
    pub(super) fn worker_beats(&mut self, place: u8, obeys: bool) {
        let Some(place) = self.worker_at(place).filter(|place| self.workers.all[*place].is_up()) else { return };
        let now = at(self.clock());
        let worker = &mut self.workers.all[place];
        let Some(attempt) = worker.work.clone() else { return };
        let lease = self.workers.lease.as_mut();
        let lease = lease.filter(|lease| lease.attempt == attempt && lease.worker == worker.pod.facts.uid);
        let Some(lease) = lease.filter(|lease| lease.word.is_none()) else {
            worker.work = None;
            return;
        };
        let Some(told) = lease.told_to_stop.as_mut() else { return };
        told.fetched_at.get_or_insert(now);
        if obeys {
            worker.work = None;
            worker.says = Some((attempt, Says::EndedFor(told.why).outcome()));
        }
    }

    pub(super) fn worker_pod_ends(&mut self, place: u8, end: End) {
        let Some(place) = self.worker_at(place).filter(|place| self.workers.all[*place].is_up()) else { return };
        let now = at(self.now);
        let worker = &mut self.workers.all[place];
        let exit_code = match end {
            End::Success => 0,
            End::Exit(code) => code,
            End::Permanent => 1,
            End::OutOfMemory | End::Evicted => 137,
            End::NodeStopsAnswering => {
                worker.pod.node_answers = false;
                return;
            }
        };
        match end {
            End::OutOfMemory => worker.pod.facts.out_of_memory = killed("work"),
            End::Evicted => {
                worker.pod.facts.disruption = Some(("TerminationByKubelet".into(), "short of memory".into()));
                worker.pod.facts.disrupted_at = Some(now);
            }
            _ => {}
        }
        let started_at = worker.pod.work().started_at();
        worker.pod.work_ends(Work::Ended { exit_code, started_at, at: Some(now), left: None });
        (worker.work, worker.says, worker.asks) = (None, None, false);
    }

    /// Its pool gives it up, and has its pod deleted.
    pub(super) fn worker_is_replaced(&mut self, place: u8) {
        let Some(place) = self.worker_at(place).filter(|place| !self.workers.all[*place].is_leaving()) else { return };
        let why = Why::new(Reason::WorkerLost, "it was not heard");
        self.workers.all[place].replaced_for = Some(why);
        self.delete_worker(place);
    }

    pub(super) fn worker_has_others(&mut self, place: u8, holds: bool) {
        let Some(place) = self.worker_at(place).filter(|place| self.workers.all[*place].is_up()) else { return };
        self.workers.all[place].holds_others = holds;
    }

    pub(super) fn delete_worker(&mut self, place: usize) {
        let worker = &mut self.workers.all[place];
        if worker.pod.facts.has_ended() {
            let gone = self.workers.all.remove(place).pod.facts;
            self.workers.gone.push(gone_at(at(self.now), gone));
        } else if worker.pod.facts.due_gone_at.is_none() {
            worker.pod.facts = terminating(self.now)(worker.pod.facts.clone());
        }
    }

    /// Those whose grace is over are gone.
    pub(super) fn workers_go(&mut self, now: Timestamp) {
        let is_over =
            |worker: &Worker| worker.pod.node_answers && worker.pod.facts.due_gone_at.is_some_and(|due| due <= now);
        let (gone, stay): (Vec<_>, Vec<_>) = std::mem::take(&mut self.workers.all).into_iter().partition(is_over);
        self.workers.all = stay;
        self.workers.gone.extend(gone.into_iter().map(|worker| gone_at(now, ended_by_deletion(worker.pod, now))));
    }

    /// Nobody disturbs them: they end their work well, fetch what they are told, and ask.
    pub(super) fn workers_are_calm(&mut self) -> Checked {
        if self.executor != Executor::Pool {
            return Ok(());
        }
        let has_ended = |worker: &Worker| worker.pod.facts.has_ended();
        while let Some(place) = self.workers.all.iter().position(has_ended) {
            self.delete_worker(place);
        }
        if self.workers.all.iter().all(Worker::is_leaving) {
            self.worker_comes();
        }
        for place in 0..self.workers.all.len() as u8 {
            self.worker_beats(place, true);
            self.worker_ends_its_work(place, Says::Done);
            self.worker_asks(place, false)?;
        }
        Ok(())
    }
}
