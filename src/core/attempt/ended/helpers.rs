//! Names the containers beside the work that failed. Never judges by them: the work alone decides, and this is added to its
//! own reason.

use jiff::Timestamp;

use super::by_whom::SIGNALLED;
use crate::Reason;
use crate::attempt::clocks;
use crate::attempt::ending::BESIDE_ENDS_WITHIN;
use crate::attempt::facts::container::EndBeside;
use crate::attempt::facts::{Phase, PodFacts, Work};
use crate::time::after;

/// Those for which the pod of work that ended well, and with it the Job, counts as failed. What ended together with its pod,
/// where somebody ended that, is no failure of its own.
pub(super) fn for_which_it_failed(pod: &PodFacts, pod_was_ended: bool) -> Option<String> {
    if pod.phase != Phase::Failed {
        return None;
    }
    let ends = pod.ends_beside.iter().filter(|end| !end.is_sidecar);
    let told = ends.filter_map(|end| match end.exit_code {
        _ if had_to_be_ended(pod, end) => Some(format!("container {} had to be ended", end.container)),
        Some(0) => None,
        Some(code) if pod_was_ended && SIGNALLED.contains(&code) => None,
        _ => Some(failure(end)),
    });
    in_one(told.chain(never_told_to_have_ended(pod)).chain(never_started(pod)))
}

/// Those of which the kubelet of a busy node told the end of the pod and not theirs, where we ended the pod for them.
fn never_told_to_have_ended(pod: &PodFacts) -> impl Iterator<Item = String> {
    let we_ended_it = clocks::ended_for(pod) == Some(Reason::Stopping);
    let ran_on = pod.beside.iter().filter(move |beside| beside.runs && we_ended_it);
    ran_on.map(|beside| format!("container {} had to be ended", beside.container))
}

/// Those that failed before the work did, which may be why.
pub(super) fn that_failed_before(pod: &PodFacts) -> Option<String> {
    let ended = work_ended_at(pod);
    let came_first = |end: &&EndBeside| end.at.zip(ended).is_none_or(|(end, work)| end <= work);
    let failed = |end: &&EndBeside| end.exit_code != Some(0);
    let told = pod.ends_beside.iter().filter(failed).filter(came_first).map(failure);
    in_one(told.chain(never_started(pod)))
}

fn work_ended_at(pod: &PodFacts) -> Option<Timestamp> {
    match &pod.work {
        Work::Ended { at, .. } => *at,
        _ => None,
    }
}

/// It ran on after the work, and we ended the pod for that.
fn had_to_be_ended(pod: &PodFacts, end: &EndBeside) -> bool {
    let due = work_ended_at(pod).map(|ended| after(ended, BESIDE_ENDS_WITHIN));
    let ran_on = end.at.zip(due).is_some_and(|(end, due)| end >= due);
    ran_on && end.out_of_memory.is_none() && clocks::ended_for(pod) == Some(Reason::Stopping)
}

fn failure(end: &EndBeside) -> String {
    match (&end.out_of_memory, end.exit_code) {
        (Some(killed), _) => killed.told(),
        (None, Some(code)) => format!("container {} ended with exit code {code}", end.container),
        (None, None) => format!("container {} did not start", end.container),
    }
}

fn never_started(pod: &PodFacts) -> impl Iterator<Item = String> {
    pod.beside
        .iter()
        .filter(|beside| !beside.runs)
        .map(|beside| format!("container {} did not start", beside.container))
}

fn in_one(told: impl Iterator<Item = String>) -> Option<String> {
    let told: Vec<_> = told.collect();
    (!told.is_empty()).then(|| told.join(", "))
}
