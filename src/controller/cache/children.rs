//! The Jobs and pods of one task: the facts that the watches brought, and our own requests about them that the
//! watches have not shown yet.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use crate::api::Task;
use crate::core::Reason;
use crate::core::attempt::facts::{EventsRead, JobFacts, Observed, PodFacts, Unanswered, Why};
use crate::core::launch::resources::Amounts;
use crate::core::queue::Reservation;

/// A Job or a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Child {
    pub kind: ChildKind,
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChildKind {
    Job,
    Pod,
}

impl Child {
    fn new(kind: ChildKind, namespace: &str, name: &str, uid: &str) -> Self {
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
    /// Pods that were asked for and the watch has not shown yet.
    found: HashSet<String>,
    /// Owners, Jobs mostly, that are none of ours though their pods bear our labels; by uid.
    strangers: HashSet<String>,
    /// The API server's refusal of the present attempt's Job or bare pod.
    refused: Option<Why>,
    /// That it does not say whether it made that.
    unanswered: Option<Unanswered>,
}

impl Children {
    pub fn observed(&self, task: &Task) -> Observed {
        let jobs = self.jobs.values().cloned().collect();
        let pods = self.pods.values().cloned().collect();
        let (refused, unanswered) = (self.refused.clone(), self.unanswered.clone());
        Observed { refused, unanswered, ..Observed::of(task, jobs, pods) }
    }

    pub fn pod_seen(&mut self, pod: PodFacts) {
        self.found.remove(&pod.uid);
        let pod = match self.pods.get(&pod.uid) {
            Some(before) => pod.after(before),
            None => pod,
        };
        self.pods.insert(pod.uid.clone(), pod);
    }

    /// A pod that the API server was asked for: a list of pods that began before may know nothing of it, and what the
    /// watch has shown of it already may be newer.
    pub fn pod_found(&mut self, pod: PodFacts) {
        if pod.bare.is_some() {
            self.unanswered = None;
        }
        if !self.pods.contains_key(&pod.uid) {
            self.found.insert(pod.uid.clone());
            self.pods.insert(pod.uid.clone(), pod);
        }
    }

    /// A list of pods begins: whatever was found so far is on it, or gone.
    pub fn pods_list_begins(&mut self) {
        self.found.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.pods.is_empty()
    }

    /// The slot that a child which may still run holds, by its own annotation. Its owner reference may be gone with its task.
    pub fn reservation(&self) -> Option<Reservation> {
        let of_pod =
            |pod: &PodFacts| Some(Reservation::of(&pod.namespace, pod.holds.as_ref()?).with_surplus(&pod.surplus));
        let of_job = |job: &JobFacts| Some(Reservation::of(&job.namespace, job.holds.as_ref()?));
        let of_pods = self.pods_of_ours().filter(|pod| !pod.has_ended()).find_map(of_pod);
        of_pods.or_else(|| self.jobs_of_ours().filter(|job| self.may_make_a_pod(job)).find_map(of_job))
    }

    /// One of its pods counts for more than its slot.
    pub fn has_surplus(&self) -> bool {
        self.pods.values().any(|pod| !pod.surplus.is_empty())
    }

    /// The uids of its pods that count for more than their slot.
    pub fn larger_pods(&self) -> Vec<String> {
        self.pods.values().filter(|pod| !pod.surplus.is_empty()).map(|pod| pod.uid.clone()).collect()
    }

    /// By how much a pod of this task that has not ended counts for more than its slot. Anybody may make a pod with our
    /// labels: only what a Job of the task owns counts.
    pub fn surplus(&self, task: &Task) -> Option<Amounts> {
        self.larger(task)?.into_iter().map(|pod| pod.surplus).next()
    }

    /// The pod of this uid, where it counts for more than its slot.
    pub fn larger_pod(&self, task: &Task, uid: &str) -> Option<PodFacts> {
        self.larger(task)?.into_iter().find(|pod| pod.uid == uid)
    }

    fn larger(&self, task: &Task) -> Option<Vec<PodFacts>> {
        let Observed { jobs, pods, .. } = self.has_surplus().then(|| self.observed(task))?;
        let is_owned = |pod: &PodFacts| jobs.iter().any(|job| pod.is_owned_by(job));
        Some(pods.into_iter().filter(|pod| !pod.surplus.is_empty() && !pod.has_ended() && is_owned(pod)).collect())
    }

    fn jobs_of_ours(&self) -> impl Iterator<Item = &JobFacts> {
        self.jobs.values().filter(|job| !self.strangers.contains(&job.uid))
    }

    fn pods_of_ours(&self) -> impl Iterator<Item = &PodFacts> {
        let is_strangers = |pod: &PodFacts| controller(pod).is_some_and(|owner| self.strangers.contains(owner));
        self.pods.values().filter(move |pod| !is_strangers(pod))
    }

    /// This owner, or this Job itself, is a stranger's.
    pub fn disown(&mut self, owner: &str) {
        self.strangers.insert(owner.into());
    }

    /// Without a pod yet, a Job that has not finished may still make one; and one that somebody held back makes another.
    fn may_make_a_pod(&self, job: &JobFacts) -> bool {
        job.is_live() && (job.suspended || !self.pods.values().any(|pod| pod.job == job.name))
    }

    pub fn job_seen(&mut self, job: JobFacts) {
        self.created.remove(&job.uid);
        let job = match self.jobs.get(&job.uid) {
            Some(before) => job.after(before),
            None => job,
        };
        self.jobs.insert(job.uid.clone(), job);
    }

    /// A Job that we have just made, or that the API server was asked for. A list of Jobs that began before knows
    /// nothing of it; and what the watch has shown of it already may be newer.
    pub fn job_found(&mut self, job: JobFacts) {
        self.unanswered = None;
        if !self.jobs.contains_key(&job.uid) {
            self.created.insert(job.uid.clone());
            self.jobs.insert(job.uid.clone(), job);
        }
    }

    /// A list of Jobs begins: whatever was made so far is on it, or gone.
    pub fn jobs_list_begins(&mut self) {
        self.created.clear();
    }

    /// A Job of which only the metadata can be read: what else was seen of it before stays.
    pub fn job_in_part(&mut self, job: JobFacts) {
        let gone = job.gone;
        self.created.remove(&job.uid);
        self.jobs.entry(job.uid.clone()).or_insert(job).gone |= gone;
    }

    /// The same of a pod.
    pub fn pod_in_part(&mut self, pod: PodFacts) {
        let gone_at = pod.gone_at;
        self.found.remove(&pod.uid);
        let known = self.pods.entry(pod.uid.clone()).or_insert(pod);
        known.gone_at = known.gone_at.or(gone_at);
    }

    /// We had this Job deleted.
    pub fn job_deleted(&mut self, uid: &str) {
        if let Some(job) = self.jobs.get_mut(uid) {
            job.deleting = true;
        }
    }

    /// We had the deadline of this pod lowered.
    pub fn pod_ends(&mut self, uid: &str, seconds: i64, ended_for: Reason, now: Timestamp) {
        if let Some(pod) = self.pods.get_mut(uid) {
            pod.will_end(seconds, ended_for, now);
        }
    }

    /// The API server would not have that.
    pub fn pod_end_refused(&mut self, uid: &str) {
        if let Some(pod) = self.pods.get_mut(uid) {
            pod.asked.end_refused = true;
        }
    }

    /// The events of this pod were read anew; unless it has changed since they were asked for.
    pub fn events_read(&mut self, uid: &str, before: Option<&EventsRead>, read: EventsRead) {
        if let Some(pod) = self.pods.get_mut(uid).filter(|pod| pod.events.as_ref() == before) {
            pod.events = Some(read);
        }
    }

    pub fn launch_refused(&mut self, why: Why) {
        self.refused = Some(why);
    }

    pub fn launch_again(&mut self) {
        self.refused = None;
    }

    /// One of its Jobs is there and finished, in this namespace if one is named.
    pub fn has_finished_job(&self, namespace: Option<&str>) -> bool {
        let is_there = |job: &JobFacts| namespace.is_none_or(|namespace| job.namespace == namespace);
        let may_go = |job: &JobFacts| is_there(job) && job.finished.is_some() && !job.gone && !job.deleting;
        self.jobs.values().any(may_go) || self.pods.values().filter_map(JobFacts::of_bare_pod).any(|pod| may_go(&pod))
    }

    /// A launch failed, and may have taken place all the same.
    pub fn launch_unanswered(&mut self, why: Why, now: Timestamp) {
        let since = self.unanswered.as_ref().map_or(now, |before| before.since);
        self.unanswered = Some(Unanswered { since, why });
    }

    /// Marks as gone what is not on the list of Jobs; tells whether there was any such.
    pub fn jobs_listed(&mut self, listed: &HashSet<String>) -> bool {
        let there = |uid: &String| listed.contains(uid) || self.created.contains(uid);
        let gone = self.jobs.values_mut().filter(|job| !job.gone && !there(&job.uid));
        gone.map(|job| job.gone = true).count() > 0
    }

    pub fn pods_listed(&mut self, listed: &HashSet<String>, now: Timestamp) -> bool {
        let there = |uid: &String| listed.contains(uid) || self.found.contains(uid);
        let gone = self.pods.values_mut().filter(|pod| !pod.is_gone() && !there(&pod.uid));
        gone.map(|pod| pod.gone_at = Some(now)).count() > 0
    }

    /// The Jobs and pods that are there and stay, and are ours by the annotation that we put there. A pod goes with
    /// its Job.
    pub fn present(&self) -> impl Iterator<Item = Child> {
        let jobs = self.jobs_of_ours().filter(|job| !job.gone && !job.deleting && job.holds.is_some());
        let pods = self.pods_of_ours().filter(|pod| !pod.is_gone() && pod.due_gone_at.is_none() && pod.holds.is_some());
        let without_job = pods.filter(|pod| !self.jobs.values().any(|job| job.name == pod.job && job.holds.is_some()));
        jobs.map(|job| Child::new(ChildKind::Job, &job.namespace, &job.name, &job.uid))
            .chain(without_job.map(|pod| Child::new(ChildKind::Pod, &pod.namespace, &pod.name, &pod.uid)))
    }

    /// All Jobs and pods that count as there, also those on their way out.
    pub fn remaining(&self) -> impl Iterator<Item = Child> {
        let jobs = self.jobs.values().filter(|job| !job.gone);
        let pods = self.pods.values().filter(|pod| !pod.is_gone());
        jobs.map(|job| Child::new(ChildKind::Job, &job.namespace, &job.name, &job.uid))
            .chain(pods.map(|pod| Child::new(ChildKind::Pod, &pod.namespace, &pod.name, &pod.uid)))
    }

    /// The API server has no Job or pod of this uid; false where none was known.
    pub fn not_there(&mut self, uid: &str, now: Timestamp) -> bool {
        self.created.remove(uid);
        let job = self.jobs.get_mut(uid).map(|job| job.gone = true);
        let pod = self.pods.get_mut(uid).map(|pod| pod.gone_at = pod.gone_at.or(Some(now)));
        job.or(pod).is_some()
    }

    /// Forgets the facts of what is gone: they matter only while the task holds a slot.
    pub fn forget_gone(&mut self) {
        self.jobs.retain(|_, job| !job.gone);
        self.pods.retain(|_, pod| !pod.is_gone());
        let (jobs, pods) = (&self.jobs, &self.pods);
        self.strangers
            .retain(|owner| jobs.contains_key(owner) || pods.values().any(|pod| controller(pod) == Some(owner)));
        (self.refused, self.unanswered) = (None, None);
    }
}

/// The uid of what the pod says it is controlled by: a Job, or the task of a bare pod.
fn controller(pod: &PodFacts) -> Option<&String> {
    pod.bare.as_ref().map(|bare| &bare.task).or(pod.owner.as_ref())
}
