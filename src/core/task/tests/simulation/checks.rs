//! What must hold at every moment, and with every status that is written.

use super::*;

impl World {
    /// The work of this Job's pod has begun, and it was neither asked to end nor should it long have ended.
    pub(super) fn is_cut_off(&self, job: &str) -> bool {
        let is_present = self.launched_as(&job_name(&self.scene.task)).iter().any(|there| there.uid == job);
        let holds = self.scene.status().state == State::Processing;
        let of_job = |pod: &&Pod| pod.facts.owner.as_deref() == Some(job) && pod.facts.due_gone_at.is_none();
        let Some(pod) = self.pods.iter().find(of_job).filter(|pod| pod.runs_its_work() && is_present && holds) else {
            return false;
        };
        let seen = pod.lowered_at.max(clocks::deadline(&pod.facts));
        let long_due = seen.is_some_and(|due| after(due, SignedDuration::from_secs(90)) <= at(self.now));
        !long_due && !self.not_ended.contains(&pod.facts.uid)
    }

    /// By the cluster's own clock it was not yet time to give this child up.
    pub(super) fn is_early(&self, uid: &str, why: Reason) -> bool {
        let job = self.jobs.iter().find(|job| job.uid == uid && why == Reason::PodNotCreated);
        let pod = self.pods.iter().map(|pod| &pod.facts).find(|pod| pod.uid == uid && why == Reason::Timeout);
        let due = job.map(|job| job.created_at).or_else(|| pod.and_then(clocks::due_to_end));
        due.or_else(|| self.without_a_node(uid, why))
            .is_some_and(|due| after(due, SignedDuration::from_secs(60)) > at(self.now))
    }

    /// From when a minute counts in which the pod of this Job has no node: where one is coming, its start deadline is over
    /// then.
    pub(super) fn without_a_node(&self, job: &str, why: Reason) -> Option<Timestamp> {
        let of_job = |pod: &&Pod| pod.facts.owner.as_deref() == Some(job) && why == Reason::Unschedulable;
        let pod = &self.pods.iter().find(of_job)?.facts;
        let more = if self.node_is_coming { 60 } else { 0 };
        pod.node.is_none().then(|| after(pod.created_at, SignedDuration::from_secs(more)))
    }

    /// The last attempt's Job of a run that is over goes only after its record, unless it still runs.
    pub(super) fn may_be_deleted(&self, uid: &str) -> bool {
        let status = self.scene.status();
        // The pod of a Job may go when it is to end.
        let Some(job) = self.launches().find(|there| there.uid == uid) else { return true };
        let is_last = job.name == job_name(&self.scene.task);
        !status.state.is_final() || !is_last || status.is_archived() || self.observed().may_run(&job)
    }

    pub(super) fn check_transition(&self, next: &TaskStatus) -> Checked {
        let last = self.scene.status();
        prop_assert!(!next.is_archived() || self.has(next), "says that it is archived: {:?}", next);
        prop_assert_eq!(next.archived.is_some(), next.state.is_final());
        if next.run_id != last.run_id && last.run_id.is_some() {
            prop_assert_eq!((next.state, next.attempt, next.failures, next.attempts.len()), (State::Queued, 0, 0, 0));
            prop_assert!(!self.something_runs(), "a new run begins while the old one runs");
            let is_kept = self.archive.iter().any(|kept| kept.run_id == last.run_id);
            prop_assert!(last.attempt == 0 && !last.state.is_final() || is_kept, "wiped out unrecorded: {:?}", last);
            return Ok(());
        }
        if last.state.is_final() {
            let unchanged = TaskStatus {
                observed_generation: last.observed_generation,
                conditions: last.conditions.clone(),
                archived: last.archived,
                ..next.clone()
            };
            prop_assert_eq!(&unchanged, last, "final is final");
            prop_assert!(next.is_archived() || !last.is_archived(), "what is archived stays so");
        }
        let name = job_name(&self.scene.task);
        let knows_of_a_launch = self.observed().jobs.iter().any(|job| job.name == name && !job.gone);
        let was_launched = knows_of_a_launch || self.was_given(last);
        let given_back = next.state == State::Queued && next.attempt == last.attempt - 1 && !was_launched;
        prop_assert!(next.attempt >= last.attempt || given_back, "attempt {} after {}", next.attempt, last.attempt);
        let count = |outcome| next.attempts.iter().filter(|attempt| attempt.outcome == outcome).count() as i32;
        prop_assert_eq!(next.failures, count(AttemptOutcome::Failed));
        prop_assert_eq!(next.disruptions, count(AttemptOutcome::Disrupted));
        prop_assert!(next.attempts.is_sorted_by(|one, other| one.number < other.number), "an attempt is counted twice");
        let over = i32::from(next.state.is_final());
        prop_assert!(
            next.failures <= LIMIT + over && next.disruptions <= DISRUPTION_LIMIT + over,
            "a limit is not kept"
        );
        let only_progress = TaskStatus { progress: last.progress.clone(), ..next.clone() } == *last;
        if let Some(written) = last.progress.as_ref().and_then(|progress| progress.updated_at.as_ref()) {
            let seconds = at(self.clock()).duration_since(written.0).as_secs();
            prop_assert!(!only_progress || seconds >= 10, "progress is written again after {seconds} s");
        }
        let for_good = next.reported_error.as_ref().and_then(|error| error.retryable) == Some(false);
        prop_assert!(!for_good || next.state == State::Processing, "an error outlives its attempt");
        self.check_judgement(last, next)?;
        self.check_given_back(last, next)?;
        let holds_slot = next.state == State::Processing;
        prop_assert_eq!(next.admitted.is_some(), holds_slot);
        prop_assert!(holds_slot || !self.something_runs(), "the slot is given back while something runs");
        prop_assert!(holds_slot || !self.something_may_begin(), "the slot is given back while a pod may come");
        Ok(())
    }

    /// Who gives its slot back goes to the end of its line, and pauses for as long as it held the slot; whoever does not
    /// keeps its place, and everybody its arrival.
    pub(super) fn check_given_back(&self, last: &TaskStatus, next: &TaskStatus) -> Checked {
        prop_assert!(last.arrival.is_none() || next.arrival == last.arrival, "arrival never changes within a run");
        if next.line == last.line {
            prop_assert!(next.given_back <= last.given_back.max(1), "given back, and still in its old place");
            return Ok(());
        }
        prop_assert_eq!((last.state, next.state), (State::Processing, State::Queued));
        prop_assert_eq!((next.given_back, next.attempts.len()), (last.given_back + 1, last.attempts.len()));
        let number = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<u64>().ok());
        prop_assert!(number(&next.line) > number(&last.line).max(number(&last.arrival)), "not the end of the line");
        let begins = last.admitted_at.as_ref().expect("it held a slot").0;
        let pause = next.next_attempt_at.as_ref().expect("a pause").0.duration_since(at(self.clock()));
        let least = at(self.clock()).duration_since(begins).min(SignedDuration::from_mins(30));
        prop_assert!(pause >= least, "held for {least}, paused for {pause}");
        Ok(())
    }

    /// The recorded end is true, whatever the kubelet and we did around it.
    pub(super) fn check_judgement(&self, last: &TaskStatus, next: &TaskStatus) -> Checked {
        let Some(judged) = next.attempts.last().filter(|judged| last.attempts.last() != Some(judged)) else {
            return Ok(());
        };
        let has_failed = matches!(judged.outcome, AttemptOutcome::Failed | AttemptOutcome::Disrupted);
        // A cancel that was taken back, and the like: the pod was ended for it, and is wanted again.
        let was_wanted = matches!(judged.reason, Reason::Cancelled | Reason::Superseded | Reason::DeadlineExceeded);
        let may_be_matched = was_wanted || Reason::FAILURES.contains(&judged.reason);
        prop_assert!(!has_failed || may_be_matched, "no failure rule may name {}", judged.reason);
        prop_assert!(next.attempts.starts_with(&last.attempts), "an attempt that was recorded has changed");
        self.check_end_on_a_worker(last, judged)?;
        let of_it = |pod: &&Pod| Some(&pod.facts.name) == judged.pod.as_ref();
        let Some(pod) = self.pods.iter().find(of_it).filter(|_| judged.outcome != AttemptOutcome::Cancelled) else {
            return Ok(());
        };
        let was_disturbed = pod.facts.disruption.is_some() && pod.own_end.is_none();
        if pod.facts.out_of_memory.is_some() || was_disturbed || !pod.node_answers {
            return Ok(());
        }
        let by_itself = matches!(judged.reason, Reason::ExitCode | Reason::ReportedError);
        match (pod.own_end, &pod.facts.work) {
            (_, Work::Ended { exit_code: 0, .. }) => prop_assert_eq!(judged.reason, Reason::Succeeded),
            (Some(_), _) => prop_assert!(by_itself, "it ended by itself, and {} is said", judged.reason),
            (None, Work::Ended { .. }) => prop_assert!(!by_itself, "it was ended, and {} is said", judged.reason),
            (None, _) => prop_assert!(!by_itself && judged.reason != Reason::Timeout, "its work had not ended"),
        }
        Ok(())
    }

    /// A pod that is at work, or may yet begin, on a node that was not given up.
    pub(super) fn something_runs(&self) -> bool {
        self.running().count() > 0
    }

    /// A Job that is there has not made its pod yet.
    pub(super) fn something_may_begin(&self) -> bool {
        self.jobs.iter().any(|job| job.is_live() && !job.deleting && !self.with_pod.contains(&job.uid))
    }

    pub(super) fn running(&self) -> impl Iterator<Item = &Pod> {
        let at_work = self.workers.all.iter().filter(|worker| worker.work.is_some()).map(|worker| &worker.pod);
        self.pods.iter().chain(at_work).filter(|pod| {
            let mut facts = pod.facts.clone();
            let is_given_up = self.given_up.contains(&facts.uid);
            facts.asked.node = if is_given_up { NodeState::Silent } else { NodeState::Answers };
            ended::ended(&facts, None, at(self.now)).is_none()
        })
    }

    pub(super) fn check(&self) -> Checked {
        prop_assert!(self.running().count() <= 1, "two pods run at once");
        Ok(())
    }
}
