//! Why tasks wait: the notices for their statuses, and the word for their queues. `core` says who is told, what, and when.

use std::collections::HashSet;

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;

use super::{Cache, Inner, Uid, is_queued};
use crate::api::{Reason, Task};
use crate::core::queue::{Explanation, Key, QueueCounts, TOLD, Waiting};
use crate::core::telling::wait::Wait;

impl Cache {
    /// Takes in why tasks wait now; returns those whose statuses are to say it.
    pub fn notice_waits(&self, now: Timestamp) -> Vec<ObjectRef<Task>> {
        let mut inner = self.lock();
        let waiting = self.waiting(&mut inner, now);
        let news = inner.notices.take_in(waiting, now);
        news.iter().filter_map(|uid| inner.known.get(uid)).map(|known| known.reference.clone()).collect()
    }

    /// The first of each queue and priority, and all whose status says why they wait.
    fn waiting(&self, inner: &mut Inner, now: Timestamp) -> Vec<Waiting> {
        let mut waiting = inner.admission.fronts(TOLD, now);
        let in_front: HashSet<Uid> = waiting.iter().map(|(uid, _)| uid.clone()).collect();
        let told: Vec<Uid> = inner.told.difference(&in_front).cloned().collect();
        let behind = told.into_iter().filter_map(|uid| inner.admission.explain(&uid, now).map(|why| (uid, why)));
        waiting.extend(behind.collect::<Vec<_>>());
        let in_full = |(uid, explanation): (Uid, Explanation)| {
            let is_in_front = in_front.contains(&uid);
            let first = explanation.turn.as_ref().and_then(|turn| inner.name_of(&turn.first));
            Some(Waiting { says: self.says(inner, &uid)?, uid, explanation, first, is_in_front })
        };
        waiting.into_iter().filter_map(in_full).collect()
    }

    /// The reason that the status of a queued task gives, as the watch shows it.
    fn says(&self, inner: &Inner, uid: &Uid) -> Option<Reason> {
        let task = self.task(&inner.known.get(uid)?.reference).filter(|task| is_queued(task))?;
        Some(task.status_or_default().reason)
    }
}

impl Inner {
    /// Remembers whether the status of this task says why it waits.
    pub(super) fn see_what_it_says(&mut self, uid: &Uid, task: &Task) {
        if is_queued(task) && Wait::of(task.status_or_default().reason).is_of_many() {
            self.told.insert(uid.clone());
        } else {
            self.told.remove(uid);
        }
    }

    /// Lets a queue's counts say what its first task waits for.
    pub(super) fn tell_of_first(&mut self, queue: &Key, counts: &mut QueueCounts, now: Timestamp) {
        if let Some((first, explanation)) = self.admission.explain_first(queue, now)
            && let Some(name) = self.name_of(&first)
        {
            counts.first_waits(&name, &explanation);
        }
    }

    fn name_of(&self, uid: &str) -> Option<String> {
        self.known.get(uid).map(|known| known.reference.name.clone())
    }
}
