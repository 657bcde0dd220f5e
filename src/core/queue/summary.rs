//! What a queue's status tells: how much waits in it, and for how long, and how much of it is held.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use crate::Reason;
use crate::telling::conditions;
use task_manager_api::{ByPriority, Priority, Task, TaskQueue, TaskQueueStatus};

/// What waits in a queue and what holds a slot of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    running: i32,
    queued: [i32; Priority::COUNT],
    oldest: Option<Timestamp>,
}

impl Summary {
    /// Of a queue of which so many slots are held, and in which nobody waits yet.
    pub fn of_held(slots: i64) -> Self {
        Self { running: slots.try_into().unwrap_or(i32::MAX), ..Self::default() }
    }

    /// Counts `task`, which waits, and whose effective priority is `priority`.
    pub fn count(&mut self, task: &Task, priority: Priority) {
        let queued_at = task.status.as_ref().and_then(|status| status.queued_at.as_ref()).map(|time| time.0);
        let created_at = task.metadata.creation_timestamp.as_ref().map(|time| time.0);
        self.queued[priority.index()] += 1;
        self.oldest = self.oldest.into_iter().chain(queued_at.or(created_at)).min();
    }
}

/// Seconds of waiting that are news by themselves. A queue that nothing moves in is not written to again and again.
const TELLING_AGES: [i64; 6] = [10, 60, 600, 3600, 21_600, 86_400];

/// The status that `queue` should have.
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
        oldest_queued_at: summary.oldest.map(MicroTime),
        oldest_queued_seconds: before.oldest_queued_seconds,
        conditions: conditions::ready(ready, reason, reason.sentence(), &before.conditions, now),
    };
    let passed = |age: i64| TELLING_AGES.iter().filter(|telling| age >= **telling).count();
    let aged = passed(oldest) != passed(before.oldest_queued_seconds);
    if status == before && !aged { before } else { TaskQueueStatus { oldest_queued_seconds: oldest, ..status } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use task_manager_api::{TaskQueueSpec, TaskSpec};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn summary(running: i64, waiting: &[Priority]) -> Summary {
        let mut summary = Summary::of_held(running);
        for priority in waiting {
            let mut task = Task::new("t", TaskSpec::default());
            task.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(100)));
            summary.count(&task, *priority);
        }
        summary
    }

    #[test]
    fn a_queue_tells_what_waits_and_what_runs() {
        let queue = TaskQueue::new("q", TaskQueueSpec::default());
        let status = status(&queue, &summary(1, &[Priority::High, Priority::Low]), at(130));
        assert_eq!((status.queued, status.running, status.oldest_queued_seconds), (2, 1, 30));
        assert_eq!((status.by_priority.high, status.by_priority.low), (1, 1));
    }

    #[test]
    fn mere_ageing_is_told_a_few_times_and_no_more() {
        let mut queue = TaskQueue::new("q", TaskQueueSpec::default());
        let waiting = summary(0, &[Priority::Low]);
        let mut told = vec![];
        for second in 100..300_000 {
            let next = status(&queue, &waiting, at(second));
            assert_eq!(next.oldest_queued_at, Some(MicroTime(at(100))));
            if queue.status.as_ref() != Some(&next) {
                told.push(next.oldest_queued_seconds);
                queue.status = Some(next);
            }
        }
        assert_eq!(told, [0, 10, 60, 600, 3600, 21_600, 86_400]);
    }

    #[test]
    fn an_empty_queue_that_said_so_stays_silent() {
        let mut queue = TaskQueue::new("q", TaskQueueSpec::default());
        queue.status = Some(status(&queue, &Summary::default(), at(1)));
        assert_eq!(Some(status(&queue, &Summary::default(), at(100_000))), queue.status);
    }
}
