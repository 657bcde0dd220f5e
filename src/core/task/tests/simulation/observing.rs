//! What the operator knows: what its watches have shown, and what the API server answers when it is asked.

use super::*;

impl World {
    /// The second, by its own clock.
    pub(super) fn clock(&self) -> i64 {
        self.now + self.ahead
    }

    pub(super) fn observed(&self) -> Observed {
        let jobs = self.jobs.iter().chain(&self.gone_jobs).filter(|job| !self.unshown.contains(&job.uid));
        let pods = self.pods.iter().map(|pod| &pod.facts).chain(&self.gone_pods);
        let is_unshown = |pod: &PodFacts| self.unshown.contains(pod.owner.as_ref().expect("an owner"));
        let pods = pods.filter(|pod| !is_unshown(pod) || self.found.contains(&pod.uid));
        let now = at(self.clock());
        let job = |job: &JobFacts| {
            let fresh = job.clone().first_seen(now);
            self.seen_jobs.get(&job.uid).map_or(fresh.clone(), |before| fresh.after(before))
        };
        let pod = |pod: &PodFacts| {
            let mut fresh = pod.clone().first_seen(now);
            fresh.asked.end_refused = self.not_ended.contains(&pod.uid);
            self.seen_pods.get(&pod.uid).map_or(fresh.clone(), |before| fresh.after(before))
        };
        Observed {
            refused: self.refused.clone(),
            unanswered: self.unanswered.clone(),
            reports: self.reports.clone(),
            worker: self.worker_facts(),
            ..Observed::of(&self.scene.task, jobs.map(job).collect(), pods.map(pod).collect())
        }
    }

    pub(super) fn see(&mut self) {
        let Observed { jobs, pods, worker, .. } = self.observed();
        self.seen_jobs.extend(jobs.into_iter().map(|job| (job.uid.clone(), job)));
        self.seen_pods
            .extend(pods.into_iter().chain(worker.and_then(|worker| worker.pod)).map(|pod| (pod.uid.clone(), pod)));
    }

    /// Reads what the watches have shown, and asks the API server where the core says so.
    pub(super) fn gather(&mut self) -> Result<Input, TestCaseError> {
        self.forget_what_is_gone();
        self.see();
        self.scene.observed = self.observed();
        let (now, mut input) = (at(self.clock()), self.scene.input());
        let mut asked = vec![];
        loop {
            let question = needs(&input, now);
            if question == Needs::Nothing {
                break;
            }
            self.answer(&question, &mut input, now);
            asked.push(question);
            prop_assert!(asked.len() <= Needs::MOST, "asks again and again: {:?}", asked);
        }
        let name = job_name(&self.scene.task);
        let kind = Child::of(self.executor);
        let was_asked = asked.contains(&Needs::Launched { kind, name: name.clone() });
        let is_asked_for = |question: &Needs| matches!(question, Needs::Worker { .. });
        let was_asked = was_asked || asked.iter().any(is_asked_for);
        let is_there = self.scene.observed.jobs.iter().any(|job| job.name == name && !job.gone);
        let is_there = is_there || self.scene.observed.worker.is_some();
        let gives_back = self.scene.status().state == State::Processing && gives_the_slot_back(&decide(&input, now));
        prop_assert!(!gives_back || is_there || was_asked, "the slot is given back, and nobody was asked");
        self.scene.observed = self.observed();
        Ok(input)
    }

    /// Answers as the API server does, which knows what no watch has shown; and remembers that.
    pub(super) fn answer(&mut self, question: &Needs, input: &mut Input, now: Timestamp) {
        match question {
            Needs::PodsOf(job) => {
                let pods: Vec<_> = self.pods.iter().map(|pod| &pod.facts).filter(|pod| pod.job == *job).collect();
                self.found.extend(pods.iter().map(|pod| pod.uid.clone()));
                input.pods_are(pods.into_iter().map(|pod| pod.clone().first_seen(now)).collect());
            }
            Needs::Launched { kind: Child::Pod, name } => {
                let ours = self.pods.iter().map(|pod| &pod.facts).find(|pod| pod.bare.is_some() && pod.name == *name);
                input.bare_pod_is(ours.map(|pod| pod.clone().first_seen(now)));
                self.show(name);
            }
            Needs::Launched { kind: Child::Job, name } => {
                let ours = |job: &&JobFacts| job.name == *name && job.owner == self.scene.task.metadata.uid;
                input.job_is(self.jobs.iter().find(ours).map(|job| job.clone().first_seen(now)));
                self.show(name);
            }
            Needs::Pod { uid, .. } => {
                let there = self.pods.iter().map(|pod| &pod.facts).find(|pod| pod.uid == *uid);
                input.pod_is(there.map(|pod| pod.clone().first_seen(now)));
            }
            Needs::EventsOf(uid) | Needs::EventsOfEnd(uid) => {
                let begun = self.pods.iter().find(|pod| pod.facts.uid == *uid).and_then(|pod| pod.work().started_at());
                let started = |at| PodEvent {
                    reason: "Started".into(),
                    container: Some("work".into()),
                    first_seen: Some(at),
                    last_seen: Some(at),
                    ..PodEvent::default()
                };
                let triggered = PodEvent { reason: "TriggeredScaleUp".into(), ..PodEvent::default() };
                let triggered = self.node_is_coming.then_some(triggered);
                input.events_are(uid, &begun.map(started).into_iter().chain(triggered).collect::<Vec<_>>(), now);
            }
            // All pods are on one node, as they say; each is asked for by itself.
            Needs::Node(name) => {
                let overdue = |pod: &&Pod| !pod.facts.has_ended() && pod.facts.due_gone_at.is_some();
                let silent = self.pods.iter().filter(|pod| overdue(pod) && !pod.node_answers);
                let workers = self.workers.all.iter().map(|worker| &worker.pod);
                let silent = silent.chain(workers.filter(overdue).filter(|pod| !pod.node_answers));
                let silent: Vec<_> = silent.map(|pod| pod.facts.uid.clone()).collect();
                let is = if silent.is_empty() { NodeState::Answers } else { NodeState::Silent };
                self.given_up.extend(silent);
                input.node_is(name, is);
            }
            Needs::Worker { uid, .. } => input.worker_is(self.worker_asked_for(uid)),
            Needs::Nothing => {}
        }
    }

    pub(super) fn show(&mut self, name: &str) {
        for there in self.launched_as(name) {
            self.unshown.remove(&there.uid);
        }
    }

    /// The Jobs and bare pods that there are.
    pub(super) fn launches(&self) -> impl Iterator<Item = JobFacts> {
        let bare = self.pods.iter().filter_map(|pod| JobFacts::of_bare_pod(&pod.facts));
        self.jobs.iter().cloned().chain(bare)
    }

    pub(super) fn launched_as(&self, name: &str) -> Vec<JobFacts> {
        self.launches().filter(|there| there.name == name).collect()
    }
}
