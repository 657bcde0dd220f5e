//! How full the queues are, for the metrics. Reads every task once, as the watch shows it.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use super::{Cache, Inner, is_processing, is_queued};
use crate::api::{Task, TaskType};
use crate::core::queue::{Key, ready_at, waits_its_turn};
use crate::core::time::earliest;
use crate::metrics::{Amount, Load, Origin, QueueLoad, Tasks, UnreadyType};

/// The number of tasks of a queue, where its resources are named.
const TASKS: &str = "tasks";

/// Namespace, queue and type, as the task has them.
type OriginOf<'a> = (&'a str, &'a str, &'a str);

impl Cache {
    pub fn load(&self, now: Timestamp) -> Load {
        let tasks = self.tasks.state();
        let mut counts: HashMap<OriginOf, Tasks> = HashMap::new();
        let mut oldest: HashMap<Key, Option<Timestamp>> =
            self.lock().queues.keys().map(|queue| (queue.clone(), None)).collect();
        for task in &tasks {
            let origin = origin_of(task);
            let of_queue = oldest.entry((origin.0.into(), origin.1.into())).or_default();
            if is_queued(task) {
                counts.entry(origin).or_default().waiting += 1;
                *of_queue = earliest([*of_queue, waits_since(task, now)]);
            } else if is_processing(task) {
                counts.entry(origin).or_default().running += 1;
            }
        }
        let origin = |(namespace, queue, task_type): OriginOf| Origin {
            namespace: namespace.into(),
            queue: queue.into(),
            task_type: task_type.into(),
        };
        // Each takes the lock for itself.
        let queues = self.lock().queue_loads(oldest);
        let unready_types = self.types().iter().filter_map(|kind| unready(kind)).collect();
        let pools = self.pool_loads(now);
        let tasks = counts.into_iter().map(|(of, tasks)| (origin(of), tasks)).collect();
        Load { tasks, queues, unready_types, pools }
    }
}

impl Inner {
    fn queue_loads(&self, oldest: HashMap<Key, Option<Timestamp>>) -> Vec<QueueLoad> {
        let load = |(queue, oldest): (Key, Option<Timestamp>)| {
            let amounts = self.amounts(&queue);
            QueueLoad { namespace: queue.0, queue: queue.1, oldest, amounts }
        };
        oldest.into_iter().map(load).collect()
    }

    /// The slots of a queue and each resource that it bounds or that is used in it.
    fn amounts(&self, queue: &Key) -> Vec<Amount> {
        let quota = self.admission.quota(queue);
        let used = self.admission.used_in(queue);
        let capacity = |name: &str| quota.and_then(|quota| quota.capacity_of(name));
        let bounded = quota.into_iter().flat_map(|quota| quota.bounded());
        let names: BTreeSet<&String> = used.keys().chain(bounded).collect();
        let slots = Amount {
            resource: TASKS.into(),
            used: self.admission.admitted_in(queue) as f64,
            capacity: quota.and_then(|quota| quota.slots()).map(|slots| slots as f64),
        };
        let resources = names.into_iter().map(|name| Amount {
            resource: name.as_str().into(),
            used: used.get(name).map_or(0.0, |amount| amount.as_f64()),
            capacity: capacity(name).map(|amount| amount.as_f64()),
        });
        std::iter::once(slots).chain(resources).collect()
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
