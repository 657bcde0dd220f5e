//! Why each task waits, in the most obvious way, and a comparison of both.

use task_manager_api::Reason;

use super::*;

/// Reason, place, how many wait for their turn, and who is first.
type Explained = (Reason, Option<(usize, usize, Arc<str>)>);

impl Model {
    fn explained(&self, pending: &PendingTask, now: Timestamp) -> Explained {
        if let Some(reason) = self.is_out_of_line(pending, now) {
            return (reason, None);
        }
        let of_queue = self.waiting.iter().filter(|other| other.queue == pending.queue);
        let mut line: Vec<_> = of_queue.filter(|other| self.is_out_of_line(other, now).is_none()).collect();
        line.sort_by_key(|other| &other.order);
        let before = line.iter().filter(|other| other.order < pending.order).count();
        (self.lack(line[0]), Some((before + 1, line.len(), line[0].order.uid().clone())))
    }

    /// Why a task does not even wait for its turn.
    fn is_out_of_line(&self, pending: &PendingTask, now: Timestamp) -> Option<Reason> {
        let is_early = |pending: &PendingTask| pending.ready_at.is_some_and(|ready| ready > now);
        let asks = |pending: &PendingTask| (pending.order.priority(), (*pending.requests).clone());
        if is_early(pending) {
            return Some(Reason::NotYetDue);
        }
        let Some(queue) = self.queues.get(&pending.queue) else { return Some(Reason::QueueMissing) };
        let is_alike = |other: &&PendingTask| {
            (&other.queue, &other.task_type, &other.kb_id) == (&pending.queue, &pending.task_type, &pending.kb_id)
        };
        let may_go_before =
            |other: &&PendingTask| other.order < pending.order && !is_early(other) && queue.has_room(&[], &asks(other));
        let before = self.waiting.iter().filter(is_alike).filter(may_go_before).count();
        let (most, most_per_key) = self.types.get(&pending.task_type).copied().unwrap_or_default();
        let of_type = || self.held.iter().filter(|(_, held)| held.task_type == pending.task_type);
        let of_key = of_type().filter(|(_, held)| held.kb_id == pending.kb_id).count();
        match () {
            () if queue.is_faulty => Some(Reason::QueueNotReady),
            () if queue.suspend => Some(Reason::QueueSuspended),
            () if !queue.has_room(&[], &asks(pending)) => Some(Reason::TooLargeForQueue),
            () if most.is_some_and(|most| of_type().count() >= most as usize) => Some(Reason::TypeLimit),
            () if pending.kb_id.is_some() && most_per_key.is_some_and(|most| of_key + before >= most as usize) => {
                Some(Reason::KeyLimit)
            }
            () => None,
        }
    }

    /// Why there is no room for the first in a line.
    fn lack(&self, first: &PendingTask) -> Reason {
        let queue = &self.queues[&first.queue];
        let newcomer = (first.order.priority(), (*first.requests).clone());
        let held = self.held_in(&first.queue);
        let without_ceilings = QueueBounds { percents: [None; 4], ..queue.clone() };
        let whole_is_full = !without_ceilings.has_room(&held, &newcomer);
        match () {
            () if queue.has_room(&held, &newcomer) => match self.most_running {
                Some(most) if self.held.len() >= most as usize => Reason::OperatorLimit,
                _ => Reason::Queued,
            },
            () if whole_is_full => Reason::QueueFull,
            () => Reason::CeilingReached,
        }
    }
}

impl Both {
    pub fn explain_alike(&mut self) -> Result<(), TestCaseError> {
        let now = at(self.second);
        for pending in &self.model.waiting {
            let explanation = self.admission.explain(pending.order.uid(), now).expect("it is pending");
            let turn = explanation.turn.as_ref().map(|turn| (turn.place, turn.of, turn.first.clone()));
            prop_assert_eq!((explanation.reason(), turn), self.model.explained(pending, now), "{:?}", pending);
        }
        let fronts: Vec<_> = self.admission.fronts(3, now).into_iter().map(|(uid, _)| uid).collect();
        let known = |uid: &Arc<str>| self.model.waiting.iter().any(|pending| pending.order.uid() == uid);
        prop_assert!(fronts.iter().all(known));
        Ok(())
    }
}
