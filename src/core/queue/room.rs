//! The room that is left, as tasks that start one after another would use it up. Changes nothing in the ledger.

use std::collections::HashMap;

use super::ledger::{Ledger, Running};
use super::order::Key;
use super::quota::UsageByPriority;
use crate::launch::resources::Amounts;
use task_manager_api::Priority;

pub struct Room<'a> {
    ledger: &'a Ledger,
    /// What the admitted tasks of a queue would use by then.
    used: HashMap<&'a Key, UsageByPriority>,
    /// How many of a type would have started.
    of_types: HashMap<&'a Key, i64>,
    started: i64,
}

impl<'a> Room<'a> {
    pub fn of(ledger: &'a Ledger) -> Self {
        Self { ledger, used: HashMap::new(), of_types: HashMap::new(), started: 0 }
    }

    /// One more task starts, if there is room for it in its queue, in its type and in all. Of kbIds nothing is counted.
    pub fn take(&mut self, queue: &'a Key, task_type: &'a Key, priority: Priority, requests: &Amounts) -> bool {
        let of_type = self.of_types.entry(task_type).or_default();
        let is_full =
            |bound: Option<Running>, more: i64| bound.is_some_and(|Running { running, most }| running + more >= most);
        if is_full(self.ledger.all(), self.started) || is_full(self.ledger.of_type(task_type), *of_type) {
            return false;
        }
        let used = self.used.entry(queue).or_insert_with(|| self.ledger.usage(queue));
        if self.ledger.quota(queue).is_none_or(|quota| quota.lack(used, priority, requests).is_some()) {
            return false;
        }
        let of_priority = &mut used[priority.index()];
        of_priority.tasks += 1;
        for (name, amount) in requests {
            let sum = of_priority.resources.entry(name.clone()).or_default();
            *sum = *sum + *amount;
        }
        *of_type += 1;
        self.started += 1;
        true
    }
}
