//! Reads the events of a Job or pod that is stuck: the Job controller and the kubelet say in events alone why they cannot
//! make a pod or a container.

use jiff::Timestamp;

use super::container::{Awaited, Awaiting};
use super::{JobFacts, Observed, PodFacts, TOLD_AFTER, Why};
use crate::Reason;
use crate::telling::runtime_words;
use crate::time::after;

/// Something that is stuck and does not say why: its events may.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stuck<'a> {
    JobWithoutPod(&'a JobFacts),
    PodNotStarted(&'a PodFacts),
}

/// An event about a Job or pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodEvent {
    pub is_warning: bool,
    pub reason: String,
    pub message: String,
    /// Who says so, such as `default-scheduler`.
    pub component: String,
    /// The container that it speaks of.
    pub container: Option<String>,
    pub first_seen: Option<Timestamp>,
    pub last_seen: Option<Timestamp>,
}

impl Observed {
    /// The part of this Job, whose slot was given at `admitted`, that is stuck without saying why.
    pub fn stuck(&self, job: &str, admitted: Timestamp, now: Timestamp) -> Option<Stuck<'_>> {
        let pods: Vec<_> = self.pods.iter().filter(|pod| pod.job == job).collect();
        let due = |since: Timestamp| now >= after(since, TOLD_AFTER);
        if let Some(pod) = pods.iter().find(|pod| pod.is_silent() && due(pod.starts_from().min(admitted))) {
            return Some(Stuck::PodNotStarted(pod));
        }
        let job = self.jobs.iter().find(|seen| seen.name == job && seen.is_live() && !seen.deleting)?;
        (pods.is_empty() && !job.suspended && due(job.pod_due_from())).then_some(Stuck::JobWithoutPod(job))
    }
}

impl Observed {
    /// The pod of this uid, where it has not started without saying why, however short a while.
    pub fn silent(&self, uid: &str) -> Option<Stuck<'_>> {
        self.pods.iter().find(|pod| pod.uid == uid && pod.is_silent()).map(Stuck::PodNotStarted)
    }
}

impl<'a> Stuck<'a> {
    /// The uid of the object whose events to ask for.
    pub fn uid(&self) -> &'a str {
        match self {
            Self::JobWithoutPod(job) => &job.uid,
            Self::PodNotStarted(pod) => &pod.uid,
        }
    }

    /// The meaning of its events.
    pub fn explained_by(&self, events: &[PodEvent]) -> Option<Why> {
        match self {
            Self::JobWithoutPod(_) => {
                let last = events.iter().filter(|event| event.is_warning).max_by_key(|event| event.last_seen)?;
                Some(no_pod(&last.message))
            }
            Self::PodNotStarted(pod) => pod_explained(pod, events),
        }
    }
}

/// When the work of this pod started, where an event says that it did. A pod's status may tell it much later: it is
/// written when all containers have been gone through.
pub fn work_started(pod: &PodFacts, events: &[PodEvent]) -> Option<Timestamp> {
    let is_start = |event: &&PodEvent| event.reason == "Started" && event.container == pod.container;
    let started = events.iter().find(is_start)?;
    started.first_seen.or(started.last_seen)
}

/// The words of the cluster autoscaler and of Karpenter for a pod that they make a node for, …
const PROMISE_A_NODE: [&str; 2] = ["TriggeredScaleUp", "Nominated"];
/// … and for one that they make none for, or no longer. The scheduler says `FailedScheduling` too.
const TAKE_IT_BACK: [&str; 3] = ["NotTriggerScaleUp", "FailedScaleUp", "FailedScheduling"];

/// That a node is coming for the pod of these events, in the words of whoever brings it. Only who said so takes it back:
/// of two autoscalers each speaks of its own nodes. One that was bound a moment ago has its node.
pub fn node_is_coming(events: &[PodEvent]) -> Option<String> {
    let says = |words: &'static [&str]| move |event: &&PodEvent| words.contains(&event.reason.as_str());
    let is_taken_back = |promise: &PodEvent| {
        let takes_back = |event: &PodEvent| event.component == promise.component && event.last_seen > promise.last_seen;
        events.iter().filter(says(&TAKE_IT_BACK)).any(takes_back)
    };
    let bound = events.iter().filter(says(&["Scheduled"]));
    let promised = events.iter().filter(says(&PROMISE_A_NODE)).filter(|promise| !is_taken_back(promise));
    Some(bound.chain(promised).max_by_key(|event| event.last_seen)?.message.clone())
}

/// The meaning of the last event that is about its start.
fn pod_explained(pod: &PodFacts, events: &[PodEvent]) -> Option<Why> {
    if pod.node.is_none() {
        let last = events.iter().filter(|event| event.is_warning).max_by_key(|event| event.last_seen)?;
        return Some(Why::new(Reason::Unschedulable, last.message.clone()));
    }
    match pod.awaited.as_ref()? {
        Awaited { is: Awaiting::Made, .. } => being_made(events),
        Awaited { container, is: Awaiting::Up | Awaiting::Lasting { .. } } => {
            let of_its_probe =
                |event: &&PodEvent| event.reason == "Unhealthy" && event.container.as_ref() == Some(container);
            let last = events.iter().filter(of_its_probe).max_by_key(|event| event.last_seen)?;
            Some(Why::new(Reason::Starting, runtime_words::cause(&last.message)))
        }
        Awaited { is: Awaiting::Done, .. } => None,
    }
}

/// The last word on what is being made. A trouble is past once something has come of it.
fn being_made(events: &[PodEvent]) -> Option<Why> {
    let about = events.iter().filter(|event| is_about_the_start(event));
    let newest = |event: &&PodEvent| (event.last_seen, event.is_warning);
    let last = about.clone().filter(|event| is_a_sentence(&event.message)).max_by_key(newest);
    meaning(last.or_else(|| about.max_by_key(newest))?)
}

/// The scheduler's words are past once the pod has a node; a missing pull secret may do no harm; and probes are of
/// containers that run.
fn is_about_the_start(event: &PodEvent) -> bool {
    match event.reason.as_str() {
        "FailedScheduling" | "FailedToRetrieveImagePullSecret" | "Unhealthy" | "DNSConfigForming" => false,
        "Pulling" | "Pulled" | "Created" | "Started" => true,
        _ => event.is_warning,
    }
}

/// `None` where it means that something has come of it.
fn meaning(event: &PodEvent) -> Option<Why> {
    let PodEvent { message: said, container, .. } = event;
    let of_the_container = |cause: String| match container {
        Some(container) => format!("container {container}: {cause}"),
        None => cause,
    };
    let is_of_an_image = IMAGE_WORDS.iter().any(|word| said.contains(word) || event.reason.contains(word));
    Some(match event.reason.as_str() {
        "Pulled" | "Created" | "Started" => return None,
        "Pulling" => Why::new(Reason::Starting, pulling(event)),
        "FailedMount" | "FailedAttachVolume" | "FailedMapVolume" => {
            let reason = if names_what_is_missing(said) { Reason::ContainerConfig } else { Reason::Starting };
            Why::new(reason, runtime_words::cause(said))
        }
        "FailedCreatePodSandBox" => Why::new(Reason::Starting, format!("its sandbox: {}", runtime_words::cause(said))),
        _ if is_of_an_image => {
            let image = runtime_words::quoted(said).unwrap_or_default();
            Why::new(Reason::ImageUnavailable, of_the_container(runtime_words::image_cause(said, image)))
        }
        "Failed" => Why::new(Reason::ContainerConfig, of_the_container(runtime_words::cause(said))),
        _ => Why::new(Reason::Starting, of_the_container(runtime_words::cause(said))),
    })
}

fn pulling(event: &PodEvent) -> String {
    let image = runtime_words::quoted(&event.message).unwrap_or("an image");
    match event.last_seen {
        Some(since) => format!("pulling image {image} since {}", since.strftime("%H:%M:%S UTC")),
        None => format!("pulling image {image}"),
    }
}

/// The kubelet's events speak of images so.
const IMAGE_WORDS: [&str; 7] =
    ["ErrImage", "ImagePull", "InvalidImageName", "InspectFailed", "pull image", "pulling image", "image tag"];

/// A volume waits for an object that somebody has to create.
fn names_what_is_missing(said: &str) -> bool {
    let is_missing = said.contains("not found") || said.contains("references non-existent");
    is_missing && ["configmap ", "secret "].iter().any(|kind| said.contains(kind))
}

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
mod tests;
