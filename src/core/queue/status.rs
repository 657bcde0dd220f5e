//! The status of a queue: how many tasks wait in it, for how long and for what, and how many are admitted.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::capacity_names;
use super::explain::Explanation;
use crate::Reason;
use crate::launch::resources::Amounts;
use crate::telling::conditions;
use task_manager_api::{ByPriority, Priority, Quantity, Task, TaskQueue, TaskQueueStatus};

/// How the number of tasks is called beside the resources.
const TASKS: &str = "tasks";

/// How many tasks wait in a queue, how many are admitted and what they use, and why the first does not start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueCounts {
    running: i32,
    used: Amounts,
    queued: [i32; Priority::COUNT],
    oldest: Option<Timestamp>,
    waiting_for: Option<String>,
}

impl QueueCounts {
    /// Counts of a queue whose `slots` admitted tasks use `used` together, with, so far, none that waits.
    pub fn of_admitted(slots: i64, used: Amounts) -> Self {
        Self { running: slots.try_into().unwrap_or(i32::MAX), used, ..Self::default() }
    }

    /// Its first task, of this name, waits for this.
    pub fn first_waits(&mut self, name: &str, explanation: &Explanation) {
        self.waiting_for = Some(explanation.of_queue(name)).filter(|told| !told.is_empty());
    }

    /// Counts `task`, which waits and has `priority` as its effective one.
    pub fn count(&mut self, task: &Task, priority: Priority) {
        let queued_at = task.status.as_ref().and_then(|status| status.queued_at.as_ref()).map(|time| time.0);
        let created_at = task.metadata.creation_timestamp.as_ref().map(|time| time.0);
        self.queued[priority.index()] += 1;
        self.oldest = self.oldest.into_iter().chain(queued_at.or(created_at)).min();
    }
}

/// Seconds of waiting at which the status is written though nothing else changed. Any other ageing writes nothing, so
/// that a queue in which nothing moves is not written again and again.
const REPORTED_AGES: [i64; 6] = [10, 60, 600, 3600, 21_600, 86_400];

/// The status that `queue` should have.
pub fn queue_status(queue: &TaskQueue, counts: &QueueCounts, now: Timestamp) -> TaskQueueStatus {
    let before = queue.status.clone().unwrap_or_default();
    let at = |priority: Priority| counts.queued[priority.index()];
    let oldest = counts.oldest.map_or(SignedDuration::ZERO, |oldest| now.duration_since(oldest)).as_secs().max(0);
    let fault = capacity_names::fault(queue.spec.capacity.resources.keys());
    let (ready, reason, message) = match &fault {
        Some(fault) => ("False", Reason::QueueNotReady, fault.as_str()),
        None if queue.spec.suspend => ("False", Reason::Suspended, Reason::Suspended.sentence()),
        None => ("True", Reason::Ready, Reason::Ready.sentence()),
    };
    let status = TaskQueueStatus {
        observed_generation: queue.metadata.generation.unwrap_or_default(),
        queued: counts.queued.iter().sum(),
        running: counts.running,
        used: used(queue, counts),
        usage: Some(usage(queue, counts)),
        waiting_for: counts.waiting_for.clone(),
        by_priority: ByPriority {
            critical: at(Priority::Critical),
            high: at(Priority::High),
            normal: at(Priority::Normal),
            low: at(Priority::Low),
        },
        oldest_queued_at: counts.oldest.map(MicroTime),
        oldest_queued_seconds: before.oldest_queued_seconds,
        conditions: conditions::ready(ready, reason, message, &before.conditions, now),
    };
    let passed = |age: i64| REPORTED_AGES.iter().filter(|reported| age >= **reported).count();
    let aged = passed(oldest) != passed(before.oldest_queued_seconds);
    if status == before && !aged { before } else { TaskQueueStatus { oldest_queued_seconds: oldest, ..status } }
}

/// The resources in use, and the number of tasks. Of devices that the capacity does not name there may be any number.
fn used(queue: &TaskQueue, counts: &QueueCounts) -> BTreeMap<String, Quantity> {
    let is_shown = |name: &String| capacity_names::is_plain(name) || queue.spec.capacity.resources.contains_key(name);
    let tasks = (TASKS.to_owned(), Quantity(counts.running.to_string()));
    let resources = counts.used.iter().filter(|(name, _)| is_shown(name));
    resources.map(|(name, amount)| (name.clone(), Quantity::from(*amount))).chain([tasks]).collect()
}

/// What is used of the capacity, as people read it: "tasks 50/50, cpu 14/16, memory 30Gi/32Gi".
fn usage(queue: &TaskQueue, counts: &QueueCounts) -> String {
    let capacity = &queue.spec.capacity;
    let of = |most: Option<String>| most.map_or_else(String::new, |most| format!("/{most}"));
    let tasks = format!("{TASKS} {}{}", counts.running, of(capacity.tasks.map(|tasks| tasks.to_string())));
    let bounded = capacity.resources.iter().map(|(name, most)| {
        let used = counts.used.get(name).copied().unwrap_or_default();
        format!("{name} {used}{}", of(Some(most.0.clone())))
    });
    std::iter::once(tasks).chain(bounded).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use task_manager_api::{TaskQueueSpec, TaskSpec};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn counts(running: i64, waiting: &[Priority]) -> QueueCounts {
        let mut counts = QueueCounts::of_admitted(running, Amounts::new());
        for priority in waiting {
            let mut task = Task::new("t", TaskSpec::default());
            task.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(100)));
            counts.count(&task, *priority);
        }
        counts
    }

    #[test]
    fn a_queue_reports_how_many_wait_and_run() {
        let queue = TaskQueue::new("q", TaskQueueSpec::default());
        let status = queue_status(&queue, &counts(1, &[Priority::High, Priority::Low]), at(130));
        assert_eq!((status.queued, status.running, status.oldest_queued_seconds), (2, 1, 30));
        assert_eq!((status.by_priority.high, status.by_priority.low), (1, 1));
    }

    #[test]
    fn mere_ageing_is_reported_at_a_few_ages_only() {
        let mut queue = TaskQueue::new("q", TaskQueueSpec::default());
        let waiting = counts(0, &[Priority::Low]);
        let mut told = vec![];
        for second in 100..300_000 {
            let next = queue_status(&queue, &waiting, at(second));
            assert_eq!(next.oldest_queued_at, Some(MicroTime(at(100))));
            if queue.status.as_ref() != Some(&next) {
                told.push(next.oldest_queued_seconds);
                queue.status = Some(next);
            }
        }
        assert_eq!(told, [0, 10, 60, 600, 3600, 21_600, 86_400]);
    }

    #[test]
    fn an_empty_queue_is_not_reported_again() {
        let mut queue = TaskQueue::new("q", TaskQueueSpec::default());
        queue.status = Some(queue_status(&queue, &QueueCounts::default(), at(1)));
        assert_eq!(Some(queue_status(&queue, &QueueCounts::default(), at(100_000))), queue.status);
    }
}
