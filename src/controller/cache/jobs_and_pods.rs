//! The Jobs and pods of tasks, as the watches show them and as requests were answered; and which pod may report for which
//! task. Never judges how one ended.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::children::{Child, Children};
use super::{Cache, Inner, Uid, is_processing, is_queued, namespace_of, uid_of};
use crate::api::Task;
use crate::core::Reason;
use crate::core::attempt::facts::{EventsRead, JobFacts, Observed, PodFacts, Why};
use crate::core::attempt::reporter::{Standing, standing};
use crate::core::launch::names;
use crate::core::task::room;
use crate::live::Reporter;

/// The task that a pod's report is of.
pub enum ReportOf {
    /// The pod is at work on this task.
    Present(Arc<Task>),
    /// Its attempt is over, or its task is gone.
    Over,
    Stranger,
    /// The pod was not seen yet.
    Unknown,
    /// The watch still shows the past.
    TooSoon,
}

/// The task that a Job or pod belongs to, by the label that we put there.
fn task_uid(child: &impl ResourceExt) -> Option<Uid> {
    child.labels().get(names::LABEL_TASK_UID).map(|uid| uid.as_str().into())
}

fn job_facts(job: &Job) -> JobFacts {
    JobFacts::of(job).first_seen(Timestamp::now())
}

fn pod_facts(pod: &Pod) -> PodFacts {
    PodFacts::of(pod).first_seen(Timestamp::now())
}

impl Cache {
    pub fn job_seen(&self, job: &Job) -> Option<ObjectRef<Task>> {
        let facts = job_facts(job);
        self.child_changed(job, |children| children.job_seen(facts))
    }

    /// A Job that we have just made, or that the API server was asked for.
    pub fn job_found(&self, job: &Job) {
        let facts = job_facts(job);
        self.child_changed(job, |children| children.job_found(facts));
    }

    /// A Job that can be read in part only, or could before it went.
    pub fn job_in_part(&self, job: &Job, gone: bool) -> Option<ObjectRef<Task>> {
        let facts = JobFacts { gone, ..job_facts(job) };
        self.child_changed(job, |children| children.job_in_part(facts))
    }

    pub fn pod_in_part(&self, pod: &Pod, gone: bool) -> Option<ObjectRef<Task>> {
        let facts = PodFacts { gone_at: gone.then(Timestamp::now), ..pod_facts(pod) };
        if gone {
            self.lock().reporters.remove(&facts.uid);
        }
        self.child_changed(pod, |children| children.pod_in_part(facts))
    }

    pub fn pod_seen(&self, pod: &Pod) -> Option<ObjectRef<Task>> {
        let facts = pod_facts(pod);
        self.may_report(pod);
        self.child_changed(pod, |children| children.pod_seen(facts))
    }

    /// A pod that counts for more than its slot tells how much tasks of its type count for from now on; returns the tasks to
    /// look at for that.
    pub fn pod_teaches(&self, pod: &Pod) -> Vec<ObjectRef<Task>> {
        task_uid(pod).zip(pod.uid()).map(|(task, pod)| self.learn(&task, &[pod])).unwrap_or_default()
    }

    /// The same of pods that were shown before their Job: until that is shown nobody knows whose they are.
    pub fn job_teaches(&self, job: &Job) -> Vec<ObjectRef<Task>> {
        let Some(task) = task_uid(job) else { return vec![] };
        let pods = self.lock().children.get(&task).map(Children::larger_pods).unwrap_or_default();
        self.learn(&task, &pods)
    }

    fn learn(&self, task: &Uid, pods: &[String]) -> Vec<ObjectRef<Task>> {
        let learned = {
            let mut inner = self.lock();
            pods.iter().find_map(|pod| inner.learn(&self.tasks, task, pod))
        };
        learned
            .map(|(of_type, kind)| {
                self.untried.notify_one();
                self.take_in_type(of_type, Some(&kind), false)
            })
            .unwrap_or_default()
    }

    /// A pod that the API server was asked for; false when it is none of ours.
    pub fn pod_found(&self, pod: &Pod) -> bool {
        let facts = pod_facts(pod);
        self.child_changed(pod, |children| children.pod_found(facts));
        self.may_report(pod)
    }

    fn may_report(&self, pod: &Pod) -> bool {
        let whose = pod.uid().zip(task_uid(pod));
        whose.map(|(pod, task)| self.lock().reporters.insert(pod, task)).is_some()
    }

    /// Whether a pod may report, and of which task.
    pub fn report_of(&self, reporter: &Reporter) -> ReportOf {
        let inner = self.lock();
        let Some(uid) = inner.reporters.get(&reporter.uid) else { return ReportOf::Unknown };
        let Some(known) = inner.known.get(uid) else { return ReportOf::Over };
        let task = self.task(&known.reference).filter(|task| known.is_current(task) && uid_of(task) == *uid);
        let Some(task) = task else { return ReportOf::TooSoon };
        // Whoever may make pods elsewhere may call them ours.
        if namespace_of(&task) != reporter.namespace {
            return ReportOf::Stranger;
        }
        let observed = inner.children.get(uid).map(|children| children.observed(&task)).unwrap_or_default();
        match standing(&task, &observed, &reporter.uid, reporter.attempt) {
            Standing::Present => ReportOf::Present(task),
            Standing::Over => ReportOf::Over,
            Standing::Unproven => ReportOf::TooSoon,
            Standing::Stranger => ReportOf::Stranger,
        }
    }

    pub fn job_gone(&self, job: &Job) -> Option<ObjectRef<Task>> {
        let facts = JobFacts { gone: true, ..job_facts(job) };
        self.child_changed(job, |children| children.job_seen(facts))
    }

    pub fn pod_gone(&self, pod: &Pod) -> Option<ObjectRef<Task>> {
        let facts = PodFacts { gone_at: Some(Timestamp::now()), ..pod_facts(pod) };
        self.lock().reporters.remove(&facts.uid);
        self.child_changed(pod, |children| children.pod_seen(facts))
    }

    /// A list of Jobs begins: what is found from here on may not be on it.
    pub fn jobs_list_begins(&self) {
        self.lock().children.values_mut().for_each(Children::jobs_list_begins);
    }

    /// The initial list of Jobs is complete: what is not on it is gone.
    pub fn jobs_listed(&self, listed: &HashSet<String>) -> Vec<ObjectRef<Task>> {
        self.children_listed(|children| children.jobs_listed(listed))
    }

    pub fn pods_list_begins(&self) {
        self.lock().children.values_mut().for_each(Children::pods_list_begins);
    }

    pub fn pods_listed(&self, listed: &HashSet<String>) -> Vec<ObjectRef<Task>> {
        let now = Timestamp::now();
        self.lock().reporters.retain(|pod, _| listed.contains(pod));
        self.children_listed(|children| children.pods_listed(listed, now))
    }

    fn children_listed(&self, change: impl Fn(&mut Children) -> bool) -> Vec<ObjectRef<Task>> {
        let mut inner = self.lock();
        let changed: Vec<Uid> =
            inner.children.iter_mut().filter_map(|(uid, children)| change(children).then(|| uid.clone())).collect();
        changed.iter().filter_map(|uid| self.after_child(&mut inner, uid)).collect()
    }

    fn child_changed(&self, child: &impl ResourceExt, change: impl FnOnce(&mut Children)) -> Option<ObjectRef<Task>> {
        let uid = task_uid(child)?;
        let mut inner = self.lock();
        change(inner.children.entry(uid.clone()).or_default());
        self.after_child(&mut inner, &uid)
    }

    fn after_child(&self, inner: &mut Inner, uid: &Uid) -> Option<ObjectRef<Task>> {
        match inner.known.get(uid).map(|known| known.reference.clone()) {
            Some(reference) => {
                let task = self.task(&reference);
                if !task.as_deref().is_some_and(is_processing) && !inner.admission.is_admitted(uid) {
                    inner.forget_gone_children(uid);
                }
                // The slot of a task that is being deleted is held by its children; and a task that waits is not
                // admitted while a Job bears the name of its next attempt. A pod may count for more than was admitted.
                let is_larger = inner.children.get(uid).is_some_and(Children::has_surplus);
                let depends =
                    |task: &Arc<Task>| task.metadata.deletion_timestamp.is_some() || is_queued(task) || is_larger;
                task.filter(depends).inspect(|task| self.place_if_current(inner, task));
                Some(reference)
            }
            None => {
                inner.forget_gone_children(uid);
                self.place_orphan(inner, uid);
                None
            }
        }
    }

    /// We had this Job of the task's deleted; the watch will show it later.
    pub fn job_deleted(&self, task: &Task, uid: &str) {
        let mut inner = self.lock();
        if let Some(children) = inner.children.get_mut(&uid_of(task)) {
            children.job_deleted(uid);
        }
    }

    /// The children of a task, as far as they were seen.
    pub fn observed(&self, task: &Task) -> Observed {
        let inner = self.lock();
        inner.children.get(&uid_of(task)).map(|children| children.observed(task)).unwrap_or_default()
    }

    /// The task no longer has the Job or pod of this uid. The watch may never have shown it, or never show its end.
    pub fn not_there(&self, task: &Task, uid: &str) {
        let mut inner = self.lock();
        if let Some(children) = inner.children.get_mut(&uid_of(task)) {
            children.not_there(uid, Timestamp::now());
        }
        self.after_child(&mut inner, &uid_of(task));
    }

    /// We have had this pod's deadline lowered; the watch will show it later.
    pub fn pod_ends(&self, task: &Task, uid: &str, seconds: i64, ended_for: Reason) {
        let mut inner = self.lock();
        if let Some(children) = inner.children.get_mut(&uid_of(task)) {
            children.pod_ends(uid, seconds, ended_for, Timestamp::now());
        }
    }

    /// The API server would not have that.
    pub fn pod_end_refused(&self, task: &Task, uid: &str) {
        let mut inner = self.lock();
        if let Some(children) = inner.children.get_mut(&uid_of(task)) {
            children.pod_end_refused(uid);
        }
    }

    /// The events of this pod were read anew; they were last read so.
    pub fn events_read(&self, task: &Task, uid: &str, before: Option<&EventsRead>, read: EventsRead) {
        let mut inner = self.lock();
        if let Some(children) = inner.children.get_mut(&uid_of(task)) {
            children.events_read(uid, before, read);
        }
    }

    /// The API server refused the Job of the task's present attempt.
    pub fn launch_refused(&self, task: &Task, why: Why) {
        self.launched(task, |children| children.launch_refused(why));
    }

    /// Room was made for that Job: it is tried again.
    pub fn launch_again(&self, task: &Task) {
        self.launched(task, Children::launch_again);
    }

    /// The finished Jobs of tasks that may go before their time, in one namespace or in all.
    pub fn spare_jobs(
        &self,
        namespace: Option<&str>,
        is_in_doubt: impl Fn(&Task) -> bool,
    ) -> Vec<(Arc<Task>, JobFacts)> {
        let inner = self.lock();
        let spare = inner.children.iter().filter(|(_, children)| children.has_finished_job(namespace));
        spare.flat_map(|(uid, children)| self.spare_of(&inner, uid, children, &is_in_doubt)).collect()
    }

    fn spare_of(
        &self,
        inner: &Inner,
        uid: &Uid,
        children: &Children,
        is_in_doubt: impl Fn(&Task) -> bool,
    ) -> Vec<(Arc<Task>, JobFacts)> {
        let known = inner.known.get(uid).filter(|_| !inner.assumed.contains(uid));
        let task = known.and_then(|known| self.task(&known.reference).filter(|task| known.is_current(task)));
        let Some(task) = task.filter(|task| uid_of(task) == *uid) else { return vec![] };
        let observed = children.observed(&task);
        room::spare(&task, &observed, is_in_doubt(&task)).map(|job| (task.clone(), job.clone())).collect()
    }

    /// It did not say whether it made that Job.
    pub fn launch_unanswered(&self, task: &Task, why: Why) {
        self.launched(task, |children| children.launch_unanswered(why, Timestamp::now()));
    }

    fn launched(&self, task: &Task, outcome: impl FnOnce(&mut Children)) {
        let mut inner = self.lock();
        let uid = uid_of(task);
        // Of one that is gone meanwhile nobody would ever forget it.
        if inner.known.contains_key(&uid) {
            outcome(inner.children.entry(uid).or_default());
        }
    }

    /// This owner is none of ours: whatever it makes holds nothing, though it is labelled as a child of that task.
    pub fn disown(&self, task: &str, owner: &str) {
        let mut inner = self.lock();
        if let Some(children) = inner.children.get_mut(task) {
            children.disown(owner);
            self.after_child(&mut inner, &task.into());
        }
    }

    /// Jobs and pods that count as there and whose task is not: each may hold a slot.
    pub fn lingering(&self) -> HashSet<Child> {
        let inner = self.lock();
        let is_there = |uid: &Uid| inner.known.contains_key(uid) || inner.passed_over.contains_key(uid);
        inner.children.iter().filter(|(uid, _)| !is_there(uid)).flat_map(|(_, children)| children.remaining()).collect()
    }

    /// The API server has no such Job or pod: it holds nothing.
    pub fn child_not_there(&self, child: &Child) {
        let mut inner = self.lock();
        let now = Timestamp::now();
        let mut all = inner.children.iter_mut();
        let of_task = all.find_map(|(uid, children)| children.not_there(&child.uid, now).then(|| uid.clone()));
        if let Some(uid) = of_task {
            self.after_child(&mut inner, &uid);
        }
    }

    /// Jobs and pods of ours that are there and whose task is not, as far as it was seen.
    pub fn orphans(&self) -> HashSet<Child> {
        let inner = self.lock();
        let is_there = |uid: &Uid| inner.known.contains_key(uid) || inner.passed_over.contains_key(uid);
        let strangers = inner.children.iter().filter(|(uid, _)| !is_there(uid));
        strangers.flat_map(|(_, children)| children.present()).collect()
    }
}
