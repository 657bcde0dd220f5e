//! What a queue tells of itself: how many wait and run, and since when. Never decides who is admitted.

use jiff::{SignedDuration, Timestamp};

use super::super::{Reason, conditions};
use crate::api::{ByPriority, Priority, State, Task, TaskQueue, TaskQueueStatus};

/// What waits in a queue and what holds a slot of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    running: i32,
    queued: [i32; Priority::COUNT],
    oldest: Option<Timestamp>,
}

impl Summary {
    /// Counts `task`, whose effective priority is `priority`.
    pub fn count(&mut self, task: &Task, priority: Priority) {
        match task.status.as_ref().map(|status| status.state).unwrap_or_default() {
            State::Queued => {
                let queued_at = task.status.as_ref().and_then(|status| status.queued_at.as_ref()).map(|time| time.0);
                let created_at = task.metadata.creation_timestamp.as_ref().map(|time| time.0);
                self.queued[priority.index()] += 1;
                self.oldest = self.oldest.into_iter().chain(queued_at.or(created_at)).min();
            }
            State::Processing => self.running += 1,
            State::Completed | State::Failed | State::Cancelled => {}
        }
    }
}

/// The status that `queue` should have. The age of the oldest alone is no news until it has doubled: a queue
/// that nothing moves in is not written to again and again.
pub fn status(queue: &TaskQueue, summary: &Summary, now: Timestamp) -> TaskQueueStatus {
    let before = queue.status.clone().unwrap_or_default();
    let at = |priority: Priority| summary.queued[priority.index()];
    let oldest = summary.oldest.map_or(SignedDuration::ZERO, |oldest| now.duration_since(oldest)).as_secs().max(0);
    let (ready, reason) = if queue.spec.suspend { ("False", Reason::Suspended) } else { ("True", Reason::Ready) };
    let status = TaskQueueStatus {
        observed_generation: queue.metadata.generation.unwrap_or_default(),
        queued: summary.queued.iter().sum(),
        running: summary.running,
        by_priority: ByPriority {
            critical: at(Priority::Critical),
            high: at(Priority::High),
            normal: at(Priority::Normal),
            low: at(Priority::Low),
        },
        oldest_queued_seconds: before.oldest_queued_seconds,
        conditions: conditions::ready(ready, reason, reason.sentence(), &before.conditions, now),
    };
    let aged = oldest > before.oldest_queued_seconds.saturating_mul(2).max(10) || oldest < before.oldest_queued_seconds;
    if status == before && !aged { before } else { TaskQueueStatus { oldest_queued_seconds: oldest, ..status } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{TaskQueueSpec, TaskSpec, TaskStatus};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn summary(states: &[(State, Priority)]) -> Summary {
        let mut summary = Summary::default();
        for (state, priority) in states {
            let mut task = Task::new("t", TaskSpec::default());
            task.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(100)));
            task.status = Some(TaskStatus { state: *state, ..TaskStatus::default() });
            summary.count(&task, *priority);
        }
        summary
    }

    #[test]
    fn a_queue_tells_what_waits_and_what_runs() {
        let queue = TaskQueue::new("q", TaskQueueSpec::default());
        let tasks = [
            (State::Queued, Priority::High),
            (State::Queued, Priority::Low),
            (State::Processing, Priority::Low),
            (State::Failed, Priority::Low),
        ];
        let status = status(&queue, &summary(&tasks), at(130));
        assert_eq!((status.queued, status.running, status.oldest_queued_seconds), (2, 1, 30));
        assert_eq!((status.by_priority.high, status.by_priority.low), (1, 1));
    }

    #[test]
    fn mere_ageing_is_told_only_when_it_has_doubled() {
        let mut queue = TaskQueue::new("q", TaskQueueSpec::default());
        let waiting = summary(&[(State::Queued, Priority::Low)]);
        queue.status = Some(status(&queue, &waiting, at(130)));
        assert_eq!(Some(status(&queue, &waiting, at(160))), queue.status);
        assert_eq!(status(&queue, &waiting, at(161)).oldest_queued_seconds, 61);
    }

    #[test]
    fn an_empty_queue_that_said_so_stays_silent() {
        let mut queue = TaskQueue::new("q", TaskQueueSpec::default());
        queue.status = Some(status(&queue, &Summary::default(), at(1)));
        assert_eq!(Some(status(&queue, &Summary::default(), at(100_000))), queue.status);
    }
}
