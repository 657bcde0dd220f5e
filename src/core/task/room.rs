//! Finished Jobs are kept for their logs. Which of them may go before their time, where they are in the way of others or
//! too many. Never one whose outcome is not written down.

use crate::attempt::facts::{JobFacts, Observed, PodFacts, Why, counts_ended_ones};
use crate::attempt::job_name;
use crate::time::after;
use jiff::{SignedDuration, Timestamp};
use task_manager_api::{State, Task};

use super::look::Look;

/// How long a launch is tried again after room was made for it: then it is told why nothing comes of it.
const TRIED_FOR: SignedDuration = SignedDuration::from_secs(60);
/// How many Jobs go at once: a quota is counted anew only a moment after a deletion.
const AT_ONCE: usize = 4;

/// The launch was refused by a quota that counts finished Jobs or their pods: some of ours may go for it.
pub(super) fn may_help(look: &Look, refused: &Why) -> bool {
    let admitted = look.status.admitted_at.as_ref().map_or(look.now, |time| time.0);
    counts_ended_ones(refused) && look.now < after(admitted, TRIED_FOR)
}

/// The finished Jobs of this task that may go: all of a final task with its record, and those that the outcome of their
/// attempt is written of while the task goes on.
pub fn spare<'a>(task: &Task, observed: &'a Observed, record_in_doubt: bool) -> impl Iterator<Item = &'a JobFacts> {
    let status = task.status_or_default();
    let is_deleted = task.metadata.deletion_timestamp.is_some();
    let is_written = !record_in_doubt && (!status.state.is_final() || status.is_archived());
    let present = (status.state == State::Processing).then(|| job_name(task));
    let jobs = observed.jobs.iter().filter(move |_| is_written && !is_deleted);
    jobs.filter(move |job| present.as_ref() != Some(&job.name) && is_over(job, observed))
}

fn is_over(job: &JobFacts, observed: &Observed) -> bool {
    let mut pods = observed.pods.iter().filter(|pod| pod.job == job.name);
    job.finished.is_some() && !job.gone && !job.deleting && pods.all(PodFacts::has_ended)
}

/// Those that go first to make room for another: the oldest, a few at a time.
pub fn first_to_go<T>(spare: Vec<T>, finished_at: impl Fn(&T) -> Option<Timestamp>) -> Vec<T> {
    oldest(spare, AT_ONCE, finished_at)
}

/// Those beyond `most`: the oldest.
pub fn beyond<T>(most: usize, spare: Vec<T>, finished_at: impl Fn(&T) -> Option<Timestamp>) -> Vec<T> {
    let too_many = spare.len().saturating_sub(most);
    oldest(spare, too_many, finished_at)
}

fn oldest<T>(mut spare: Vec<T>, most: usize, finished_at: impl Fn(&T) -> Option<Timestamp>) -> Vec<T> {
    spare.sort_by_key(|job| finished_at(job));
    spare.truncate(most);
    spare
}
