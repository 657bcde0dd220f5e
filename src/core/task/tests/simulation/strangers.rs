//! What the work reports, and what others say in its name.

use super::*;

impl World {
    pub(super) fn report(&mut self, pod: u8, report: u8) {
        let pods = self.pods.iter().map(|pod| &pod.facts).chain(&self.gone_pods);
        let Some(pod) = pods.cycle().nth(pod.into()).map(|pod| pod.uid.clone()) else { return };
        let report = match report % 8 {
            0 => reports::error(Some("Broken"), None, Some(report > 100)).map(Report::Error),
            1 => Ok(Report::Result(task_manager_api::ResultRef {
                content_type: "text/plain".into(),
                bytes: report.into(),
                uid: None,
            })),
            _ => reports::progress(Some(report.into()), None, None, None).map(Report::Progress),
        };
        let attempt = AttemptId::of(&self.scene.task);
        let before = self.reports.take().filter(|before| before.pod == pod && before.attempt == attempt);
        let mut reports = before.unwrap_or_else(|| Reports::none(attempt, &pod));
        reports.take(report.expect("a clear report"));
        self.reports = Some(reports);
    }

    pub(super) fn forge_pod(&mut self) {
        let Scene { task, first_seen, .. } = &self.scene;
        let is_at_work = self.scene.status().state == State::Processing;
        let next = || names::job_of(task, &next_attempt(task, *first_seen));
        let name = if is_at_work { job_name(task) } else { next() };
        self.add_forged(name, "made up".into());
    }

    pub(super) fn forge_launch(&mut self) {
        let name = names::job_of(&self.scene.task, &next_attempt(&self.scene.task, self.scene.first_seen));
        if self.scene.status().state != State::Queued || !self.launched_as(&name).is_empty() {
            return;
        }
        self.pods_made += 1;
        let uid = format!("forged {}", self.pods_made);
        if self.executor == Executor::Pod {
            let facts = exits_leaving(0, Some(FORGED))(self.bare_pod(&name, &uid));
            return self.pods.push(Pod::of(facts));
        }
        let mut job = JobFacts { name: name.clone(), uid: uid.clone(), ..self.scene.job(self.now) };
        finished(true, self.now)(&mut job);
        self.jobs.push(job);
        self.with_pod.push(uid.clone());
        self.add_forged(name, uid);
    }

    /// A pod that has ended well.
    pub(super) fn add_forged(&mut self, job: String, owner: String) {
        self.pods_made += 1;
        let name = format!("p{}", self.pods_made);
        let pod = exits_leaving(0, Some(FORGED))(self.scene.pod(&name));
        let facts = PodFacts { job, owner: Some(owner), created_at: at(self.now), ..pod };
        self.pods.push(Pod::of(facts));
    }
}
