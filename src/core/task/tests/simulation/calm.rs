//! The end of every story: nobody disturbs any more.

use super::workers::Worker;
use super::*;

impl World {
    /// Nobody disturbs any more, and all that runs succeeds. Ends when the task is over or waits for somebody.
    pub(super) fn calm(&mut self) -> Result<bool, TestCaseError> {
        (self.refuse_next_end, self.hold_next_job) = (false, false);
        (self.lose_next, self.refuse_next, self.no_answer_next) = (false, false, false);
        self.archive_takes = true;
        self.take_place_late();
        self.watches_catch_up();
        for _ in 0..400 {
            let wake = self.settle()?;
            let status = self.scene.status();
            let waits_for_somebody =
                matches!(status.reason, Reason::Suspended | Reason::TypeMissing | Reason::QueueMissing);
            let is_over = status.state.is_final() && status.is_archived();
            let at_rest = is_over || (status.state == State::Queued && waits_for_somebody);
            if at_rest && !self.something_runs() {
                return Ok(true);
            }
            if self.jobs.iter().any(|job| job.suspended) {
                self.hold_job(false);
            }
            self.pod_comes(None, false, 143);
            self.pod_starts(false);
            self.statuses_catch_up();
            self.pod_ends(End::Success);
            self.workers_are_calm()?;
            self.count_jobs();
            self.collect_garbage();
            self.check()?;
            let until_wake = wake.map_or(5, |wake| wake.duration_since(at(self.clock())).as_secs().clamp(1, 60));
            self.wait(until_wake.min(60));
            self.taint_lost_nodes();
        }
        Ok(false)
    }

    pub(super) fn nodes_answer(&mut self) {
        self.pods.iter_mut().for_each(|pod| pod.node_answers = true);
        self.workers.all.iter_mut().for_each(|worker| worker.pod.node_answers = true);
    }

    /// Pods on nodes that do not answer are deleted by the node controller.
    pub(super) fn taint_lost_nodes(&mut self) {
        let lost: Vec<String> =
            self.pods.iter().filter(|pod| !pod.node_answers).map(|pod| pod.facts.uid.clone()).collect();
        lost.iter().for_each(|uid| self.delete_pod(uid));
        while let Some(place) = self.workers.all.iter().position(Worker::is_lost) {
            self.delete_worker(place);
        }
    }

    /// Decides and admits until there is nothing to do now.
    pub(super) fn settle(&mut self) -> Result<Option<Timestamp>, TestCaseError> {
        for _ in 0..20 {
            let decision = self.decide()?;
            self.admit()?;
            self.check()?;
            if decision.action == Action::Rest && decide(&self.gather()?, at(self.clock())).action == Action::Rest {
                return Ok(decision.wake);
            }
        }
        prop_assert!(false, "does not come to rest: {:?}", self.scene.decide(self.clock()));
        Ok(None)
    }
}
