//! Reads the events of a Job or pod that is stuck: the Job controller and the kubelet say in events alone why they cannot
//! make a pod or a container.

use jiff::Timestamp;

use super::{JobFacts, Observed, PodFacts, TOLD_AFTER, Why};
use crate::Reason;
use crate::time::after;

/// Something that is stuck and does not say why: its events may.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stuck<'a> {
    JobWithoutPod(&'a JobFacts),
    PodNotStarted(&'a PodFacts),
}

/// An event of type Warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub reason: String,
    pub message: String,
    pub last_seen: Option<Timestamp>,
}

impl Observed {
    /// The part of this Job that is stuck without saying why.
    pub fn stuck(&self, job: &str, now: Timestamp) -> Option<Stuck<'_>> {
        let pods: Vec<_> = self.pods.iter().filter(|pod| pod.job == job).collect();
        let due = |since: Timestamp| now >= after(since, TOLD_AFTER);
        if let Some(pod) = pods.iter().find(|pod| pod.is_silent() && due(pod.age_from())) {
            return Some(Stuck::PodNotStarted(pod));
        }
        let job = self.jobs.iter().find(|seen| seen.name == job && seen.is_live() && !seen.deleting)?;
        (pods.is_empty() && due(job.age_from())).then_some(Stuck::JobWithoutPod(job))
    }
}

impl Stuck<'_> {
    /// The uid of the object whose events to ask for.
    pub fn uid(&self) -> &str {
        match self {
            Self::JobWithoutPod(job) => &job.uid,
            Self::PodNotStarted(pod) => &pod.uid,
        }
    }

    /// The meaning of its warnings: of the last one that is a sentence, or else of the last.
    pub fn explained_by(&self, warnings: &[Warning]) -> Option<Why> {
        let answers = warnings.iter().filter(|warning| self.is_answered_by(&warning.reason));
        let last = answers.max_by_key(|warning| (is_a_sentence(&warning.message), warning.last_seen))?;
        Some(self.explained(&last.message))
    }

    /// A warning of this reason may answer it. The scheduler's warnings are past once the pod has a node.
    fn is_answered_by(&self, reason: &str) -> bool {
        matches!(self, Self::JobWithoutPod(_)) || reason != "FailedScheduling"
    }

    /// The meaning of its last warning.
    fn explained(&self, last_words: &str) -> Why {
        match self {
            Self::JobWithoutPod(_) => no_pod(last_words),
            Self::PodNotStarted(_) => {
                let of_image = IMAGE_WORDS.iter().any(|word| last_words.contains(word));
                let reason = if of_image { Reason::ImageUnavailable } else { Reason::ContainerConfig };
                Why { reason, message: last_words.into() }
            }
        }
    }
}

/// These words occur in the kubelet's events about images.
const IMAGE_WORDS: [&str; 5] = ["ErrImage", "ImagePull", "InvalidImageName", "pull image", "pulling image"];

/// A warning that is a mere word, such as "Error: ErrImagePull", says less than the one that came just before it.
fn is_a_sentence(warning: &str) -> bool {
    warning.strip_prefix("Error: ").is_none_or(|rest| rest.contains(' '))
}

/// Why a Job has no pod, by the last words of the Job controller: the messages of its FailedCreate events.
pub fn no_pod(last_words: &str) -> Why {
    if last_words.contains("exceeded quota: ") {
        return Why::new(Reason::QuotaExceeded, last_words);
    }
    // A quota of amounts wants every container to name them: trying again does not help by itself.
    if last_words.contains("failed quota: ") {
        let remedy =
            "say it in the type's template or its defaults.resources, or have a LimitRange there give a default";
        return Why::new(Reason::QuotaExceeded, format!("{last_words}; {remedy}"));
    }
    Why::new(Reason::LaunchRefused, last_words)
}

/// The quota that refused it counts objects, whether they have ended or not: the plain `pods` counts those that run.
pub fn counts_ended_ones(why: &Why) -> bool {
    let names = |object: &str| why.message.contains(object);
    why.reason == Reason::QuotaExceeded && (names("count/jobs.batch=") || names("count/pods="))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::attempt::facts::fixtures::{JOB, at, job, pod, running, status_of, waiting_for};

    #[test]
    fn a_job_without_a_pod_is_stuck_after_ten_seconds() {
        let observed = Observed { jobs: vec![job(json!({}))], ..Observed::default() };
        assert_eq!(observed.stuck(JOB, at("2026-03-01T10:00:09Z")), None);
        let puzzle = observed.stuck(JOB, at("2026-03-01T10:00:10Z")).expect("a puzzle");
        assert_eq!((puzzle.uid(), puzzle.explained("exceeded quota: small").reason), ("9f1e", Reason::QuotaExceeded));
        assert_eq!(observed.stuck("another", at("2026-03-01T10:01:00Z")), None);
        let observed = Observed { pods: vec![pod(json!({}))], ..observed };
        assert_eq!(observed.stuck(JOB, at("2026-03-01T10:01:00Z")), None);
    }

    #[test]
    fn a_pod_that_does_not_start_and_does_not_say_why_is_stuck_after_ten_seconds() {
        let creating = json!({"phase": "Pending", "initContainerStatuses": [], "containerStatuses": [status_of("work", waiting_for("ContainerCreating", ""))]});
        let observed = Observed { jobs: vec![job(json!({}))], pods: vec![pod(creating)], ..Observed::default() };
        assert_eq!(observed.stuck(JOB, at("2026-03-01T10:00:09Z")), None);
        let puzzle = observed.stuck(JOB, at("2026-03-01T10:00:10Z")).expect("a puzzle");
        let explained = puzzle.explained("MountVolume.SetUp failed: secret \"keys\" not found");
        assert_eq!((puzzle.uid(), explained.reason), ("b5c8", Reason::ContainerConfig));
        let puzzle_of = |state: Value| {
            let facts = pod(
                json!({"phase": "Pending", "initContainerStatuses": [], "containerStatuses": [status_of("work", state)]}),
            );
            let observed = Observed { jobs: vec![job(json!({}))], pods: vec![facts], ..Observed::default() };
            observed.stuck(JOB, at("2026-03-01T10:01:00Z")).is_some()
        };
        assert!(!puzzle_of(waiting_for("ImagePullBackOff", "no such image")), "it says why itself");
        assert!(!puzzle_of(running()));
        assert!(
            puzzle.is_answered_by("FailedMount") && !puzzle.is_answered_by("FailedScheduling"),
            "it has a node by now"
        );
    }

    #[test]
    fn a_quota_is_told_from_any_other_refusal() {
        let quota = r#"Error creating: pods "report-7" is forbidden: exceeded quota: small, requested: pods=1, used: pods=5, limited: pods=5"#;
        assert_eq!(no_pod(quota).reason, Reason::QuotaExceeded);
        assert_eq!(no_pod("Error creating: admission webhook denied the request").reason, Reason::LaunchRefused);
        assert_eq!(no_pod(quota).message, quota);
        let unnamed = no_pod(r#"pods "q" is forbidden: failed quota: mem: must specify limits.memory for: work"#);
        assert_eq!(unnamed.reason, Reason::QuotaExceeded);
        assert!(unnamed.message.contains("limits.memory for: work; say it in"), "{}", unnamed.message);
    }

    #[test]
    fn only_a_quota_that_counts_objects_counts_ended_ones() {
        let counts = |requested: &str| {
            let message =
                format!(r#"jobs.batch "a" is forbidden: exceeded quota: q, requested: {requested}=1, used: 2"#);
            counts_ended_ones(&no_pod(&message))
        };
        assert!(counts("count/jobs.batch") && counts("count/pods"));
        assert!(!counts("pods") && !counts("requests.cpu") && !counts("count/secrets"));
        assert!(!counts_ended_ones(&Why::new(Reason::LaunchRefused, "count/jobs.batch=1")));
    }

    #[test]
    fn a_mere_word_says_less_than_a_sentence() {
        for word in ["Error: ErrImagePull", "Error: ImagePullBackOff", "Error: ErrImageNeverPull"] {
            assert!(!is_a_sentence(word), "{word}");
        }
        for sentence in ["Failed to pull image \"localhost/none:1\": not found", "Error: secret \"token\" not found"] {
            assert!(is_a_sentence(sentence), "{sentence}");
        }
    }
}
