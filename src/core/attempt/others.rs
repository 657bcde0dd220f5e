//! Jobs and pods of a task beside its present attempt: of attempts before, of launches that nobody answered, and those that
//! strangers made under the name of an attempt to come.

use jiff::Timestamp;

use super::ending::{delete_pod, deletion};
use super::facts::{JobFacts, NodeState, Observed, PodFacts, Why};
use super::id::next_attempt;
use super::needs::{Answered, NODES, Needs};
use super::{Deletion, Ending, ended};
use crate::Reason;
use crate::launch::names;
use task_manager_api::{State, Task};

/// Ends what may still run of a task for which nothing was launched, as far as its status says: another attempt's, or the
/// late outcome of a launch that nobody answered. It ends before anything is launched, and before anything is said.
pub fn ending(task: &Task, observed: &Observed, now: Timestamp) -> Option<Ending> {
    let job = observed.jobs.iter().find(|job| !job.deleting && observed.may_run(job));
    ending_of(task, observed, job, now)
}

/// The same of a task that holds no slot. A Job that somebody made in the name of the attempt to come goes too, also when
/// it has ended: the attempt would be judged by it.
pub fn ending_while_slotless(task: &Task, observed: &Observed, first_seen: u64, now: Timestamp) -> Option<Ending> {
    let is_to_end = |job: &JobFacts| observed.may_run(job) || forestalls(job, task, first_seen);
    let job = observed.jobs.iter().find(|job| !job.deleting && is_to_end(job));
    ending_of(task, observed, job, now)
}

fn ending_of(task: &Task, observed: &Observed, job: Option<&JobFacts>, now: Timestamp) -> Option<Ending> {
    if let Some(job) = job {
        let status = task.status_or_default();
        let why = if status.state.is_final() { status.reason } else { superseded_or_deleted(task) };
        return Some(Ending::Delete(deletion(job, why)));
    }
    let runs = |pod: &&PodFacts| ended::ended(pod, None, now).is_none();
    Some(delete_pod(Some(observed.pods.iter().find(runs)?), superseded_or_deleted(task), now))
}

/// The reason for which children of a task end that is not final.
fn superseded_or_deleted(task: &Task) -> Reason {
    if task.metadata.deletion_timestamp.is_some() { Reason::Deleted } else { Reason::Superseded }
}

/// The next node to ask for: one of a pod that should long be gone, of the task's own or of its worker. Whether it answers tells whether the pod may still run.
pub(super) fn doubtful_node<'a>(
    observed: &'a Observed,
    worker: Option<&'a PodFacts>,
    answered: Answered,
    now: Timestamp,
) -> Option<&'a String> {
    let is_doubtful = |pod: &&PodFacts| {
        !pod.has_ended() && ended::is_long_due(pod, now) && pod.asked.node == NodeState::NotAsked && pod.node.is_some()
    };
    observed.pods.iter().chain(worker).find(is_doubtful).filter(|_| answered.nodes < NODES)?.node.as_ref()
}

/// The question to ask before anything is decided about a task that holds no slot: nothing may be launched while a pod
/// of it runs.
pub fn needs_while_slotless(observed: &Observed, answered: Answered, now: Timestamp) -> Needs {
    doubtful_node(observed, None, answered, now).map_or(Needs::Nothing, |node| Needs::Node(node.clone()))
}

/// Some Job of a final task that is kept for its logs.
pub fn kept_for_its_logs(observed: &Observed, why: Reason) -> Option<Deletion> {
    observed.jobs.iter().find(|job| !job.gone && !job.deleting).map(|job| deletion(job, why))
}

/// A Job that has failed though its work has not.
pub fn failed_by_helpers(observed: &Observed, why: Reason) -> Option<Deletion> {
    let has_failed = |job: &&JobFacts| job.finished.is_some_and(|end| !end.succeeded) && !job.gone && !job.deleting;
    observed.jobs.iter().find(has_failed).map(|job| deletion(job, why))
}

/// The next attempt of this task, which waits for a slot, cannot be launched as it should: there is a Job of that
/// attempt's name, which is not ours.
pub fn is_forestalled(task: &Task, observed: &Observed, first_seen: u64) -> bool {
    forestalling(task, observed, first_seen).is_some()
}

/// Such a Job goes, and while it is not gone nothing starts.
pub fn forestalled(task: &Task, observed: &Observed, first_seen: u64) -> Option<Why> {
    let job = forestalling(task, observed, first_seen)?;
    let (kind, name) = (job.kind.word(), &job.name);
    let message =
        format!("a {kind} {name} that is not ours bears the name of the next attempt, which starts when that is gone");
    Some(Why::new(Reason::LaunchRefused, message))
}

fn forestalling<'a>(task: &Task, observed: &'a Observed, first_seen: u64) -> Option<&'a JobFacts> {
    observed.jobs.iter().find(|job| forestalls(job, task, first_seen))
}

/// This Job bears the name of an attempt that nobody has launched.
fn forestalls(job: &JobFacts, task: &Task, first_seen: u64) -> bool {
    let is_queued = task.status_or_default().state == State::Queued;
    is_queued && !job.gone && job.name == names::job_of(task, &next_attempt(task, first_seen))
}
