//! The Jobs and pods of one task, and what became of its last launch.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_core::ResourceExt;

use super::worker::WorkerFacts;
use super::{GIVEN_BACK_AFTER, JobFacts, Phase, PodFacts, TOLD_AFTER, Why, controller_uid};
use crate::attempt::Child;
use crate::attempt::reports::Reports;
use crate::launch::names;
use crate::time::after;
use task_manager_api::{Task, TaskStatus};

/// Everything of a task's children that a decision depends on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The Jobs and bare pods of this task, of every run and attempt.
    pub jobs: Vec<JobFacts>,
    /// The pods of this task, of every run and attempt: those of its Jobs, and the bare ones.
    pub pods: Vec<PodFacts>,
    /// The API server's refusal of the present attempt's Job or bare pod, if it refused.
    pub refused: Option<Why>,
    /// It has not said whether it made that.
    pub unanswered: Option<Unanswered>,
    /// The meaning of the events of what is stuck, where that was looked into.
    pub explained: Option<Why>,
    /// The warm worker that runs the present attempt; `None` where none does, or where it was not looked for.
    pub worker: Option<WorkerFacts>,
    /// The work's reports over HTTP.
    pub reports: Option<Reports>,
    /// Pods that seem to be of another Job than the one of their name. A Job that is found later may own them.
    pub set_aside: Vec<PodFacts>,
}

/// A container that has written a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOf {
    pub pod: String,
    pub container: String,
}

impl Observed {
    /// Those that belong to the task: Jobs and bare pods in its namespace that it owns, and pods there that such a Job owns. A
    /// label alone proves nothing: anybody may set it; and an owner is believed only where the API server's garbage
    /// collection would believe it. A pod whose Job was not seen may be what a Job left that went: it is here to be
    /// waited for and ended, and its end is not believed unless its name was written down before.
    pub fn of(task: &Task, jobs: Vec<JobFacts>, pods: Vec<PodFacts>) -> Self {
        let ObjectMeta { uid, namespace, .. } = &task.metadata;
        let is_here = |of: &String| Some(of) == namespace.as_ref();
        let bare = pods.iter().filter_map(JobFacts::of_bare_pod);
        let jobs = jobs.into_iter().filter(|job| job.kind == Child::Job).chain(bare);
        let jobs: Vec<_> = jobs.filter(|job| job.owner == *uid && is_here(&job.namespace)).collect();
        let is_anothers = |pod: &PodFacts| pod.bare.as_ref().is_some_and(|bare| Some(&bare.task) != uid.as_ref());
        let is_ours = |pod: &PodFacts| is_here(&pod.namespace) && pod.owner.is_some() && !is_anothers(pod);
        let pods = pods.into_iter().filter(is_ours);
        let (pods, set_aside) = pods.map(|pod| named_by_its_owner(pod, &jobs)).partition(|pod| is_of_a_job(pod, &jobs));
        Self { pods, jobs, set_aside, ..Self::default() }
    }

    /// The API server was asked, and has these. What the watch has shown of one already may be newer.
    pub fn found(&mut self, task: &Task, job: Option<JobFacts>, pods: Vec<PodFacts>) {
        let Self { mut jobs, pods: mut known, set_aside, refused, mut unanswered, explained, worker, reports } =
            std::mem::take(self);
        if job.is_some() {
            unanswered = None;
        }
        jobs.extend(job.filter(|job| jobs.iter().all(|seen| seen.uid != job.uid)));
        known.extend(set_aside);
        let news: Vec<_> = pods.into_iter().filter(|pod| known.iter().all(|seen| seen.uid != pod.uid)).collect();
        known.extend(news);
        *self = Self { refused, unanswered, explained, worker, reports, ..Self::of(task, jobs, known) };
    }

    /// The labels of all Jobs and pods of a task.
    pub fn selector(task: &Task) -> String {
        format!("{}={}", names::LABEL_TASK_UID, task.metadata.uid.as_deref().unwrap_or_default())
    }

    /// The pod of this attempt, if it is there: the newest that its Job made, or its bare pod.
    pub fn of_attempt(task: &Task, attempt: i32, jobs: Vec<JobFacts>, pods: Vec<PodFacts>) -> Option<(Self, String)> {
        let job = names::job_of(task, &TaskStatus { attempt, ..task.status_or_default().clone() });
        let observed = Self::of(task, jobs, pods);
        let owner = observed.jobs.iter().find(|seen| seen.name == job)?;
        let made = observed.pods.iter().filter(|pod| pod.is_owned_by(owner));
        let pod = made.max_by_key(|pod| pod.created_at)?.name.clone();
        Some((observed, pod))
    }

    /// The log of the pod of this name, if it has any.
    pub fn log_of(&self, name: &str) -> Option<LogOf> {
        let pod = self.pods.iter().find(|pod| pod.name == name && !pod.is_gone())?;
        let failed = || pod.failed_init.as_ref().map(|failed| failed.container.clone());
        let container = if pod.has_started() { pod.container.clone() } else { failed() };
        Some(LogOf { pod: pod.name.clone(), container: container? })
    }

    /// The pod of this name counts as failed, whatever its work did.
    pub fn has_failed(&self, name: &str) -> bool {
        self.pods.iter().any(|pod| pod.name == name && pod.phase == Phase::Failed)
    }

    /// This Job is over, and nothing was seen of its pod.
    pub fn lacks_the_pod_of(&self, job: &str) -> bool {
        let is_finished_or_gone = |seen: &JobFacts| seen.name == job && !seen.is_live();
        self.jobs.iter().any(is_finished_or_gone) && !self.pods.iter().any(|pod| pod.job == job)
    }

    /// The Job may still make or run a pod. One whose pod has ended cannot, whatever the Job itself says yet; unless
    /// somebody suspended it, for resumed it makes another.
    pub fn may_run(&self, job: &JobFacts) -> bool {
        let mut pods = self.pods.iter().filter(|pod| pod.job == job.name).peekable();
        job.is_live() && (job.suspended || pods.peek().is_none() || !pods.all(PodFacts::has_ended))
    }
}

/// Whether a Job or a bare pod is one of this task's: by its controller; and by the label that the watches go by, without
/// which nothing more would be seen of it.
pub fn belongs_to(task: &Task, child: &impl ResourceExt) -> bool {
    let is_labelled = child.labels().get(names::LABEL_TASK_UID) == task.metadata.uid.as_ref();
    is_labelled && controller_uid(child) == task.metadata.uid
}

/// The pod under the name of the Job that owns it, whatever its label says.
fn named_by_its_owner(pod: PodFacts, jobs: &[JobFacts]) -> PodFacts {
    match jobs.iter().find(|job| pod.is_owned_by(job)) {
        Some(job) => PodFacts { job: job.name.clone(), ..pod },
        None => pod,
    }
}

/// False where a Job of the name that the pod bears is known and does not own it.
fn is_of_a_job(pod: &PodFacts, jobs: &[JobFacts]) -> bool {
    jobs.iter().any(|job| pod.is_owned_by(job)) || jobs.iter().all(|job| job.name != pod.job)
}

/// A launch that is tried again and again.
#[derive(Clone, Debug, PartialEq)]
pub struct Unanswered {
    pub since: Timestamp,
    /// Why the last try failed.
    pub why: Why,
}

impl Unanswered {
    pub fn is_to_be_told(&self, now: Timestamp) -> bool {
        now >= after(self.since, TOLD_AFTER)
    }

    pub fn is_given_up(&self, now: Timestamp) -> bool {
        now >= after(self.since, GIVEN_BACK_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::attempt::facts::fixtures::{JOB, job, pod};
    use task_manager_api::TaskSpec;

    #[test]
    fn what_only_carries_a_tasks_label_is_not_its_own() {
        let own = || JobFacts { owner: Some("77aa".into()), ..job(json!({})) };
        let mut task = Task::new("report", TaskSpec::default());
        task.metadata.uid = Some("77aa".into());
        task.metadata.namespace = Some(own().namespace);
        let names = |jobs: Vec<JobFacts>, pods: Vec<PodFacts>| {
            let observed = Observed::of(&task, jobs, pods);
            (observed.jobs.len(), observed.pods.len())
        };
        assert_eq!(names(vec![own()], vec![pod(json!({}))]), (1, 1));
        assert_eq!(names(vec![JobFacts { owner: None, ..own() }], vec![]), (0, 0));
        assert_eq!(names(vec![JobFacts { owner: Some("other".into()), ..own() }], vec![]), (0, 0));
        assert_eq!(names(vec![own()], vec![PodFacts { owner: Some("other".into()), ..pod(json!({})) }]), (1, 0));
        assert_eq!(names(vec![own()], vec![PodFacts { owner: None, ..pod(json!({})) }]), (1, 0));
        assert_eq!(names(vec![], vec![pod(json!({}))]), (0, 1), "its Job may have gone before it");
        assert_eq!(names(vec![], vec![PodFacts { owner: None, ..pod(json!({})) }]), (0, 0));
        assert_eq!(names(vec![JobFacts { namespace: "elsewhere".into(), ..own() }], vec![pod(json!({}))]), (0, 1));
        assert_eq!(names(vec![own()], vec![PodFacts { namespace: "elsewhere".into(), ..pod(json!({})) }]), (1, 0));
        assert_eq!(pod(json!({})).owner.as_deref(), Some("9f1e"));
    }

    #[test]
    fn a_pod_is_of_the_job_that_owns_it_whatever_its_label_says() {
        let task: Task = serde_json::from_value(json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task",
            "metadata": {"name": "report", "namespace": "docs", "uid": "77aa"}, "spec": {"type": "reports"}}))
        .expect("a task");
        let own = JobFacts { owner: Some("77aa".into()), ..job(json!({})) };
        let mislabelled = PodFacts { job: "another".into(), ..pod(json!({})) };
        let observed = Observed::of(&task, vec![own], vec![mislabelled]);
        assert_eq!(observed.pods[0].job, JOB);
    }

    #[test]
    fn a_job_may_run_until_it_is_finished_or_its_pod_has_ended() {
        let may_run = |job: JobFacts, pods: Vec<PodFacts>| {
            let observed = Observed { pods, jobs: vec![job.clone()], ..Observed::default() };
            observed.may_run(&job)
        };
        let live = || job(json!({}));
        let ended = || pod(json!({"phase": "Failed"}));
        let of_another = || PodFacts { job: "another".into(), ..ended() };
        assert!(may_run(live(), vec![]), "its pod may still come");
        assert!(may_run(live(), vec![of_another()]));
        assert!(may_run(live(), vec![pod(json!({}))]));
        assert!(may_run(live(), vec![ended(), pod(json!({}))]));
        assert!(!may_run(live(), vec![ended()]));
        assert!(!may_run(JobFacts { gone: true, ..live() }, vec![]));
        assert!(!may_run(job(json!({"conditions": [{"type": "Failed", "status": "True"}]})), vec![]));
    }

    #[test]
    fn a_job_that_is_over_lacks_its_pod_where_none_was_seen() {
        let lacks = |job: JobFacts, pods: Vec<PodFacts>| {
            Observed { pods, jobs: vec![job], ..Observed::default() }.lacks_the_pod_of(JOB)
        };
        let live = || job(json!({}));
        assert!(!lacks(live(), vec![]), "it may still come");
        for over in
            [JobFacts { gone: true, ..live() }, job(json!({"conditions": [{"type": "Failed", "status": "True"}]}))]
        {
            assert!(lacks(over.clone(), vec![]));
            assert!(lacks(over.clone(), vec![PodFacts { job: "another".into(), ..pod(json!({})) }]));
            assert!(!lacks(over.clone(), vec![pod(json!({}))]));
            assert!(!lacks(JobFacts { name: "another".into(), ..over }, vec![]));
        }
    }
}
