//! How full the queues are, for the metrics. Reads every task once, as the watch shows it.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{Cache, is_processing, is_queued};
use crate::api::{Task, TaskType};
use crate::core::queue::{ready_at, waits_its_turn};
use crate::core::time::earliest;
use crate::metrics::{Load, Origin, QueueLoad, Tasks, UnreadyType};

/// Namespace, queue and type, as the task has them.
type OriginOf<'a> = (&'a str, &'a str, &'a str);

impl Cache {
    pub fn load(&self, now: Timestamp) -> Load {
        let tasks = self.tasks.state();
        let mut counts: HashMap<OriginOf, Tasks> = HashMap::new();
        let mut oldest: HashMap<(&str, &str), Option<Timestamp>> = HashMap::new();
        for task in &tasks {
            let origin = origin_of(task);
            let queue = (origin.0, origin.1);
            if is_queued(task) {
                counts.entry(origin).or_default().waiting += 1;
                let oldest = oldest.entry(queue).or_default();
                *oldest = earliest([*oldest, waits_since(task, now)]);
            } else if is_processing(task) {
                counts.entry(origin).or_default().running += 1;
            }
        }
        let origin = |(namespace, queue, task_type): OriginOf| Origin {
            namespace: namespace.into(),
            queue: queue.into(),
            task_type: task_type.into(),
        };
        Load {
            tasks: counts.into_iter().map(|(of, tasks)| (origin(of), tasks)).collect(),
            queues: oldest
                .into_iter()
                .map(|((namespace, queue), oldest)| QueueLoad {
                    namespace: namespace.into(),
                    queue: queue.into(),
                    oldest,
                    amounts: vec![],
                })
                .collect(),
            unready_types: self.types().iter().filter_map(|kind| unready(kind)).collect(),
        }
    }
}

fn origin_of(task: &Task) -> OriginOf<'_> {
    (task.metadata.namespace.as_deref().unwrap_or_default(), &task.spec.queue, &task.spec.type_)
}

/// Since when a task has waited for its turn and for nothing else; `None` where it does not.
fn waits_since(task: &Task, now: Timestamp) -> Option<Timestamp> {
    let ready_at = ready_at(task);
    if !waits_its_turn(task) || ready_at.is_some_and(|time| time > now) {
        return None;
    }
    let queued_at = task.status.as_ref().and_then(|status| status.queued_at.as_ref()).map(|time| time.0);
    let created_at = task.metadata.creation_timestamp.as_ref().map(|time| time.0);
    queued_at.or(created_at).max(ready_at)
}

/// A type whose Ready was looked at and is not True.
fn unready(kind: &TaskType) -> Option<UnreadyType> {
    let ready = kind.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == "Ready")?;
    (ready.status != "True").then(|| UnreadyType {
        namespace: kind.metadata.namespace.as_deref().unwrap_or_default().into(),
        task_type: kind.metadata.name.as_deref().unwrap_or_default().into(),
        reason: ready.reason.as_str().into(),
    })
}
