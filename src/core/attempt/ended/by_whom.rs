//! Who ended a pod whose work then ended, in words. Decides nothing: exit code 0 is success whoever it was.

use jiff::Timestamp;

use super::cluster::{is_word_of_an_eviction, node_lost_by};
use super::overdue::{Deadline, deadline_met, ended_early_for};
use crate::attempt::Child;
use crate::attempt::facts::{JobFacts, PodFacts, Work};

/// Exit codes of work that was ended by SIGTERM or SIGKILL.
pub(super) const SIGNALLED: [i32; 2] = [143, 137];

/// Who ended the pod before the work ended, as part of a sentence, as far as pod and Job tell; `None` where nobody did.
pub(super) fn by_others(pod: &PodFacts, job: Option<&JobFacts>) -> Option<String> {
    let Work::Ended { at, .. } = &pod.work else { return None };
    let came_first = |began: Option<Timestamp>| began.zip(*at).is_none_or(|(began, ended)| began <= ended);
    by_us(pod, job)
        .or_else(|| disturbed(pod).filter(|_| came_first(pod.disrupted_at.or(pod.deleted_at))))
        .or_else(|| by_its_node(pod))
        .or_else(|| pod.deleted_at.filter(|deleted| came_first(Some(*deleted))).map(|_| deleted(job)))
}

fn by_us(pod: &PodFacts, job: Option<&JobFacts>) -> Option<String> {
    if let Some(why) = ended_early_for(pod) {
        return Some(format!("its pod was ended for {why}"));
    }
    Some(match deadline_met(pod, job)? {
        deadline @ Deadline::OfWork(_) => format!("it {}", deadline.told()),
        deadline => deadline.told(),
    })
}

fn disturbed(pod: &PodFacts) -> Option<String> {
    let (by, said) = pod.disruption.as_ref()?;
    let what = match by.as_str() {
        "PreemptionByScheduler" => "the pod was preempted",
        by if node_lost_by(by) => "the pod was deleted from its node",
        _ => "the pod was evicted",
    };
    Some(format!("{what}: {by}: {said}"))
}

fn by_its_node(pod: &PodFacts) -> Option<String> {
    let word = pod.reason.as_deref().filter(|word| is_word_of_an_eviction(word))?;
    Some(format!("the pod was evicted: {word}: {}", pod.message.as_deref().unwrap_or_default()))
}

fn deleted(job: Option<&JobFacts>) -> String {
    match job {
        Some(JobFacts { kind: Child::Pod, .. }) => "its pod was deleted".into(),
        Some(job) if job.suspended => format!("its Job {} was suspended", job.name),
        Some(job) if job.gone || job.deleting => format!("its Job {} was deleted", job.name),
        _ => "its pod was deleted".into(),
    }
}
