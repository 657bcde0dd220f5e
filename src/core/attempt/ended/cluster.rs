//! Ends that the cluster brought about: a disruption, a node that is lost, or a kubelet that refused or ended the pod.

use super::Ended;
use crate::Reason;
use crate::attempt::facts::{NodeState, Phase, PodFacts};
use crate::attempt::permanence::is_refused_everywhere;

pub(super) fn disrupted(pod: &PodFacts) -> Option<Ended> {
    let (by, message) = pod.disruption.as_ref()?;
    let reason = match by.as_str() {
        "PreemptionByScheduler" => Reason::Preempted,
        by if node_lost_by(by) => Reason::NodeLost,
        _ => Reason::Evicted,
    };
    Some(Ended::new(pod, reason, format!("{by}: {message}")))
}

/// The words of a DisruptionTarget for a node that is gone or does not answer.
pub(super) fn node_lost_by(word: &str) -> bool {
    matches!(word, "DeletionByTaintManager" | "DeletionByPodGC")
}

pub(super) fn lost(pod: &PodFacts) -> Option<Ended> {
    let node = pod.node.as_deref().unwrap_or("no node");
    let unanswered = !pod.has_ended() || pod.reason.as_deref() == Some("NodeLost");
    let why = match pod.asked.node {
        NodeState::NotKnown => "whether its node answers is not known, for nodes may not be read",
        _ => "its node does not answer",
    };
    unanswered.then(|| Ended::new(pod, Reason::NodeLost, format!("the pod on {node} should be gone and is not: {why}")))
}

/// The kubelet would not take it: it has made no container, and says why.
pub(super) fn rejected(pod: &PodFacts) -> Option<Ended> {
    let word = pod.reason.as_deref().filter(|word| *word != "DeadlineExceeded")?;
    if pod.phase != Phase::Failed || !pod.lists_no_container || pod.started_at.is_none() {
        return None;
    }
    let said = pod.message.as_deref().unwrap_or_default();
    let message = format!("{word}: {}", said.strip_prefix("Pod was rejected: ").unwrap_or(said));
    let permanent = is_refused_everywhere(word);
    Some(Ended { permanent, ..Ended::new(pod, Reason::RejectedByNode, message) })
}

/// The kubelet ended it.
pub(super) fn ended_by_node(pod: &PodFacts) -> Option<Ended> {
    let word = pod.reason.as_deref().filter(|word| is_word_of_an_eviction(word))?;
    let reason = if word == "Evicted" { Reason::DiskLimit } else { Reason::Evicted };
    Some(Ended::new(pod, reason, format!("{word}: {}", pod.message.as_deref().unwrap_or_default())))
}

/// A kubelet's words for a pod that it ended because of its node.
pub(super) fn is_word_of_an_eviction(word: &str) -> bool {
    matches!(word, "Evicted" | "Terminated" | "NodeShutdown" | "Preempting" | "Shutdown")
}
