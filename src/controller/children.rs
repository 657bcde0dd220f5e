//! What is known of one task's Jobs and pods: the facts that the watches brought, and what we did ourselves
//! and they have not shown yet.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use crate::core::observe::{JobFacts, Observed, PodFacts, Trouble};
use crate::core::queue::Holding;

/// A Job or a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Child {
    pub kind: Kind,
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Job,
    Pod,
}

impl Child {
    fn new(kind: Kind, namespace: &str, name: &str, uid: &str) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into(), uid: uid.into() }
    }
}

/// A task's children, by uid.
#[derive(Default)]
pub struct Children {
    jobs: HashMap<String, JobFacts>,
    pods: HashMap<String, PodFacts>,
    /// Jobs that we made and the watch has not shown yet.
    created: HashSet<String>,
    /// The API server's refusal of the present attempt's Job.
    refused: Option<Trouble>,
}

impl Children {
    pub fn observed(&self, task_uid: &str) -> Observed {
        let jobs = self.jobs.values().cloned().collect();
        let pods = self.pods.values().cloned().collect();
        Observed { refused: self.refused.clone(), ..Observed::of(task_uid, jobs, pods) }
    }

    pub fn pod_seen(&mut self, pod: PodFacts) {
        let pod = match self.pods.get(&pod.uid) {
            Some(before) => pod.after(before),
            None => pod,
        };
        self.pods.insert(pod.uid.clone(), pod);
    }

    /// A pod that the API server was asked for: what the watch has shown of it may be newer.
    pub fn pod_found(&mut self, pod: PodFacts) {
        self.pods.entry(pod.uid.clone()).or_insert(pod);
    }

    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.pods.is_empty()
    }

    /// What a child that may still run holds, by its own word. Its owner reference may be gone with its task.
    pub fn holding(&self) -> Option<Holding> {
        let live_pods = self.pods.values().filter(|pod| !pod.has_ended()).map(|pod| (&pod.namespace, &pod.holds));
        let live_jobs = self.jobs.values().filter(|job| self.may_run(job)).map(|job| (&job.namespace, &job.holds));
        live_pods.chain(live_jobs).find_map(|(namespace, holds)| Some(Holding::of_orphan(namespace, holds.as_ref()?)))
    }

    /// Without a pod yet, a Job that has not finished may still make one.
    fn may_run(&self, job: &JobFacts) -> bool {
        job.is_live() && !self.pods.values().any(|pod| pod.job == job.name)
    }

    pub fn job_seen(&mut self, job: JobFacts) {
        self.created.remove(&job.uid);
        self.jobs.insert(job.uid.clone(), job);
    }

    /// A Job that we have just made.
    pub fn job_created(&mut self, job: JobFacts) {
        self.created.insert(job.uid.clone());
        self.jobs.insert(job.uid.clone(), job);
    }

    /// We had this Job deleted.
    pub fn job_deleted(&mut self, uid: &str) {
        if let Some(job) = self.jobs.get_mut(uid) {
            job.deleting = true;
        }
    }

    pub fn launch_refused(&mut self, why: Trouble) {
        self.refused = Some(why);
    }

    /// Marks as gone what is not on the list of Jobs; tells whether there was any such.
    pub fn jobs_listed(&mut self, listed: &HashSet<String>) -> bool {
        let there = |uid: &String| listed.contains(uid) || self.created.contains(uid);
        let gone = self.jobs.values_mut().filter(|job| !job.gone && !there(&job.uid));
        gone.map(|job| job.gone = true).count() > 0
    }

    pub fn pods_listed(&mut self, listed: &HashSet<String>, now: Timestamp) -> bool {
        let gone = self.pods.values_mut().filter(|pod| !pod.is_gone() && !listed.contains(&pod.uid));
        gone.map(|pod| pod.gone_at = Some(now)).count() > 0
    }

    /// What is there of ours, by the annotation that we put there, and is not on its way out. A pod goes with
    /// its Job.
    pub fn present(&self) -> impl Iterator<Item = Child> {
        let jobs = self.jobs.values().filter(|job| !job.gone && !job.deleting && job.holds.is_some());
        let pods = self.pods.values().filter(|pod| !pod.is_gone() && pod.due_gone_at.is_none() && pod.holds.is_some());
        let without_job = pods.filter(|pod| !self.jobs.values().any(|job| job.name == pod.job));
        jobs.map(|job| Child::new(Kind::Job, &job.namespace, &job.name, &job.uid))
            .chain(without_job.map(|pod| Child::new(Kind::Pod, &pod.namespace, &pod.name, &pod.uid)))
    }

    /// What was and is gone matters only while the task holds a slot.
    pub fn forget_gone(&mut self) {
        self.jobs.retain(|_, job| !job.gone);
        self.pods.retain(|_, pod| !pod.is_gone());
        self.refused = None;
    }
}
