//! What the cluster does: Jobs get pods, pods start, end and go.

use super::*;

impl World {
    /// A bare pod of the task that is made now.
    pub(super) fn bare_pod(&self, name: &str, uid: &str) -> PodFacts {
        let (job, uid, bare) = (name.to_owned(), uid.to_owned(), BarePod { task: "uid-1".into(), finalizers: vec![] });
        let pod = self.scene.pod(name);
        PodFacts { job, owner: Some(uid.clone()), uid, bare: Some(bare), created_at: at(self.now), ..pod }
    }

    pub(super) fn wait(&mut self, seconds: i64) {
        self.now += seconds;
        let now = at(self.now);
        self.pods.iter_mut().filter(|pod| pod.node_answers).for_each(|pod| pod.meets_its_deadline(now));
        let (leave, stay) = std::mem::take(&mut self.pods)
            .into_iter()
            .partition(|pod| pod.node_answers && pod.facts.due_gone_at.is_some_and(|due| due <= now));
        self.pods = stay;
        let leave: Vec<Pod> = leave;
        self.gone_pods.extend(leave.into_iter().map(|pod| gone_at(now, ended_by_deletion(pod, now))));
        self.release_jobs();
        self.workers_go(now);
    }

    pub(super) fn pod_comes(&mut self, waiting: Option<Reason>, helped: bool, killed: i32) {
        let is_without =
            |job: &JobFacts| job.is_live() && !job.deleting && !job.suspended && !self.with_pod.contains(&job.uid);
        let Some(job) = self.launches().find(is_without) else { return };
        self.pods_made += 1;
        self.with_pod.push(job.uid.clone());
        let is_gated = waiting == Some(Reason::PodGated);
        let on_a_node = !is_gated && waiting != Some(Reason::Unschedulable);
        let beside = Beside { container: "helper".into(), runs: false };
        let bare = self.pods.iter().position(|pod| pod.facts.uid == job.uid);
        let facts = match bare.map(|place| self.pods.remove(place).facts) {
            // The scheduler looks at a bare pod.
            Some(made) => PodFacts { created_at: made.created_at, ..self.bare_pod(&job.name, &job.uid) },
            None => PodFacts {
                job: job.name.clone(),
                owner: Some(job.uid.clone()),
                uid: format!("pod {} of {}", self.pods_made, job.uid),
                created_at: at(self.now),
                ..self.scene.pod(&format!("p{}", self.pods_made))
            },
        };
        let facts = waits(waiting.unwrap_or(Reason::Starting))(facts);
        let facts = PodFacts {
            waiting: facts.waiting.filter(|_| waiting.is_some() && !is_gated),
            gates: if is_gated { vec!["example.com/quota".into()] } else { vec![] },
            started_at: on_a_node.then(|| at(self.now)),
            beside: if helped { vec![beside] } else { vec![] },
            ..facts
        };
        self.pods.push(Pod { killed, ..Pod::of(facts) });
    }

    pub(super) fn pod_starts(&mut self, told_late: bool) {
        let now = at(self.now);
        let may_start = |pod: &&mut Pod| {
            *pod.work() == Work::NotStarted && pod.facts.due_gone_at.is_none() && !pod.facts.has_ended()
        };
        let Some(pod) = self.pods.iter_mut().find(may_start) else { return };
        let runs = Work::Running { started_at: Some(now) };
        pod.facts.beside.iter_mut().for_each(|beside| beside.runs = true);
        pod.facts = PodFacts {
            started_at: pod.facts.started_at.or(Some(now)),
            node: Some("node-3".into()),
            gates: vec![],
            waiting: None,
            ..pod.facts.clone()
        };
        pod.hidden = Some(runs);
        if !told_late {
            self.statuses_catch_up();
        }
    }

    pub(super) fn node_refuses(&mut self, for_good: bool) {
        let is_new = |pod: &&mut Pod| {
            let facts = &pod.facts;
            *pod.work() == Work::NotStarted && facts.node.is_some() && facts.due_gone_at.is_none() && !facts.has_ended()
        };
        let now = at(self.now);
        let Some(pod) = self.pods.iter_mut().find(is_new) else { return };
        let word = if for_good { "SysctlForbidden" } else { "OutOfcpu" };
        pod.facts = PodFacts {
            phase: Phase::Failed,
            lists_no_container: true,
            started_at: pod.facts.started_at.or(Some(now)),
            reason: Some(word.into()),
            beside: vec![],
            ..pod.facts.clone()
        };
    }

    pub(super) fn helpers_end(&mut self) {
        for pod in self.pods.iter_mut().filter(|pod| pod.node_answers && pod.facts.work_ended()) {
            pod.facts.beside.clear();
            pod.work_ends(pod.facts.work.clone());
        }
    }

    pub(super) fn statuses_catch_up(&mut self) {
        for pod in self.pods.iter_mut().filter(|pod| pod.node_answers && !pod.facts.has_ended()) {
            let Some(work) = pod.hidden.take() else { continue };
            (pod.facts.work, pod.facts.awaited, pod.facts.phase) = (work.clone(), None, Phase::Running);
            pod.work_ends(work);
        }
    }

    pub(super) fn kubelet_restarts(&mut self) {
        let now = at(self.now);
        let is_over = |pod: &Pod| clocks::deadline(&pod.facts).is_some_and(|deadline| deadline <= now);
        for pod in self.pods.iter_mut().filter(|pod| pod.facts.has_ended() && is_over(pod)) {
            pod.facts.reason = Some("DeadlineExceeded".into());
        }
    }

    /// The Job controller deletes the pod of a Job that is held back, counts nothing, and makes another when it goes on.
    pub(super) fn hold_job(&mut self, held: bool) {
        let Some(job) = self.jobs.iter_mut().find(|job| job.is_live() && !job.deleting) else { return };
        let uid = job.uid.clone();
        let pod = self.pods.iter().find(|pod| pod.facts.owner.as_ref() == Some(&uid));
        match pod.map(|pod| (pod.facts.uid.clone(), pod.facts.has_ended())) {
            // A Job that is resumed while its pod still ends is left out here.
            Some(_) if !held => return,
            Some((pod, false)) => {
                self.held_back.insert(uid.clone());
                self.delete_pod(&pod);
            }
            None if !held && self.held_back.remove(&uid) => self.with_pod.retain(|with| *with != uid),
            _ => {}
        }
        if let Some(job) = self.jobs.iter_mut().find(|job| job.uid == uid) {
            job.suspended = held;
        }
        if !held {
            self.pod_comes(None, false, 143);
        }
    }

    /// A pod whose work ended more than a moment ago is evicted while helpers still run.
    pub(super) fn evict_helpers(&mut self) -> bool {
        let now = at(self.now);
        let ended_long_ago = |pod: &&mut Pod| match &pod.facts.work {
            Work::Ended { at: Some(ended), .. } => {
                !pod.facts.has_ended() && after(*ended, SignedDuration::from_secs(5)) < now
            }
            _ => false,
        };
        let Some(pod) = self.pods.iter_mut().filter(|pod| pod.node_answers).find(ended_long_ago) else { return false };
        pod.facts.disruption = Some(("TerminationByKubelet".into(), "short of memory".into()));
        pod.facts.disrupted_at = Some(now);
        pod.facts.beside.clear();
        pod.work_ends(pod.facts.work.clone());
        true
    }

    pub(super) fn pod_ends(&mut self, end: End) {
        if matches!(end, End::Evicted) && self.evict_helpers() {
            return;
        }
        let now = at(self.now);
        let at_work = |pod: &&mut Pod| pod.node_answers && pod.runs_its_work();
        let Some(pod) = self.pods.iter_mut().find(at_work) else { return };
        let started_at = pod.work().started_at();
        let ended = |exit_code: i32, left: Option<&str>| Work::Ended {
            exit_code,
            started_at,
            at: Some(now),
            left: left.map(str::to_owned),
        };
        let work = match end {
            End::Success => ended(0, Some("{}")),
            End::Exit(code) => ended(code, None),
            End::OutOfMemory | End::Evicted => ended(137, None),
            End::Permanent => ended(1, Some(r#"{"error": {"retryable": false}}"#)),
            End::NodeStopsAnswering => {
                pod.node_answers = false;
                return;
            }
        };
        if pod.facts.due_gone_at.is_none() && !clocks::outlasted_deadline(&pod.facts, now) {
            let Work::Ended { exit_code, .. } = work else { return };
            pod.own_end = Some(exit_code).filter(|_| !matches!(end, End::OutOfMemory | End::Evicted));
        }
        match end {
            End::OutOfMemory => {
                pod.facts.out_of_memory = Some(OutOfMemory { container: "work".into(), limit: None });
            }
            End::Evicted => {
                pod.facts.disruption = Some(("TerminationByKubelet".into(), "short of memory".into()));
                pod.facts.disrupted_at = Some(now);
                pod.facts.beside.clear();
                pod.hidden = None;
            }
            _ => {}
        }
        pod.work_ends(work);
    }

    /// The Job controller finishes the Jobs whose pods have ended or are being deleted.
    pub(super) fn count_jobs(&mut self) {
        let all: Vec<PodFacts> =
            self.pods.iter().map(|pod| pod.facts.clone()).chain(self.gone_pods.iter().cloned()).collect();
        for job in self.jobs.iter_mut().filter(|job| job.finished.is_none() && !job.suspended) {
            let of_job = |pod: &&PodFacts| pod.owner.as_ref() == Some(&job.uid);
            if let Some(pod) = all.iter().find(of_job).filter(|pod| pod.has_ended()) {
                job.finished = Some(JobEnd { succeeded: pod.phase == Phase::Succeeded, at: at(self.now) });
            }
        }
    }

    pub(super) fn delete_job(&mut self, uid: &str, in_foreground: bool) {
        if let Some(job) = self.jobs.iter_mut().find(|job| job.uid == uid) {
            job.deleting = true;
        }
        if in_foreground {
            self.collect_garbage();
            return;
        }
        let (gone, stay) = std::mem::take(&mut self.jobs).into_iter().partition(|job| job.uid == uid);
        self.jobs = stay;
        self.remember(gone);
    }

    pub(super) fn remember(&mut self, gone: Vec<JobFacts>) {
        self.gone_jobs.extend(gone.into_iter().map(|job| JobFacts { gone: true, ..job }));
    }

    /// Pods whose Job is gone or going are deleted.
    pub(super) fn collect_garbage(&mut self) {
        let alive: Vec<&String> = self.jobs.iter().filter(|job| !job.deleting).map(|job| &job.uid).collect();
        let orphans: Vec<String> = self
            .pods
            .iter()
            .filter(|pod| pod.facts.bare.is_none() && !alive.contains(&pod.facts.owner.as_ref().expect("an owner")))
            .map(|pod| pod.facts.uid.clone())
            .collect();
        orphans.iter().for_each(|uid| self.delete_pod(uid));
        self.release_jobs();
    }

    /// A Job that is deleted in the foreground goes when its pods have gone.
    pub(super) fn release_jobs(&mut self) {
        let with_pods: Vec<String> = self.pods.iter().filter_map(|pod| pod.facts.owner.clone()).collect();
        let (gone, stay) =
            std::mem::take(&mut self.jobs).into_iter().partition(|job| job.deleting && !with_pods.contains(&job.uid));
        self.jobs = stay;
        self.remember(gone);
    }

    pub(super) fn delete_pod(&mut self, uid: &str) {
        let now = at(self.now);
        let Some(place) = self.pods.iter().position(|pod| pod.facts.uid == uid && pod.facts.due_gone_at.is_none())
        else {
            return;
        };
        let pod = &mut self.pods[place];
        if pod.facts.has_ended() || pod.facts.started_at.is_none() {
            let facts = self.pods.remove(place).facts;
            self.gone_pods.push(gone_at(now, facts));
        } else {
            // Of an end that the status had not told, in the second of the deletion, nobody can say whose it was.
            if matches!(pod.work(), Work::Ended { at: Some(ended), .. } if *ended >= now) {
                pod.own_end = None;
            }
            pod.facts = terminating(self.now)(pod.facts.clone());
            debug_assert!(pod.facts.due_gone_at > Some(now));
        }
        self.release_jobs();
    }
}
