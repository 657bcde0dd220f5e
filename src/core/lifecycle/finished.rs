//! A final task. Final is final for its run; what is left is to notice a new run, to remove what the run
//! left behind, and to let the task itself go when its time to live is over.

use jiff::{SignedDuration, Timestamp};

use super::super::observe::JobFacts;
use super::super::time::after;
use super::{Action, Decision, View, earliest};
use crate::api::TaskStatus;

pub(super) fn decide(view: &View) -> Decision {
    if view.wants_new_run() {
        return Decision::write(view.new_run());
    }
    if let Some(generation) = view.task.metadata.generation.filter(|seen| *seen != view.status.observed_generation) {
        return Decision::write(TaskStatus { observed_generation: generation, ..view.status.clone() });
    }
    let expires = after_end(view, view.task.spec.ttl_seconds_after_finished.map(i64::from));
    if view.is_past(expires) {
        return Decision::act(Action::DeleteTask);
    }
    let forgotten = after_end(view, Some(view.around.settings.keep_finished_seconds));
    let observed = view.around.observed;
    let mut kept = observed.jobs.iter().filter(|job| !job.gone && !job.deleting).peekable();
    let wake = if kept.peek().is_some() { earliest([expires, forgotten]) } else { expires };
    // The Job of an attempt before, where the last one ended before anybody had time to remove it.
    let last = view.job_name();
    let last_is_there = observed.jobs.iter().any(|job| job.name == last && !job.gone);
    let is_leftover = |job: &JobFacts| last_is_there && job.name != last;
    match kept.find(|job| view.is_past(forgotten) || is_leftover(job)) {
        Some(job) => Decision::act(removal(view, job)),
        None => Decision::wake_at(wake),
    }
}

fn removal(view: &View, job: &JobFacts) -> Action {
    Action::DeleteJob { name: job.name.clone(), uid: job.uid.clone(), why: view.status.reason }
}

fn after_end(view: &View, seconds: Option<i64>) -> Option<Timestamp> {
    Some(after(view.status.finished_at.as_ref()?.0, SignedDuration::from_secs(seconds?)))
}
