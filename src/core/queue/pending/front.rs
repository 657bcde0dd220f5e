//! Questions about where pending tasks stand. Moves nobody.

use std::sync::Arc;

use super::{Entry, PendingTasks, Queue};
use crate::queue::ledger::Ledger;
use crate::queue::order::{Key, Order};
use crate::queue::ranked::Ranked;
use crate::queue::room::Room;
use crate::queue::state::PendingTask;
use task_manager_api::Priority;

/// A place among those of a queue that wait for their turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// From 1.
    pub place: usize,
    pub of: usize,
    /// The uid of the first one.
    pub first: Arc<str>,
}

impl PendingTasks {
    /// The place of a task that waits for its turn.
    pub fn turn(&self, uid: &str, ledger: &Ledger) -> Option<Turn> {
        let (entry, queue) = self.find(uid)?;
        let is_in_line = |line: &super::Line| line.turn().contains(&entry.order);
        if ledger.type_is_held(&entry.line.1) || !queue.lines.get(&entry.line.1).is_some_and(is_in_line) {
            return None;
        }
        let lines = || queue.waiting_for_turn(ledger);
        Some(Turn {
            place: 1 + lines().map(|line| line.turn().before(&entry.order)).sum::<usize>(),
            of: lines().map(|line| line.turn().len()).sum(),
            first: queue.first(ledger)?.uid().clone(),
        })
    }

    /// How many of its kbId go before a task.
    pub fn before_of_kb_id(&self, uid: &str) -> usize {
        let before = |(entry, queue): (&Entry, &Queue)| {
            let line = queue.lines.get(&entry.line.1)?;
            Some(line.before_of_kb_id(&entry.order, entry.kb_id.as_ref()?))
        };
        self.find(uid).and_then(before).unwrap_or_default()
    }

    fn find(&self, uid: &str) -> Option<(&Entry, &Queue)> {
        let entry = self.tasks.get(uid)?;
        Some((entry, self.queues.get(&entry.line.0)?))
    }

    pub fn queues(&self) -> impl Iterator<Item = &Key> {
        self.queues.keys()
    }

    /// The first of a queue that waits for its turn, else the first that waits for its type or kbId.
    pub fn front(&self, key: &Key, ledger: &Ledger) -> Option<Arc<str>> {
        let queue = self.queues.get(key)?;
        let lines = queue.lines.values();
        let held = || lines.flat_map(|line| [line.turn().first(), line.held().first()]).flatten().min();
        queue.first(ledger).or_else(held).map(|order| order.uid().clone())
    }

    /// The first `most` of this priority in a queue: those that wait for their turn, their type or their kbId.
    pub fn fronts(&self, key: &Key, priority: Priority, most: usize) -> Vec<Arc<str>> {
        let Some(queue) = self.queues.get(key) else { return vec![] };
        let sets = queue.lines.values().flat_map(|line| [line.turn(), line.held()]);
        let mut first: Vec<&Order> = sets.flat_map(|set| of_priority(set, priority).take(most)).collect();
        first.sort_unstable();
        first.into_iter().take(most).map(|order| order.uid().clone()).collect()
    }

    /// How many tasks of these types would start now if each had a worker, `most` at most: those in open queues, before whom
    /// nobody stands for whom there is no room, and for as many as there is room.
    pub fn would_start(&self, types: &[Key], most: usize, ledger: &Ledger) -> usize {
        let mut room = Room::of(ledger);
        let mut count = 0;
        for (key, queue, task_type) in self.open_queues(types, ledger) {
            let line = queue.lines.get(task_type).into_iter().flat_map(|line| line.turn().from(0));
            let may_go_on = |order: &&Order| queue.blocked.as_ref().is_none_or(|blocked| *order <= blocked);
            for task in line.take_while(may_go_on).filter_map(|order| self.tasks.get(order.uid())) {
                if count == most || !room.take(key, task_type, task.order.priority(), &task.requests) {
                    break;
                }
                count += 1;
            }
        }
        count
    }

    /// The open queues in which tasks of these types wait, once for each of the types.
    fn open_queues<'a>(
        &'a self,
        types: &'a [Key],
        ledger: &'a Ledger,
    ) -> impl Iterator<Item = (&'a Key, &'a Queue, &'a Key)> {
        types.iter().flat_map(move |task_type| {
            let queues = self.queues_of_types.get(task_type).into_iter().flatten();
            let open = queues.filter(|key| ledger.is_open(key));
            open.filter_map(move |key| Some((key, self.queues.get(key)?, task_type)))
        })
    }

    /// The pending tasks of a type.
    pub fn of_type(&self, task_type: &Key) -> Vec<PendingTask> {
        self.tasks.values().filter(|entry| entry.line.1 == *task_type).map(|entry| self.pending(entry)).collect()
    }
}

fn of_priority(orders: &Ranked<Order>, priority: Priority) -> impl Iterator<Item = &Order> {
    let begin = orders.before(&Order::new(priority, 0, "".into()));
    orders.from(begin).take_while(move |order| order.priority() == priority)
}
