//! The times in which a task waited and ran, from arrival to its end. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::api::{AttemptOutcome, State, Task, TaskStatus};

/// The start and end of a run of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub from: Timestamp,
    pub to: Timestamp,
    /// How the attempt ended; none while it runs.
    pub outcome: Option<AttemptOutcome>,
}

/// A task's whole time: between its runs it waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spans {
    pub from: Timestamp,
    pub to: Timestamp,
    pub runs: Vec<Run>,
    /// It has a slot, and its work has not started as far as is known.
    starting: SignedDuration,
}

impl Spans {
    pub fn of(task: &Task, now: Timestamp) -> Self {
        let unseen = TaskStatus::default();
        let status = task.status.as_ref().unwrap_or(&unseen);
        let created = task.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let from = status.queued_at.as_ref().map(|time| time.0).or(created).unwrap_or(now);
        let finished = status.finished_at.as_ref().map(|time| time.0).filter(|_| status.state.is_final());
        let to = finished.unwrap_or(now).max(from);

        let mut spans = Self { from, to, runs: Vec::new(), starting: SignedDuration::ZERO };
        for attempt in &status.attempts {
            if let (Some(started), Some(finished)) = (&attempt.started_at, &attempt.finished_at) {
                spans.push(started.0, finished.0, Some(attempt.outcome));
            }
        }
        match running_since(status) {
            Some(started) => spans.push(started, to, None),
            None => spans.starting = starting_for(status, to),
        }
        if ended_with_its_last_run(status) {
            spans.to = spans.runs.last().map_or(to, |run| run.to);
        }
        spans
    }

    /// The kubelet tells whole seconds, so a run may seem to begin before the task arrived: keep to the order.
    fn push(&mut self, from: Timestamp, to: Timestamp, outcome: Option<AttemptOutcome>) {
        let earliest = self.runs.last().map_or(self.from, |run| run.to);
        let from = from.clamp(earliest, self.to.max(earliest));
        let to = to.clamp(from, self.to.max(from));
        self.runs.push(Run { from, to, outcome });
    }

    pub fn ran(&self) -> SignedDuration {
        self.runs.iter().map(|run| run.to.duration_since(run.from)).fold(SignedDuration::ZERO, |sum, one| sum + one)
    }

    /// While it starts the clock stands still: a start is told only ten seconds later, and time that was counted as
    /// waiting would be taken back.
    pub fn waited(&self) -> SignedDuration {
        (self.to.duration_since(self.from) - self.ran() - self.starting).max(SignedDuration::ZERO)
    }
}

/// The time until the final state is written is no waiting: the task has ended.
fn ended_with_its_last_run(status: &TaskStatus) -> bool {
    let last = status.attempts.last().map(|attempt| attempt.reason);
    status.state == State::Completed || status.state == State::Failed && last == Some(status.reason)
}

/// The work's own time alone: pulling an image or mounting a volume is no running.
fn running_since(status: &TaskStatus) -> Option<Timestamp> {
    let started = status.started_at.as_ref().filter(|_| status.state == State::Processing)?;
    Some(started.0)
}

fn starting_for(status: &TaskStatus, now: Timestamp) -> SignedDuration {
    let admitted = status.admitted_at.as_ref().filter(|_| status.state == State::Processing);
    admitted.map_or(SignedDuration::ZERO, |admitted| now.duration_since(admitted.0).max(SignedDuration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Reason;
    use crate::follow::fixtures::{Story, at, task};

    #[test]
    fn a_task_that_waits_has_waited_since_it_was_queued() {
        let spans = Spans::of(&task("a").was_queued(10), at(25));
        assert_eq!((spans.waited().as_secs(), spans.ran().as_secs()), (15, 0));
    }

    #[test]
    fn a_start_that_takes_long_is_no_running_and_waiting_never_counts_down() {
        let spans = Spans::of(&task("a").was_queued(0).admitted_since(5), at(20));
        assert_eq!((spans.waited().as_secs(), spans.ran().as_secs()), (5, 0));
        let pulled = task("a").was_queued(0).processes_since(12).with(|status| {
            status.admitted_at = task("b").processes_since(5).status.and_then(|status| status.admitted_at);
        });
        let spans = Spans::of(&pulled, at(20));
        assert_eq!((spans.waited().as_secs(), spans.ran().as_secs()), (12, 8));
    }

    #[test]
    fn retries_and_pauses_add_up() {
        let failed = AttemptOutcome::Failed;
        let task = task("a").was_queued(0).tried(2, 5, failed).tried(7, 9, failed).processes_since(12);
        let spans = Spans::of(&task, at(20));
        assert_eq!((spans.ran().as_secs(), spans.waited().as_secs()), (3 + 2 + 8, 7));
    }

    #[test]
    fn clocks_that_disagree_never_make_time_run_backwards() {
        let task = task("a").was_queued(10).tried(8, 11, AttemptOutcome::Failed).tried(9, 9, AttemptOutcome::Failed);
        let spans = Spans::of(&task.processes_since(5), at(3));
        assert!(spans.runs.iter().all(|run| run.from <= run.to && run.from >= spans.from));
        assert!(!spans.waited().is_negative());
    }

    #[test]
    fn a_task_whose_deadline_came_after_a_failure_has_waited_until_then() {
        let mut late = task("a").was_queued(0).tried(3, 8, AttemptOutcome::Failed).ended(State::Failed, 20);
        late.status.as_mut().expect("a status").reason = Reason::DeadlineExceeded;
        assert_eq!(Spans::of(&late, at(100)).waited().as_secs(), 3 + 12);
    }

    #[test]
    fn the_time_of_a_finished_task_stands_still() {
        let task = task("a").was_queued(0).tried(3, 8, AttemptOutcome::Succeeded).ended(State::Completed, 9);
        assert_eq!(Spans::of(&task, at(100)), Spans::of(&task, at(900)));
        assert_eq!(Spans::of(&task, at(100)).waited().as_secs(), 3);
    }
}
