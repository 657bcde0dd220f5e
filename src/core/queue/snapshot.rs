//! Why each task waits, as far as tasks, types and queues tell. Whoever watches them feeds it, object by object: REST on every
//! replica, and `follow`. It knows no Jobs and pods and the leader does, so where it finds nothing that holds a task back, the
//! task's own status has the word. Never admits anybody.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::admission::AdmissionQueue;
use super::explain::Explanation;
use super::ledger::TypeLimits;
use super::order::Key;
use super::quota::Quota;
use super::state::{PendingTask, QueueState, queue_state, untyped, waits_its_turn};
use crate::launch::resources::Amounts;
use crate::telling::text;
use crate::telling::wait::Wait;
use crate::{ParsedType, Reason, Settings};
use task_manager_api::{Priority, Resources, Retry, State, Task, TaskQueue, TaskSpec, TaskStatus, TaskType};

#[derive(Debug)]
pub struct Snapshot {
    admission: AdmissionQueue,
    settings: Settings,
    types: HashMap<Key, ParsedType>,
    queues: HashSet<Key>,
    /// Of each task that waits: it stands anew when its type changes.
    asked: HashMap<Arc<str>, Arc<Asked>>,
    /// Tasks that would wait if their type could be used.
    untyped: HashMap<Arc<str>, PendingTask>,
    /// What the task asked for that came last. The next one mostly asks for the same and then shares it.
    last_asked: Arc<Asked>,
}

/// The parts of a task whose meaning depends on its type.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    priority: Option<Priority>,
    resources: Option<Resources>,
    retry: Option<Retry>,
    oom_kills: i32,
}

/// A wait as it is told now.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub reason: Reason,
    pub message: String,
    /// From 1, where it waits for its turn.
    pub place: Option<usize>,
}

impl Snapshot {
    pub fn new(settings: Settings) -> Self {
        let admission = AdmissionQueue::new(settings.max_running_tasks)
            .with_default_queue(Quota::of_tasks(settings.default_queue_tasks));
        let (types, queues, asked, untyped, last_asked) = Default::default();
        Self { admission, settings, types, queues, asked, untyped, last_asked }
    }

    /// A task as it is now. `first_seen` is its arrival where the status names none.
    pub fn set_task(&mut self, task: &Task, first_seen: u64) {
        let Some(uid) = task.metadata.uid.as_deref().map(Arc::from) else { return };
        let waiting = untyped(task, first_seen).filter(|_| waits_its_turn(task));
        let Some(waiting) = waiting else {
            self.forget_waiting(&uid);
            let holds = task.status_or_default().state == State::Processing;
            let state = if holds { queue_state(task, None, 0, &self.settings) } else { QueueState::Inactive };
            self.admission.set(&uid, state);
            return;
        };
        let asked = Asked::of(task);
        if *self.last_asked != asked {
            self.last_asked = Arc::new(asked);
        }
        self.asked.insert(uid.clone(), self.last_asked.clone());
        self.stand(&uid, waiting);
    }

    /// A task of which only the slot matters that it may hold: nobody asks why it waits.
    pub fn set_holder(&mut self, task: &Task) {
        if task.status_or_default().state == State::Processing {
            self.set_task(task, 0);
        } else if let Some(uid) = task.metadata.uid.as_deref() {
            self.forget_task(uid);
        }
    }

    pub fn forget_task(&mut self, uid: &str) {
        self.forget_waiting(uid);
        self.admission.remove(&uid.into());
    }

    fn forget_waiting(&mut self, uid: &str) {
        self.asked.remove(uid);
        self.untyped.remove(uid);
    }

    /// A type as it is now; `None` where there is none.
    pub fn set_type(&mut self, key: &Key, task_type: Option<&TaskType>) {
        let read = task_type.map(ParsedType::of);
        if self.types.get(key) == read.as_ref() {
            return;
        }
        // Nobody but who leads knows which workers are free.
        let limits = read.as_ref().map(|read| TypeLimits { pool: None, ..TypeLimits::of(&key.0, &read.spec) });
        match read {
            Some(read) => drop(self.types.insert(key.clone(), read)),
            None => drop(self.types.remove(key)),
        }
        self.admission.set_type_limits(key.clone(), limits.unwrap_or_default());
        let of_type = self.untyped.values().filter(|waiting| waiting.task_type == *key).cloned();
        let waiting: Vec<PendingTask> = of_type.chain(self.admission.pending_of_type(key)).collect();
        for waiting in waiting {
            self.stand(&waiting.order.uid().clone(), waiting);
        }
    }

    /// A queue as it is now; `None` where there is none.
    pub fn set_queue(&mut self, key: &Key, queue: Option<&TaskQueue>) {
        match queue {
            Some(_) => self.queues.insert(key.clone()),
            None => self.queues.remove(key),
        };
        self.admission.set_quota(key.clone(), queue.map(|queue| Quota::of(&queue.spec)));
    }

    /// A whole list of the queues of this namespace was shown: what is not on it is gone.
    pub fn queues_listed(&mut self, namespace: &str, listed: &HashSet<Arc<str>>) {
        let gone = self.queues.iter().filter(|key| *key.0 == *namespace && !listed.contains(&key.1));
        for key in gone.cloned().collect::<Vec<_>>() {
            self.set_queue(&key, None);
        }
    }

    /// Puts a task where its type, as it is now, lets it stand.
    fn stand(&mut self, uid: &Arc<str>, waiting: PendingTask) {
        let asked = self.asked.get(uid).cloned().unwrap_or_default();
        let task_type = self.types.get(&waiting.task_type);
        match queue_state(&asked.as_task(&waiting), task_type, 0, &self.settings) {
            QueueState::Pending(typed) => {
                let order = waiting.order.with_priority(typed.order.priority());
                self.untyped.remove(uid);
                self.admission.set(uid, QueueState::Pending(PendingTask { order, ..typed }));
            }
            QueueState::Admitted(_) | QueueState::Inactive => {
                self.admission.set(uid, QueueState::Inactive);
                self.untyped.insert(uid.clone(), waiting);
            }
        }
    }

    /// How many tasks of a queue hold a slot, what they use together, and the first of its line with what it waits for.
    pub fn of_queue(&mut self, queue: &Key, now: Timestamp) -> (i64, Amounts, Option<(Arc<str>, Explanation)>) {
        let (slots, used) = (self.admission.admitted_in(queue), self.admission.used_in(queue));
        (slots, used, self.admission.explain_first(queue, now))
    }

    /// Why a task waits; `None` where it does not, or where its type cannot be used.
    pub fn explain(&mut self, uid: &str, now: Timestamp) -> Option<Explanation> {
        self.admission.explain(uid, now)
    }

    /// How many tasks wait, and what is remembered of types and queues.
    #[cfg(test)]
    fn remembered(&self) -> usize {
        self.asked.len() + self.untyped.len() + self.queues.len() + self.types.len() + self.admission.remembered()
    }
}

impl Asked {
    fn of(task: &Task) -> Self {
        let TaskSpec { priority, resources, retry, .. } = &task.spec;
        let oom_kills = task.status_or_default().oom_kills;
        Self { priority: *priority, resources: resources.clone(), retry: retry.clone(), oom_kills }
    }

    /// A task as far as admission reads it.
    fn as_task(&self, waiting: &PendingTask) -> Task {
        let spec = TaskSpec {
            type_: waiting.task_type.1.to_string(),
            queue: waiting.queue.1.to_string(),
            kb_id: waiting.kb_id.as_deref().map(str::to_owned),
            priority: self.priority,
            resources: self.resources.clone(),
            // Whether it exceeds the type's maximum is told by the leader, which fails it then.
            retry: self.retry.clone().map(|retry| Retry { limit: None, ..retry }),
            start_after: waiting.ready_at.map(Time),
            ..TaskSpec::default()
        };
        let mut task = Task::new("", spec);
        task.metadata.namespace = Some(waiting.queue.0.to_string());
        task.metadata.uid = Some(waiting.order.uid().to_string());
        task.status = Some(TaskStatus { oom_kills: self.oom_kills, ..TaskStatus::default() });
        task
    }
}

impl Explanation {
    /// The wait of a queued task, whose status says `reason` and `message`, as it is told now; `None` where the status says
    /// all there is to say. `first` is the name of the first in its line.
    pub fn told(&self, reason: Reason, message: Option<&str>, first: Option<&str>) -> Option<Told> {
        let message = message.unwrap_or_default();
        let place = self.turn.as_ref().map(|turn| turn.place);
        match self.reason() {
            Reason::NotYetDue => None,
            // Whoever leads knows what holds it back, or it starts in a moment.
            Reason::Queued if reason != Reason::Queued => Some(Told { reason, message: message.into(), place }),
            now => {
                let happened = happened(reason, message);
                let message = self.message(first);
                let message = match happened {
                    Some(happened) => text::with_what_happened(&message, &happened),
                    None => message,
                };
                Some(Told { reason: now, message, place })
            }
        }
    }
}

/// What happened before, by a status that says `reason` and `message`.
fn happened(reason: Reason, message: &str) -> Option<String> {
    match reason {
        Reason::WaitingForRetry => Some(message.into()),
        reason if reason == Reason::Queued || Wait::of(reason).is_of_many() => {
            text::what_happened(message).map(str::to_owned)
        }
        Reason::Suspended | Reason::NotYetDue => text::what_happened(message).map(str::to_owned),
        reason => Some(format!("{reason}: {message}")),
    }
}

#[cfg(test)]
mod tests;
