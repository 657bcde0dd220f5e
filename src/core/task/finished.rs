//! A final task. Final is final for its run; what is left is to notice a new run, to remove what the run
//! left behind, and to let the task itself go when its time to live is over. Nothing goes before its record.

use jiff::{SignedDuration, Timestamp};

use super::{Action, Decision, View, earliest};
use crate::attempt::facts::JobFacts;
use crate::time::after;

pub(super) fn decide(view: &View) -> Decision {
    let observed = view.around.observed;
    let mut kept = observed.jobs.iter().filter(|job| !job.gone && !job.deleting);
    if view.wants_new_run() {
        return view.begins_anew(&view.status);
    }
    if view.task.metadata.generation.is_some_and(|seen| seen != view.status.observed_generation) {
        return Decision::write(view.retold());
    }
    // The Job of an attempt before, where the last one ended before anybody had time to remove it.
    let last = view.job_name();
    let last_is_there = observed.jobs.iter().any(|job| job.name == last && !job.gone);
    if let Some(job) = kept.clone().find(|job| last_is_there && job.name != last) {
        return Decision::act(removal(view, job));
    }
    if !view.status.is_archived() || view.around.record_in_doubt {
        return view.recorded_late();
    }
    let expires = after_end(view, view.task.spec.ttl_seconds_after_finished.map(i64::from));
    if view.is_past(expires) {
        return Decision::act(Action::DeleteTask);
    }
    let forgotten = after_end(view, Some(view.around.settings.keep_finished_seconds));
    match kept.next() {
        Some(job) if view.is_past(forgotten) => Decision::act(removal(view, job)),
        Some(_) => Decision::wake_at(earliest([expires, forgotten])),
        None => Decision::wake_at(expires),
    }
}

fn removal(view: &View, job: &JobFacts) -> Action {
    Action::DeleteJob { name: job.name.clone(), uid: job.uid.clone(), why: view.status.reason }
}

fn after_end(view: &View, seconds: Option<i64>) -> Option<Timestamp> {
    Some(after(view.status.finished_at.as_ref()?.0, SignedDuration::from_secs(seconds?)))
}
