//! The facts of a Job that decisions depend on. A bare pod counts as its own Job: it was launched, the task owns it, and it is
//! deleted; it makes no pod but is one.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube_core::ResourceExt;

use super::{Phase, PodFacts, controller_uid, created_at, holds};
use crate::attempt::Child;
use crate::launch::holds::Holds;
use crate::launch::names;
use crate::time::since;

#[derive(Clone, Debug, PartialEq)]
pub struct JobFacts {
    /// A Job, or a bare pod.
    pub kind: Child,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// The uid of the Task that owns it.
    pub owner: Option<String>,
    pub created_at: Timestamp,
    pub deleting: bool,
    /// When its deletion was asked for, and the finalizers that keep it.
    pub deleted_at: Option<Timestamp>,
    pub finalizers: Vec<String>,
    /// It was there and is gone.
    pub gone: bool,
    pub finished: Option<JobEnd>,
    /// Somebody suspended it: it makes no pod, and has the one that it made deleted.
    pub suspended: bool,
    /// activeDeadlineSeconds of its pod, as that was made.
    pub deadline_seconds: Option<i64>,
    pub holds: Option<Holds>,
    pub seen: JobSeen,
}

/// When we first saw a Job, that it was resumed, that it has finished, and that it is being deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct JobSeen {
    at: Option<Timestamp>,
    resumed_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    deleted_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JobEnd {
    pub succeeded: bool,
    pub at: Timestamp,
}

impl JobFacts {
    pub fn of(job: &Job) -> Self {
        let status = job.status.clone().unwrap_or_default();
        let ended = |condition: &str| {
            status.conditions.iter().flatten().find(|seen| seen.type_ == condition && seen.status == "True").map(
                |seen| JobEnd {
                    succeeded: condition == "Complete",
                    at: seen
                        .last_transition_time
                        .as_ref()
                        .or(job.metadata.creation_timestamp.as_ref())
                        .map_or(Timestamp::UNIX_EPOCH, |time| time.0),
                },
            )
        };
        Self {
            kind: Child::Job,
            namespace: job.namespace().unwrap_or_default(),
            name: job.name_any(),
            uid: job.uid().unwrap_or_default(),
            owner: controller_uid(job),
            created_at: created_at(job.metadata.creation_timestamp.as_ref()),
            deleting: job.metadata.deletion_timestamp.is_some(),
            deleted_at: job.metadata.deletion_timestamp.as_ref().map(|time| time.0),
            finalizers: job.metadata.finalizers.clone().unwrap_or_default(),
            gone: false,
            finished: ended("Complete").or_else(|| ended("Failed")),
            suspended: job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true)),
            deadline_seconds: job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()?.active_deadline_seconds),
            holds: holds(job.annotations().get(names::ANNOTATION_HOLDS)),
            seen: JobSeen::default(),
        }
    }

    /// A bare pod as its own Job; `None` for the pod of a Job.
    pub fn of_bare_pod(pod: &PodFacts) -> Option<Self> {
        let bare = pod.bare.as_ref()?;
        let is_finished = matches!(pod.phase, Phase::Succeeded | Phase::Failed);
        let at = pod.work_ended_from().unwrap_or_else(|| pod.age_from());
        let end = JobEnd { succeeded: pod.phase == Phase::Succeeded, at };
        Some(Self {
            kind: Child::Pod,
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            owner: Some(bare.task.clone()),
            created_at: pod.created_at,
            deleting: pod.due_gone_at.is_some(),
            deleted_at: pod.deleted_at,
            finalizers: bare.finalizers.clone(),
            gone: pod.is_gone(),
            finished: is_finished.then_some(end),
            suspended: false,
            deadline_seconds: None,
            holds: pod.holds.clone(),
            seen: JobSeen { at: Some(pod.age_from()), deleted_at: pod.deletion_seen_at(), ..JobSeen::default() },
        })
    }

    /// These facts, seen now for the first time.
    pub fn first_seen(self, now: Timestamp) -> Self {
        let [finished_at, deleted_at] =
            [self.finished.is_some(), self.deleted_at.is_some()].map(|is| is.then_some(now));
        Self { seen: JobSeen { at: Some(now), resumed_at: None, finished_at, deleted_at }, ..self }
    }

    /// These facts, some of which were seen before.
    pub fn after(self, before: &Self) -> Self {
        let was_resumed = before.suspended && !self.suspended;
        let seen = JobSeen {
            at: before.seen.at.or(self.seen.at),
            resumed_at: if was_resumed { self.seen.at } else { before.seen.resumed_at },
            finished_at: before.seen.finished_at.or(self.seen.finished_at),
            deleted_at: before.seen.deleted_at.or(self.seen.deleted_at),
        };
        Self { seen, ..self }
    }

    /// From when its age counts.
    pub fn age_from(&self) -> Timestamp {
        since(self.created_at, self.seen.at)
    }

    /// From when its pod is waited for: from its creation, or from when it was resumed.
    pub fn pod_due_from(&self) -> Timestamp {
        self.seen.resumed_at.map_or(self.age_from(), |resumed| resumed.max(self.age_from()))
    }

    /// From when it counts how long it has been finished.
    pub fn finished_from(&self) -> Option<Timestamp> {
        Some(since(self.finished?.at, self.seen.finished_at))
    }

    /// From when it counts how long it has been going.
    pub fn deleted_from(&self) -> Option<Timestamp> {
        Some(since(self.deleted_at?, self.seen.deleted_at))
    }

    /// It is there and may still make or run a pod.
    pub fn is_live(&self) -> bool {
        !self.gone && self.finished.is_none()
    }

    /// It is there, makes no pod, and would make one as soon as it is resumed.
    pub fn is_held(&self) -> bool {
        self.suspended && self.is_live() && !self.deleting
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use task_manager_api::Priority;

    use super::*;
    use crate::attempt::facts::fixtures::{at, job};

    #[test]
    fn a_job_is_finished_by_its_final_condition_and_not_before() {
        let condition = |type_: &str, status: &str| {
            job(
                json!({"conditions": [{"type": type_, "status": status, "lastTransitionTime": "2026-03-01T10:05:03Z"}]}),
            )
        };
        let end = |succeeded| Some(JobEnd { succeeded, at: at("2026-03-01T10:05:03Z") });
        assert_eq!(job(json!({"active": 1})).finished, None);
        for (type_, status, expected) in [
            ("Complete", "True", end(true)),
            ("Failed", "True", end(false)),
            ("Complete", "False", None),
            ("FailureTarget", "True", None),
            ("SuccessCriteriaMet", "True", None),
            ("Suspended", "True", None),
        ] {
            assert_eq!(condition(type_, status).finished, expected, "{type_}={status}");
            assert_eq!(condition(type_, status).is_live(), expected.is_none());
        }
    }

    #[test]
    fn a_job_is_read_with_what_it_holds() {
        let job = job(json!({}));
        assert_eq!(
            (job.name.as_str(), job.uid.as_str(), job.created_at),
            ("report-7-0f3a", "9f1e", at("2026-03-01T10:00:00Z"))
        );
        assert_eq!(job.holds.map(|holds| (holds.queue, holds.priority)), Some(("q".into(), Priority::Low)));
        assert!(!job.deleting && !job.gone);
    }

    #[test]
    fn a_job_is_read_with_its_pods_deadline_and_with_what_keeps_it() {
        let read = |metadata: serde_json::Value| {
            let spec = json!({"template": {"spec": {"activeDeadlineSeconds": 720, "containers": []}}});
            JobFacts::of(&serde_json::from_value(json!({"metadata": metadata, "spec": spec})).expect("a Job"))
        };
        assert_eq!((read(json!({})).deadline_seconds, read(json!({})).deleted_from()), (Some(720), None));
        let deleted = json!({"deletionTimestamp": "2026-03-01T10:00:00Z", "finalizers": ["example.com/keep"]});
        let [first, again] = ["2026-03-01T10:05:00Z", "2026-03-01T10:06:00Z"].map(at);
        let kept = read(deleted.clone()).first_seen(first);
        let kept = read(deleted).first_seen(again).after(&kept);
        assert_eq!(
            (kept.deleted_from(), kept.finalizers.as_slice()),
            (Some(first), &["example.com/keep".to_owned()][..])
        );
    }

    #[test]
    fn an_age_counts_from_the_first_sight_where_that_is_later_than_the_stamp() {
        let [stamp, first, again] = ["2026-03-01T10:00:00Z", "2026-03-01T10:05:00Z", "2026-03-01T10:06:00Z"].map(at);
        let seen = job(json!({})).first_seen(first);
        assert_eq!((seen.created_at, seen.age_from(), seen.finished_from()), (stamp, first, None));
        let ended = job(
            json!({"conditions": [{"type": "Failed", "status": "True", "lastTransitionTime": "2026-03-01T10:00:03Z"}]}),
        );
        let ended = ended.first_seen(again).after(&seen);
        assert_eq!((ended.age_from(), ended.finished_from()), (first, Some(again)));
        assert_eq!(job(json!({})).first_seen(at("2026-03-01T09:00:00Z")).age_from(), stamp, "a clock that is behind");
    }
}
