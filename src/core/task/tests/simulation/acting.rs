//! What the operator does: it carries out what is decided, admits, writes, and begins anew.

use super::*;

impl World {
    /// Decides and carries it out; returns what was decided.
    pub(super) fn decide(&mut self) -> Result<Decision, TestCaseError> {
        let input = self.gather()?;
        let decision = decide(&input, at(self.clock()));
        prop_assert!(decision.wake.is_none_or(|wake| wake > at(self.clock())), "wakes in the past: {:?}", decision);
        match decision.action.clone() {
            Action::Rest => {}
            Action::Write(status) => self.write(*status)?,
            Action::Record(recording) => self.record(*recording)?,
            Action::Launch => self.launch()?,
            Action::MakeRoom(otherwise) => self.write(*otherwise)?,
            Action::EndPod(PodEnd { uid, seconds, ended_for, .. }) => self.end_pod(&uid, seconds, ended_for)?,
            Action::Delete(Deletion { child: Child::Job, uid, why, .. }) => {
                prop_assert!(!self.is_cut_off(&uid), "deleted though its work had begun: {why}");
                prop_assert!(!self.is_early(&uid, why), "given up before its time: {why}");
                prop_assert!(self.jobs.iter().any(|job| job.uid == uid && !job.deleting), "deletes what is not there");
                prop_assert!(self.may_be_deleted(&uid), "deletes what is not recorded");
                self.delete_job(&uid, false);
            }
            Action::Delete(Deletion { child: Child::Pod, uid, why, .. }) => {
                prop_assert!(!self.is_cut_off(&uid), "deleted though its work had begun: {why}");
                prop_assert!(self.may_be_deleted(&uid), "deletes what is not recorded");
                prop_assert!(!self.is_early(&uid, why), "given up before its time: {why}");
                if self.workers.all.iter().any(|worker| worker.pod.facts.uid == uid) {
                    self.ends_worker(&uid)?;
                    return Ok(decision);
                }
                let there = self.pods.iter().any(|pod| pod.facts.uid == uid && pod.facts.due_gone_at.is_none());
                prop_assert!(there, "deletes what is not there");
                self.delete_pod(&uid);
            }
            Action::TellWorker(why) => self.tell_worker(why)?,
            Action::DeleteTask => prop_assert!(false, "nobody gave it a time to live"),
            Action::Batch(_) => prop_assert!(false, "it is no batch"),
        }
        Ok(decision)
    }

    /// One PATCH: the API server lets a deadline be lowered only, to a second at least.
    pub(super) fn end_pod(&mut self, uid: &str, seconds: i64, ended_for: Reason) -> Checked {
        if std::mem::take(&mut self.lose_next) {
            return Ok(());
        }
        let now = at(self.now);
        let refused = std::mem::take(&mut self.refuse_next_end);
        let Some(pod) = self.pods.iter_mut().find(|pod| pod.facts.uid == uid) else { return Ok(()) };
        if refused {
            self.not_ended.insert(uid.into());
            return Ok(());
        }
        let started = pod.work().started_at();
        prop_assert!(started.is_some(), "its work had not begun");
        prop_assert!(pod.facts.deadline_seconds.is_none_or(|before| (1..=before).contains(&seconds)), "not lowered");
        if ended_for == Reason::Timeout {
            let [deadline, begun] =
                [clocks::deadline(&PodFacts { deadline_seconds: Some(seconds), ..pod.facts.clone() }), started];
            prop_assert!(deadline >= begun.map(|begun| after(begun, SignedDuration::from_secs(600))), "too short");
        }
        let is_news = pod.facts.ended_for != Some(ended_for) || pod.facts.deadline_seconds != Some(seconds);
        prop_assert!(is_news, "the same is asked twice");
        (pod.facts.deadline_seconds, pod.facts.ended_for, pod.lowered_at) = (Some(seconds), Some(ended_for), Some(now));
        pod.meets_its_deadline(now);
        Ok(())
    }

    pub(super) fn admit(&mut self) -> Checked {
        let Some(kind) = self.scene.kind.clone() else { return Ok(()) };
        let QueueState::Pending(pending) =
            queue_state(&self.scene.task, Some(&kind), self.scene.first_seen, &self.scene.settings)
        else {
            return Ok(());
        };
        self.forget_what_is_gone();
        if is_forestalled(&self.scene.task, &self.observed(), self.scene.first_seen) {
            return Ok(());
        }
        if self.scene.queue.is_none() || pending.ready_at.is_some_and(|ready| ready > at(self.clock())) {
            return Ok(());
        }
        let (arrival, holds) = (pending.order.place(), pending.admitted());
        let admission = match self.executor {
            Executor::Job | Executor::Pod => Admission { arrival, holds, worker: None },
            Executor::Pool => {
                let Some((pod, uid)) = self.free_worker() else { return Ok(()) };
                self.grant(true);
                let worker = AdmittedWorker { pool: "warm".into(), uid, slot: 0, beats: true };
                Admission { arrival, holds: Admitted { worker: Some(worker), ..holds }, worker: Some(pod) }
            }
        };
        self.write(admitted(&self.scene.task, &kind, &admission, at(self.clock())))?;
        self.grant(false);
        Ok(())
    }

    pub(super) fn record(&mut self, recording: Recording) -> Checked {
        let Recording { ended, then, meanwhile, .. } = recording;
        prop_assert!(ended.state.is_final() && ended.is_archived() && ended.run_id.is_some(), "no end: {:?}", ended);
        if self.archive_takes {
            self.archive.retain(|other| other.run_id != ended.run_id);
            self.archive.push(ended);
            return self.write(then);
        }
        meanwhile.map_or(Ok(()), |meanwhile| self.write(meanwhile))
    }

    /// It matters only while the task holds a slot.
    pub(super) fn forget_what_is_gone(&mut self) {
        if self.scene.status().state != State::Processing {
            self.gone_jobs.clear();
            self.gone_pods.clear();
        }
    }

    /// Whether the archive has this end.
    pub(super) fn has(&self, end: &TaskStatus) -> bool {
        let told = |status: &TaskStatus| (status.state, status.reason, status.attempts.clone(), status.result.clone());
        self.archive.iter().any(|kept| kept.run_id == end.run_id && told(kept) == told(end))
    }

    pub(super) fn write(&mut self, status: TaskStatus) -> Checked {
        if std::mem::take(&mut self.lose_next) {
            return Ok(());
        }
        prop_assert_ne!(status.result.as_ref(), Some(&json!(FORGED)), "a stranger was believed");
        self.check_transition(&status)?;
        self.scene.set(status.clone());
        self.take_in_lease()?;
        if status.state != State::Processing {
            (self.refused, self.unanswered) = (None, None);
        }
        let next = decide(&self.gather()?, at(self.clock())).action;
        prop_assert_ne!(next, Action::Write(Box::new(status)), "the same is written twice");
        Ok(())
    }

    pub(super) fn launch(&mut self) -> Checked {
        if self.executor == Executor::Pool {
            return self.hand_out();
        }
        if std::mem::take(&mut self.lose_next) {
            return Ok(());
        }
        if std::mem::take(&mut self.refuse_next) {
            self.refused = Some(Why { reason: Reason::LaunchRefused, message: "a webhook said no".into() });
            return Ok(());
        }
        let name = job_name(&self.scene.task);
        prop_assert!(self.scene.task.metadata.deletion_timestamp.is_none(), "launched though it is being deleted");
        prop_assert!(self.observed().jobs.iter().all(|job| job.name != name || job.gone), "launched what is there");
        if !self.launched_as(&name).is_empty() {
            // The name is taken, so it is asked whose it is.
            self.show(&name);
            self.unanswered = None;
            return Ok(());
        }
        prop_assert!(!self.something_runs(), "launched while something runs");
        let admitted_to = crate::attempt::executor(self.scene.status());
        prop_assert_eq!(admitted_to, Some(self.executor));
        let mut job = self.scene.job(self.now);
        job.uid = format!("uid {} of {name}", self.launched.len());
        job.suspended = std::mem::take(&mut self.hold_next_job);
        self.launched.push(name);
        if std::mem::take(&mut self.no_answer_next) {
            let why = Why { reason: Reason::LaunchFailed, message: "no answer in time".into() };
            self.unanswered.get_or_insert(Unanswered { since: at(self.clock()), why });
            self.on_its_way = Some(job);
            return Ok(());
        }
        // Who comes second finds the name taken.
        (self.unanswered, self.on_its_way) = (None, None);
        self.make(job);
        Ok(())
    }

    /// Makes this Job, or a bare pod of its name.
    pub(super) fn make(&mut self, job: JobFacts) {
        match self.executor {
            Executor::Job => self.jobs.push(job),
            Executor::Pod | Executor::Pool => {
                let pod = waits(Reason::Unschedulable)(self.bare_pod(&job.name, &job.uid));
                self.pods.push(Pod::of(PodFacts { waiting: None, ..pod }));
            }
        }
    }

    /// A Job whose launch nobody answered is made after all, unless its name is taken. Once the attempt has been given up, it is shown
    /// at once: nobody can ask for what is made later.
    pub(super) fn take_place_late(&mut self) {
        let Some(job) = self.on_its_way.take().filter(|job| self.launched_as(&job.name).is_empty()) else { return };
        if self.scene.status().state == State::Processing && job.name == job_name(&self.scene.task) {
            self.unshown.insert(job.uid.clone());
        }
        self.make(JobFacts { created_at: at(self.now), ..job });
    }

    /// The operator begins anew, and knows nothing of what is gone.
    pub(super) fn forget(&mut self) -> Checked {
        self.reports = None;
        self.gone_jobs.clear();
        self.gone_pods.clear();
        (self.refused, self.unanswered) = (None, None);
        self.seen_jobs.clear();
        self.seen_pods.clear();
        self.not_ended.clear();
        // The lists that it begins with show what is there.
        self.unshown.clear();
        self.forget_workers()
    }

    pub(super) fn watches_catch_up(&mut self) {
        self.unshown.clear();
        self.workers.unshown.clear();
    }
}
